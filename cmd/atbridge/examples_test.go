package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// notRun are the examples that TestExamplesRun leaves to other tests, and which: they need a person, or one another.
var notRun = map[string]string{
	"atbridge console":                  "TestConsole types into it",
	"atbridge record":                   "TestScripts/sim goes through record, send and replay",
	"atbridge replay":                   "TestScripts/sim goes through record, send and replay",
	"atbridge send --port /tmp/modem":   "TestScripts/sim goes through record, send and replay",
	"atbridge send --data message.json": "TestScripts/send opens the session before it",
	"atbridge provision":                "TestScripts/provision has the platform for it",
	"atbridge sub":                      "TestScripts/pubsub sends what it waits for",
}

// untilStopped are those that a person ends with Ctrl-C, and what they say once they run.
var untilStopped = map[string]string{
	"atbridge run":            "msg=started",
	"./atbridge run":          "msg=started",
	"atbridge sim":            "Ctrl-C ends it",
	"atbridge status --watch": "state",
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
		add(readFile(t, file), regexp.MustCompile(`^    (?:\$ )?((?:\./|\w+ \| )?atbridge \w.*)`))
	}
	return lines
}

// Every example runs: at a simulated modem and a broker of this machine, whose names stand for those of the example.
func TestExamplesRun(t *testing.T) {
	lines := examples(t)
	if len(lines) < 35 {
		t.Errorf("only %d examples were found: %q", len(lines), lines)
	}
	left := map[string]bool{}
	for _, line := range lines {
		if elsewhere := begins(line, notRun); elsewhere != "" {
			left[elsewhere] = true
			continue
		}
		t.Run(regexp.MustCompile(`[^\w -]`).ReplaceAllString(line, ""), func(t *testing.T) { // the name goes into paths
			t.Parallel()
			runExample(t, line)
		})
	}
	if len(left) != len(notRun) {
		t.Errorf("there is no example any more of what is not run: %v", notRun)
	}
}

func begins(line string, table map[string]string) string {
	for start := range table {
		if strings.HasPrefix(line, start) {
			return start
		}
	}
	return ""
}

func runExample(t *testing.T, line string) {
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 460800})
	bench := exampleBench(t, r)
	cmd := exec.Command("sh", "-c", strings.NewReplacer(
		"/dev/ttyUSB2", r.sim.Path(), "/etc/atbridge/", "", "/usr/share/man/man1", "man1", "/tmp/modem", filepath.Join(bench, "modem"),
		"4711", "1", "sensor |", "echo 21 |", "--for 20s", "--for 1s", "demo --modem", "demo --for 1s --modem", "grep poisoned", "grep waiting",
		"--map broker.example:1883=127.0.0.1:1883", "--map broker.example:1883="+r.cloud).Replace("exec "+line))
	if strings.Contains(line, "|") {
		cmd.Args[2] = strings.TrimPrefix(cmd.Args[2], "exec ")
	}
	cmd.Dir = bench
	cmd.Env = append(os.Environ(), beMain+"=1", "PATH="+bench+":"+os.Getenv("PATH"), "ATBRIDGE_CONFIG="+r.file)
	out := new(syncBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	if strings.HasPrefix(line, "atbridge status") { // of a daemon
		r.start()
		r.online()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if start := begins(line, untilStopped); start != "" {
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
	if err = errors.Join(err, os.Symlink(self, filepath.Join(dir, "atbridge")), os.Symlink(r.file, filepath.Join(dir, "atbridge.yaml"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ca.pem"), string(bytes.Repeat([]byte{'x'}, 1188)), 0o600)
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
