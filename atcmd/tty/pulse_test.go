package tty

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A port that is closed keeps its control lines: HUPCL is off, also after the port's own set-up.
func TestCloseKeepsLines(t *testing.T) {
	p, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	fd, err := unix.Open(p.Path, unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	termios, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	termios.Cflag |= unix.HUPCL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, termios); err != nil {
		t.Fatal(err)
	}
	open(t, p.Path)
	termios, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil || termios.Cflag&unix.HUPCL != 0 {
		t.Errorf("flags %#o, %v: closing the port would drop DTR", termios.Cflag, err)
	}
}

// A pseudo-terminal has no control lines: the error says so, and the port is free again.
func TestPulseWithoutLine(t *testing.T) {
	p, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var wrong *OpenError
	if err := Pulse(t.Context(), p.Path, "dtr", time.Millisecond); !errors.As(err, &wrong) || wrong.Advice[:15] != "has no dtr line" {
		t.Errorf("%v", err)
	}
	open(t, p.Path)
}
