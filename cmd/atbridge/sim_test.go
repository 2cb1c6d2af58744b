package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The signals of atbridge sim: it hangs, is reset, and is plugged in again, where its link leads to.
func TestSimSignals(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "modem")
	out := new(syncBuffer)
	cmd := command(t, "sim", "--modem", "ec600", "--baud", "0", "--link", link)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	said := func(text string) {
		t.Helper()
		eventually(t, text, 10*time.Second, func() bool { return strings.Contains(out.String(), text) })
	}
	answers := func(code int) {
		t.Helper()
		if got, _, stderr := shell(t, "--socket", link+".none", "send", "--port", link, "--timeout", "1s", "AT"); got != code {
			t.Fatalf("exit %d, %s; want %d", got, stderr, code)
		}
	}
	said("Ctrl-C ends it")
	answers(0)
	cmd.Process.Signal(syscall.SIGUSR2)
	said("hangs")
	answers(3)
	cmd.Process.Signal(syscall.SIGUSR1)
	said("reset")
	eventually(t, "it to boot", 10*time.Second, func() bool {
		code, _, _ := shell(t, "--socket", link+".none", "send", "--port", link, "--timeout", "1s", "AT")
		return code == 0
	})
	before, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(syscall.SIGALRM)
	said("unplugged")
	said("plugged in again on")
	after, err := os.Readlink(link)
	if err != nil || !strings.Contains(out.String(), "again on "+after) {
		t.Fatalf("the link led to %s and leads to %s, %v", before, after, err)
	}
	answers(0)
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, out.String())
	}
}

// Where ADDR names no port, the port is the same as before.
func TestSimMap(t *testing.T) {
	for in, want := range map[string]string{
		"b.example:1883=127.0.0.1":        "b.example:1883 127.0.0.1:1883",
		"b.example:1883=127.0.0.1:2883":   "b.example:1883 127.0.0.1:2883",
		"b.example:1883=::1":              "b.example:1883 [::1]:1883",
		"[2001:db8::1]:8883=[::1]":        "[2001:db8::1]:8883 [::1]:8883",
		"[2001:db8::1]:8883=[::1]:2883":   "[2001:db8::1]:8883 [::1]:2883",
		"b.example=127.0.0.1":             "",
		"b.example:1883=":                 "",
		"b.example:1883":                  "",
		"b.example:=127.0.0.1":            "",
		"2001:db8::1=127.0.0.1:2883":      "",
		"b.example:1883=broker.localhost": "b.example:1883 broker.localhost:1883",
	} {
		from, to, err := parseMap(in)
		if (err == nil) != (want != "") || err == nil && from+" "+to != want {
			t.Errorf("%s: %s %s, %v; want %q", in, from, to, err, want)
		}
	}
}
