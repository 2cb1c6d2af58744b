package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// untilStopped are those that a person ends with Ctrl-C, and what they say once they run.
var untilStopped = map[string]string{
	"atbridge record":         "Ctrl-C ends it",
	"atbridge replay":         "has been played to its end",
	"atbridge run":            "msg=started",
	"./atbridge run":          "msg=started",
	"atbridge sim":            "Ctrl-C ends it",
	"atbridge status --watch": "state",
	"atbridge sub":            "on\n",
}

// before is what some of them find done.
var before = map[string]func(t *testing.T, r *rig, bench string){
	"atbridge status": func(_ *testing.T, r *rig, _ string) { r.start(); r.online() },
	"atbridge replay": func(t *testing.T, _ *rig, bench string) {
		write(t, filepath.Join(bench, "session.at"), "0.000 <- RDY\\r\\n\n", 0o600)
	},
	"atbridge send --data message":    openSession,
	"atbridge send --port /tmp/modem": func(t *testing.T, r *rig, bench string) { link(t, r.sim.Path(), filepath.Join(bench, "modem")) },
	"atbridge sub":                    func(t *testing.T, r *rig, _ string) { goOnPublishing(mustClient(t, r.cloud, "house")) },
}

// openSession opens the session on which an example publishes.
func openSession(t *testing.T, r *rig, _ string) {
	host, port, _ := net.SplitHostPort(r.cloud)
	open := []string{"--wait", "+QMTOPEN:", "AT+QMTOPEN=0,\"" + host + "\"," + port}
	for _, args := range [][]string{open, {"--wait", "+QMTCONN:", `AT+QMTCONN=0,"me"`}} {
		if code, _, stderr := shell(t, append([]string{"send", "--config", r.file}, args...)...); code != 0 {
			t.Fatal(stderr)
		}
	}
}

// goOnPublishing tells whoever subscribes, whenever that is, until the connection ends.
func goOnPublishing(c paho.Client) {
	go func() {
		for c.IsConnected() {
			c.Publish("site7/commands/lamp", 1, false, "on").WaitTimeout(time.Second)
		}
	}()
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// examples are the command lines of the help and of the READMEs, without what stands behind a #.
func examples(t *testing.T) (lines []string) {
	seen := map[string]bool{}
	add := func(text string, of *regexp.Regexp) {
		for line := range strings.Lines(text) {
			if m := of.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
				l := strings.TrimSpace(regexp.MustCompile(`\s#\s.*`).ReplaceAllString(m[1], ""))
				if !seen[l] {
					seen[l] = true
					lines = append(lines, l)
				}
			}
		}
	}
	root := newTestRoot()
	everyCommand(root, func(cmd *cobra.Command) {
		if cmd == root || cmd.HasParent() && cmd.Name() != "completion" && cmd.Parent().Name() != "completion" {
			add(cmd.Example+"\n"+cmd.Long, regexp.MustCompile(`^  ((?:\w+ \| )?atbridge .*)`))
		}
	})
	for _, file := range []string{"../../README.md", "../../README.zh-CN.md"} {
		add(readFile(t, file), regexp.MustCompile(`^    (?:\$ |go run \./cmd/)?((?:\./|\w+ \| )?atbridge \w.*)`))
	}
	return lines
}

// Every example runs: at a simulated modem and a broker of this machine, whose names stand for those of the example.
func TestExamplesRun(t *testing.T) {
	lines := examples(t)
	if len(lines) < 35 {
		t.Errorf("only %d examples were found: %q", len(lines), lines)
	}
	for _, line := range lines {
		t.Run(regexp.MustCompile(`[^\w -]`).ReplaceAllString(line, ""), func(t *testing.T) { // the name goes into paths
			t.Parallel()
			runExample(t, line)
		})
	}
}

// begins is how line begins, of what the table knows; empty: of nothing.
func begins[T any](line string, table map[string]T) string {
	for start := range table {
		if strings.HasPrefix(line, start) {
			return start
		}
	}
	return ""
}

// exampleRig is the cabinet of an example; provision needs a platform.
func exampleRig(t *testing.T, line string) *rig {
	sim := modemsim.Config{Model: "ec600", Baud: 460800}
	if !strings.HasPrefix(line, "atbridge provision") {
		return newRig(t, sim)
	}
	p := &cloudtest.AliyunProduct{Key: "a1pk", Secret: "pr0duct", Register: true}
	p.Device("lamp7", "")
	r, _ := platformRig(t, sim, p, "tls: {ca_file: CA}, aliyun: {product_key: a1pk, device_name: lamp7, product_secret: pr0duct, register: preregistered}",
		"/a1pk/lamp7/user/#", "/sys/a1pk/lamp7/thing/#")
	return r
}

func runExample(t *testing.T, line string) {
	r := exampleRig(t, line)
	bench := exampleBench(t, r)
	env := []string{"PATH=" + bench + ":" + os.Getenv("PATH"), "ATBRIDGE_CONFIG=" + r.file, "XDG_STATE_HOME=" + bench}
	if start := begins(line, before); start != "" {
		before[start](t, r, bench)
	}
	line = strings.NewReplacer(
		"/dev/ttyUSB2", r.sim.Path(), "/etc/atbridge/", "", "/usr/share/man/man1", "man1", "/tmp/modem", filepath.Join(bench, "modem"),
		"4711", "1", "sensor |", "echo 21 |", "--for 20s", "--for 1s", "demo --modem", "demo --for 1s --modem", "grep poisoned", "grep waiting",
		"--map broker.example:1883=127.0.0.1:1883", "--map broker.example:1883="+r.cloud).Replace(line)
	if strings.HasPrefix(line, "atbridge console") { // in a terminal
		s := openScreen(t, 80, env, words(line)[1:]...)
		s.expect("Ctrl-] leaves")
		s.press("\x1d")
		s.exits(0)
		return
	}
	if !strings.Contains(line, "|") {
		line = "exec " + line
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = bench
	cmd.Env = append(append(os.Environ(), beMain+"=1"), env...)
	out := new(syncBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if start := begins(strings.TrimPrefix(line, "exec "), untilStopped); start != "" {
		eventually(t, untilStopped[start], 30*time.Second, func() bool { return strings.Contains(out.String(), untilStopped[start]) })
		cmd.Process.Signal(syscall.SIGINT)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// exampleBench is a directory with the files that examples name, and one message in the queue.
func exampleBench(t *testing.T, r *rig) string {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link(t, self, filepath.Join(dir, "atbridge"))
	link(t, r.file, filepath.Join(dir, "atbridge.yaml"))
	write(t, filepath.Join(dir, "ca.pem"), string(bytes.Repeat([]byte{'x'}, 1188)), 0o600)
	write(t, filepath.Join(dir, "message.json"), `{"celsius":21.5,"at":"2026-01-01T00:00:00"}`, 0o600)
	write(t, filepath.Join(dir, "commands.txt"), "AT+CSQ\n", 0o600)
	write(t, filepath.Join(dir, "aliyun.yaml"), `path: {mode: host}
cloud: {aliyun: {product_key: a1pk, device_name: lamp7, device_secret: s3cr3t}}
routes: {up: [{from: "#", to: "/a1pk/lamp7/user/#"}]}
`, 0o600)
	o, err := bridge.OpenOutbox(bridge.OutboxConfig{Dir: filepath.Join(r.dir, "queue")})
	if err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	o.Put(modems.Message{Topic: "site7/a", Payload: []byte("1"), QoS: 1}, func(err error) { stored <- err })
	if err := errors.Join(<-stored, o.Close()); err != nil {
		t.Fatal(fmt.Errorf("the queue: %w", err))
	}
	return dir
}
