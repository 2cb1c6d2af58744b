package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/modems"
)

// call runs the program with args and returns what a shell would see.
func call(args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"", 0, "Usage:", ""},
		{"help", 0, "Usage:", ""},
		{"completion bash", 0, "bash completion", ""},
		{"version", 0, "atbridge ", ""},
		{"version now", 2, "", "atbridge: unknown command \"now\" for \"atbridge version\"; see atbridge help version\n"},
		{"pub", 2, "", "atbridge: TOPIC is missing; write: atbridge pub TOPIC [-m TEXT|-f FILE|-l] [-q 0|1]; see atbridge help pub\n"},
		{"queue show", 2, "", "atbridge: ID is missing; write: atbridge queue show [--raw|--json] ID; see atbridge help queue show\n"},
		{"replay a.at b.at", 2, "", "atbridge: b.at is one argument too many; write: atbridge replay FILE [--link PATH] [--timed]; see atbridge help replay\n"},
		{"chek", 2, "", "atbridge: unknown command chek; did you mean check?\n"},
		{"xyz", 2, "", "atbridge: unknown command xyz; see atbridge help\n"},
		{"check --frob", 2, "", "atbridge: unknown flag: --frob; see atbridge help check\n"},
		{"check --config", 2, "", "atbridge: flag needs an argument: --config; see atbridge help check\n"},
		{"check --config /no/such", 2, "", "atbridge: the configuration cannot be read: open /no/such: no such file or directory\n"},
		{"check --config /", 2, "", "atbridge: the configuration cannot be read: / is a directory; name a file\n"},
		{"check --config testdata/contract.yaml", 0, "testdata/contract.yaml: ok: auto on /dev/ttyUSB2 -> mqtt://broker.example:1883, 1 route up, 1 down\n", ""},
		{"check --config testdata/contract.yaml --baud 0115200", 2, "", "--baud: 0115200 is not a rate; use one of 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 2000000, 3000000\n"},
		{"check --config testdata/contract.yaml --port x", 2, "", "--port: modem.port: x is no port; use a device such as /dev/ttyUSB2, usb:2c7c:6002, usb:2c7c:0901:if02 or auto\n"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := call(strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(stdout, tt.stdout) || stderr != tt.stderr {
				t.Errorf("exit %d\nstdout %q\nstderr %q\nwant %d, %q, %q", code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

func TestCheckWarns(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	write(t, name, sound+"local: {username: u, password: hunter2}\nstatus: {listen: ':80'}\n", 0o644)
	code, stdout, stderr := call("check", "--config", name)
	if code != 0 || stdout != name+": ok: auto on /dev/ttyUSB2 -> mqtt://broker.example:1883, 0 routes up, 0 down\n" {
		t.Errorf("exit %d, %q", code, stdout)
	}
	want := "atbridge: warning: " + name + " holds a secret and can be read by everyone; run chmod 600 " + name + "\n" +
		"atbridge: warning: routes: there are none, so no message is carried\n" +
		"atbridge: warning: status.listen: :80 shows the state of this device to other machines without a password\n"
	if stderr != want {
		t.Errorf("stderr %q\nwant   %q", stderr, want)
	}
}

// A flag wins over the environment, that over the file, that over the default.
func TestPrecedence(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	load := func(text string, getenv func(string) (string, bool), args ...string) *Config {
		t.Helper()
		write(t, name, text, 0o600)
		g := &globals{getenv: getenv}
		root := newRootCmd(g)
		if err := root.ParseFlags(append(args, "--config", name)); err != nil {
			t.Fatal(err)
		}
		c, err := g.load(needFile)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	file := "modem: {baud: 9600}\nlog: {level: warn, wire: false}"
	vars := env("ATBRIDGE_BAUD", "19200", "ATBRIDGE_WIRE", "1", "ATBRIDGE_LOG_LEVEL", "", "ATBRIDGE_SOCKET", "/s")

	c := load("modem: {}", env())
	check(t, "default", c.Modem.Baud, 115200)
	check(t, "default port", c.Modem.Port, "auto")
	c = load(file, env())
	check(t, "file", c.Modem.Baud, 9600)
	c = load(file, vars)
	check(t, "environment", c.Modem.Baud, 19200)
	check(t, "ATBRIDGE_WIRE", c.Log.Wire, true)
	check(t, "empty variable", c.Log.Level, "warn")
	check(t, "ATBRIDGE_SOCKET", c.Status.Socket, "/s")
	c = load(file, vars, "--baud", "38400", "--wire=false", "--log-level", "debug", "--driver", "ec600")
	check(t, "flag", c.Modem.Baud, 38400)
	check(t, "--wire=false", c.Log.Wire, false)
	check(t, "--log-level", c.Log.Level, "debug")
	check(t, "--driver", c.Modem.Driver, "ec600")
	c = load("log: {}", env("ATBRIDGE_BAUD", "19200"))
	check(t, "no modem from a rate alone", c.Modem, nil)
	c = load("log: {}", env("ATBRIDGE_BAUD", "19200"), "--port", "/dev/ttyUSB0")
	check(t, "modem from a port", *c.Modem, Modem{
		Port: "/dev/ttyUSB0", Baud: 19200, Driver: "auto", APNAuth: "none", IP: "ipv4", Flow: "none", Power: "none", Reset: "none", MaxResetsPerHour: 4,
	})
}

func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestExitCode(t *testing.T) {
	for want, errs := range map[int][]error{
		exitDone:         {nil, withCode(exitPort, nil)},
		exitRefused:      {errors.New("x"), fmt.Errorf("dial: %w", modems.ConnackError(5)), modems.ErrRefused},
		exitUsage:        {usagef("x"), configErrors{{}}, fmt.Errorf("subscribe: %w", modems.ErrUnsupported)},
		exitNoAnswer:     {fmt.Errorf("AT: %w", context.DeadlineExceeded)},
		exitPort:         {fmt.Errorf("open: %w", withCode(exitPort, context.DeadlineExceeded))},
		exitNotDelivered: {fmt.Errorf("publish: %w", modems.ErrMessage)},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("%v: exit code %d, want %d", err, got, want)
			}
		}
	}
}

// A panic becomes one sentence, and what a bug report needs.
func TestPanic(t *testing.T) {
	defer func(list []func(*globals) *cobra.Command) { subcommands = list }(subcommands)
	subcommands = append(subcommands[:len(subcommands):len(subcommands)], func(*globals) *cobra.Command {
		return &cobra.Command{Use: "fall", RunE: func(*cobra.Command, []string) error { panic("over") }}
	})
	code, _, stderr := call("fall")
	first, trace, _ := strings.Cut(stderr, "\n")
	if code != exitFault || first != "atbridge: a fault of atbridge itself; please report it with the lines below" {
		t.Errorf("exit %d, %q", code, first)
	}
	if !strings.Contains(trace, "panic: over") || !strings.Contains(trace, "root_test.go") {
		t.Errorf("the trace says too little:\n%s", trace)
	}
}

func TestLoggerFollowsLevel(t *testing.T) {
	var out strings.Builder
	g := &globals{stderr: &out}
	c := defaultConfig()
	log := g.logger(c)
	log.Debug("one")
	c.Log.Level = "debug"
	g.setLevel(c)
	log.Debug("two", slog.Any("password", Secret("hunter2")))
	if s := out.String(); strings.Contains(s, "one") || !strings.Contains(s, "msg=two") || strings.Contains(s, "hunter2") {
		t.Errorf("log: %s", s)
	}
}
