package tty

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// crtscts reads the port's setting as another program would.
func crtscts(t *testing.T, p *Port) bool {
	t.Helper()
	raw, err := p.node.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on bool
	var failed error
	if err := raw.Control(func(fd uintptr) {
		var state *unix.Termios
		if state, failed = unix.IoctlGetTermios(int(fd), unix.TCGETS); failed == nil {
			on = state.Cflag&unix.CRTSCTS != 0
		}
	}); err != nil || failed != nil {
		t.Fatal(errors.Join(err, failed))
	}
	return on
}

// A change of the rate keeps flow control, and so does the descriptor's way of waiting.
func TestRTSCTS(t *testing.T) {
	master, device := pty(t)
	p := open(t, device)
	if crtscts(t, p) {
		t.Fatal("flow control is on before it was asked for")
	}
	if err := p.SetRTSCTS(true); err != nil {
		t.Fatal(err)
	}
	if err := p.SetBaud(460800); err != nil {
		t.Fatal(err)
	}
	if !crtscts(t, p) || p.Baud() != 460800 {
		t.Errorf("flow control %v, %d baud", crtscts(t, p), p.Baud())
	}
	if _, err := master.Write([]byte("OK")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	if n, err := p.Read(b); err != nil || n == 0 {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := p.SetRTSCTS(false); err != nil || crtscts(t, p) {
		t.Errorf("it stays on: %v", err)
	}
}
