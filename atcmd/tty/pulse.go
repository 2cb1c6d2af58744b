package tty

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// controlLines are the outputs of a serial port besides its data.
var controlLines = map[string]int{"dtr": unix.TIOCM_DTR, "rts": unix.TIOCM_RTS}

// Pulse clears the control line "dtr" or "rts" of a port that nobody else has open, and asserts it again after length. A
// line is asserted for as long as its port is in use, so whatever hangs on it must act on the opposite.
func Pulse(ctx context.Context, device, line string, length time.Duration) error {
	node, err := openNode(device)
	if err != nil {
		return err
	}
	defer node.Close()
	fd := int(node.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCMBIC, controlLines[line]); err != nil {
		return &OpenError{device, fmt.Sprintf("has no %s line to pulse: %v", line, err), err}
	}
	t := time.NewTimer(length)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done(): // the line is not left as it is now
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCMBIS, controlLines[line]); err != nil {
		return openError(device, 0, err)
	}
	return ctx.Err()
}

// keepLines leaves DTR and RTS asserted when the port is closed: a modem would take their fall for a hang-up (V.250
// 6.3.6 and &D), and one whose reset line hangs on DTR would be reset by every restart of the program.
func keepLines(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Cflag &^= unix.HUPCL
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
