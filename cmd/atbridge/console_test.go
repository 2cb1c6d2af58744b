package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// screen is a console in a terminal of its own, and what it has shown.
type screen struct {
	t     *testing.T
	pty   *tty.PTY
	cmd   *exec.Cmd
	shown *syncBuffer
	seen  int // what expect has found ends here
	ended chan error
}

func openConsole(t *testing.T, state string, args ...string) *screen {
	t.Helper()
	s := openScreen(t, 80, []string{"XDG_STATE_HOME=" + state, "NO_COLOR=1", "TERM=xterm"}, append([]string{"console"}, args...)...)
	s.expect("Ctrl-] leaves\r\natbridge> ")
	return s
}

// openScreen runs the program in a terminal with so many columns.
func openScreen(t *testing.T, columns uint16, env []string, args ...string) *screen {
	t.Helper()
	pty, err := tty.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	slave, err := os.OpenFile(pty.Path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	s := &screen{t: t, pty: pty, shown: new(syncBuffer), ended: make(chan error, 1)}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	s.cmd = command(t, args...)
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	go func() { s.ended <- s.cmd.Wait() }()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := pty.Read(buf)
			if err != nil {
				return
			}
			s.shown.Write(buf[:n])
		}
	}()
	return s
}

func (s *screen) press(keys string) {
	s.t.Helper()
	if _, err := s.pty.Write([]byte(keys)); err != nil {
		s.t.Fatal(err)
	}
}

// expect waits for text behind what was expected before.
func (s *screen) expect(text string) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		all := s.shown.String()
		if i := strings.Index(all[s.seen:], text); i >= 0 {
			s.seen += i + len(text)
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("no %q; shown since: %q", text, all[s.seen:])
		}
	}
}

// exits waits for the end, with this exit code.
func (s *screen) exits(code int) {
	s.t.Helper()
	select {
	case <-s.ended:
		if got := s.cmd.ProcessState.ExitCode(); got != code {
			s.t.Errorf("exit code %d, want %d; shown: %q", got, code, s.shown.String())
		}
	case <-time.After(20 * time.Second):
		s.t.Fatalf("it does not end; shown: %q", s.shown.String())
	}
}

const upKey, ctrlU = "\x1b[A", "\x15"

func TestConsole(t *testing.T) {
	t.Parallel()
	sim, state := simulated(t), t.TempDir()
	none := filepath.Join(t.TempDir(), "none")
	s := openConsole(t, state, "--socket", none, "--port", sim.Path())
	s.press("AT+CSQ\r")
	s.expect("+CSQ: 28,99  # -57 dBm, excellent\r\nOK\r\natbridge> ")

	// A URC comes while a line is typed: the line is still there, and goes out whole.
	s.press("AT+CGM")
	s.expect("AT+CGM")
	sim.Inject("+QMTSTAT: 0,1")
	s.expect("+QMTSTAT: 0,1  # closed by the server\r\natbridge> AT+CGM")
	s.press("M\r")
	s.expect("EC600S\r\nOK\r\n")

	// Tab completes as far as there is one way, and says what it is.
	s.press("at+qmtpube\t")
	s.expect("AT+QMTPUBEX=0,")
	s.press("\t")
	s.expect("publish: 0,ID,QOS,RETAIN,\"TOPIC\",LENGTH\r\n")
	s.press(ctrlU + "AT+CGR\t")
	s.expect("AT+CGREG?")
	s.press(ctrlU)

	// A prompt is answered with what was given before, in a file or as text.
	file := filepath.Join(t.TempDir(), "will")
	write(t, file, "gone!", 0o600)
	for _, data := range []string{":data " + file, `:text go\x6ee!`} {
		s.press(data + "\r")
		s.expect("the next command brings 5 bytes\r\n")
		s.press(`AT+QMTCFG="willex",0,1,1,0,"t",5` + "\r")
		s.expect("OK\r\n")
	}
	s.press(":data /no/such\r")
	s.expect(":data: open /no/such: no such file or directory\r\n")

	s.press("AT+CLCK=\"SC\",0,\"1234\"\r")
	s.expect("ERROR\r\n")
	s.press(":wire\r")
	s.expect("the wire is shown")
	s.press("AT\r")
	s.expect(`-> AT\r` + "\r\n")
	s.expect(`OK\r\n` + "\r\n")
	s.press("\x1d")
	s.exits(0)

	// What was typed is there again, but for the password, which is on no disk.
	s = openConsole(t, state, "--socket", none, "--port", sim.Path())
	s.press(upKey)
	s.expect("AT")
	s.press(upKey + upKey)
	s.expect(":data /no/such")
	s.press(ctrlU + "\x04") // Ctrl-D
	s.exits(0)
	kept := readFile(t, filepath.Join(state, "atbridge/history"))
	if !strings.HasPrefix(kept, "AT+CSQ\nAT+CGMM\n") || strings.Contains(kept, "1234") {
		t.Errorf("the history: %q", kept)
	}
}

// A console whose modem does not answer, and one whose port goes away.
func TestConsoleTrouble(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	pty, err := tty.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	s := openConsole(t, t.TempDir(), "--socket", none, "--port", pty.Path)
	s.press("AT\r")
	s.expect("no answer yet; Ctrl-C stops waiting")
	s.press("\x03")
	s.expect("not waited for any longer\r\n")
	s.press("\x1d")
	s.exits(0)
	pty.Close()

	sim := simulated(t)
	s = openConsole(t, t.TempDir(), "--socket", none, "--port", sim.Path())
	s.press(`AT+QMTCFG="willex",0,1,1,0,"t",5` + "\r")
	s.expect("the modem asks for data")
	sim.Close()
	s.expect("the port was unplugged")
	s.exits(4)

	code, _, stderr := shell(t, "--socket", none, "console", "--port", sim.Path())
	if code != 2 || stderr != "atbridge: console needs a terminal; for scripts there is: atbridge send -\n" {
		t.Errorf("without a terminal: exit %d, %q", code, stderr)
	}
}

// Through the daemon: its URCs are seen, its refusals hold, and its work goes on.
func TestConsoleThroughTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	r.start()
	r.online()
	s := openConsole(t, t.TempDir(), "--config", r.file)
	if !strings.Contains(s.shown.String(), "the daemon's modem on "+r.sim.Path()) {
		t.Errorf("greeting: %q", s.shown.String())
	}
	s.press("AT+CSQ\r")
	s.expect("+CSQ: 28,99  # -57 dBm, excellent\r\nOK\r\n")
	s.press("AT+CFUN=0\r")
	s.expect("the daemon does not run this command without --force: AT+CFUN would disturb the running session\r\n")
	house := mustClient(t, r.local(), "sensor")
	publish(t, house, "sensors/t", 1)
	s.expect("+QMTPUBEX: 0,")
	s.expect("# the broker has it\r\n")
	s.press(":wire\r")
	s.expect("the wire is shown")
	publish(t, house, "sensors/t", 2)
	s.expect(`-> AT+QMTPUBEX=0,`)
	s.press("AT+CS\t\r") // AirM2M's AT+CSTT is not of this dialect
	s.expect("+CSQ: 28,99  #")
	s.press("\x1d")
	s.exits(0)
	eventually(t, "both messages to be delivered", 20*time.Second, func() bool {
		st, err := r.status()
		return err == nil && st.Counters.UpDelivered == 2
	})
}

// A terminal that is slower than the modem misses lines, and says so where they are missing. The modem waits for no terminal.
func TestConsoleSlowTerminal(t *testing.T) {
	shown := new(syncBuffer)
	c := &console{far: &farModem{}, plain: true, out: make(chan string, 1)}
	c.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(""), shown}, "")
	for _, urc := range []string{"RING", "NO CARRIER", "+CREG: 1"} { // there is room for one
		c.event(modems.Event{URC: []byte(urc)})
	}
	c.event(modems.Event{Missed: 7}) // and the daemon has told of more
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.print(ctx)
	eventually(t, "the word that lines are missing", 10*time.Second, func() bool {
		return strings.Contains(shown.String(), "RING  # somebody calls\r\n(9 lines are missing about here: they came faster than they are shown)")
	})
}
