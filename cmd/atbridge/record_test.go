package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atbridge/atbridge/atcmd/transcript"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// background is a subcommand that runs until it is stopped.
type background struct {
	t           *testing.T
	cmd         *exec.Cmd
	out, errors syncBuffer
}

// start runs the program and waits until it has said ready.
func start(t *testing.T, ready string, args ...string) *background {
	t.Helper()
	b := &background{t: t, cmd: command(t, args...)}
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.errors
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.cmd.Process.Kill() })
	b.says(ready)
	return b
}

func (b *background) says(what string) {
	b.t.Helper()
	eventually(b.t, "atbridge to say "+what, 20*time.Second, func() bool { return strings.Contains(b.out.String(), what) })
}

// ends waits for the program's end and wants its exit code and what it says on stderr.
func (b *background) ends(code int, stderr string) {
	b.t.Helper()
	err := b.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	if got := b.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(b.errors.String(), stderr) || stderr == "" && b.errors.String() != "" {
		b.t.Errorf("exit %d, stderr %q; want %d, %q", got, b.errors.String(), code, stderr)
	}
}

func (b *background) stop() { b.cmd.Process.Signal(syscall.SIGTERM) }

// A session with a modem is recorded through a pseudo-terminal and played back through another: the host sees the same
// modem, whatever its secrets are this time.
func TestRecordAndReplay(t *testing.T) {
	sim, err := modemsim.Start(modemsim.Config{Model: "ec600", Baud: 921600})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	dir := t.TempDir()
	file, link, data := filepath.Join(dir, "session.at"), filepath.Join(dir, "modem"), filepath.Join(dir, "data")
	write(t, data, "> \r\nOK\r\n", 0o600)
	talk := func(password string) string {
		all := ""
		for _, args := range [][]string{
			{"ATE1"}, {"ATI", "AT+CPIN?", "AT+FOO"}, {`AT+QICSGP=1,1,"CMNET","me","` + password + `",1`}, {"AT+QICSGP=1"},
			{"--data", data, `AT+QMTCFG="willex",0,1,1,0,"t",8`}, {"AT+CSQ"},
		} {
			code, stdout, stderr := call(append([]string{"send", "--port", link}, args...)...)
			all += stdout + stderr
			if code > exitRefused {
				t.Errorf("%q: exit %d, %s", args, code, stderr)
			}
		}
		return strings.ReplaceAll(all, password, "***")
	}

	rec := start(t, "Ctrl-C ends it", "record", "--port", sim.Path(), "--baud", "921600", file, "--link", link)
	recorded := talk("hunter2hunter2")
	rec.stop()
	rec.ends(0, "")
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link is left behind")
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "hunter2") || !strings.Contains(string(text), `-> AT+QICSGP=1,1,"CMNET","***","***",1\r`) || !strings.Contains(string(text), `-> > \r\nOK\r\n`) {
		t.Errorf("%v; the transcript holds\n%s", err, text)
	}
	if script, err := transcript.Load(file); err != nil || !strings.Contains(script.Remark("source"), sim.Path()) {
		t.Errorf("%v: %+v", err, script)
	}

	if code, _, stderr := call("record", "--port", sim.Path(), file); code != exitUsage || !strings.Contains(stderr, "exists; name a new file") {
		t.Errorf("recording over a transcript: exit %d, %s", code, stderr)
	}

	play := start(t, "Ctrl-C ends it", "replay", file, "--link", link)
	played := talk("another, longer one")
	play.says("played to its end")
	play.stop()
	play.ends(0, "")
	recorded = strings.Replace(recorded, `+QICSGP: 1,"CMNET","me","***",1`, "+QICSGP: ***", 1) // an answer that may hold secrets
	if !strings.Contains(recorded, "EC600") || played != recorded {
		t.Errorf("recorded:\n%s\nplayed:\n%s", recorded, played)
	}
}

// A replay that is asked for something else says what, and hangs up.
func TestReplayObjects(t *testing.T) {
	file, link := filepath.Join(t.TempDir(), "session.at"), filepath.Join(t.TempDir(), "modem")
	write(t, file, "# source: this test\n0.000 -> AT\\r\n0.001 <- \\r\\nOK\\r\\n\n0.002 -> AT+CSQ\\r\n", 0o600)
	play := start(t, "Ctrl-C ends it", "replay", file, "--link", link)
	if code, stdout, _ := call("send", "--port", link, "AT", "AT+CGMM"); code != exitPort || stdout != "OK\n" {
		t.Errorf("exit %d, %q", code, stdout)
	}
	play.ends(1, `line 4, 0.002 -> AT+CSQ\r: the host sent "AT+CGMM\r"`)

	play = start(t, "Ctrl-C ends it", "replay", file, "--link", link)
	play.stop()
	play.ends(1, "stopped before the end")

	write(t, file, "0.000 -> AT\\r\n0.001 <- \\r\\nOK\\r\\n\n", 0o600)
	play = start(t, "Ctrl-C ends it", "replay", file, "--link", link)
	call("send", "--port", link, "--timeout", "1s", "AT", "AT+CGMM")
	play.ends(1, `after the end the host sent "AT+CGMM\r"`)
}

func TestRecordAndReplayRefuse(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there.at")
	write(t, there, "0.1 AT\n", 0o600)
	for args, want := range map[string]string{
		"replay " + there:              there + ":1: an entry is",
		"replay " + dir + "/no":        "no such file",
		"replay":                       "FILE is missing",
		"record " + dir + "/new.at":    "port",
		"replay /dev/null":             "holds nothing to play",
		"replay --link /tmp " + there:  there + ":1: an entry is",
		"record --port /dev/ttyUSB2":   "FILE is missing",
		"replay --timed=x " + there:    "--timed: x is neither true nor false",
		"record --link x --port /dev/": "FILE is missing",
	} {
		if code, _, stderr := call(strings.Fields(args)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q, want %q", args, code, stderr, want)
		}
	}
}
