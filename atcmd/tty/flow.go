package tty

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoFlow: the port cannot do RTS/CTS, or nobody asserts CTS.
var ErrNoFlow = errors.New("no RTS/CTS flow control")

// SetRTSCTS turns flow control by RTS and CTS on or off. It is refused where CTS is not asserted: a port that waits for a wire
// that is not there takes no byte, for ever.
func (p *Port) SetRTSCTS(on bool) error {
	raw, err := p.node.SyscallConn() // File.Fd would make the descriptor block
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = setRTSCTS(int(fd), on) }); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", p.device, failed)
	}
	return nil
}

func setRTSCTS(fd int, on bool) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Cflag &^= unix.CRTSCTS
	if on {
		lines, err := unix.IoctlGetInt(fd, unix.TIOCMGET)
		if err == nil && lines&unix.TIOCM_CTS == 0 { // a pseudo-terminal has no lines, and says so
			return fmt.Errorf("%w: CTS is not asserted; is the wire connected?", ErrNoFlow)
		}
		t.Cflag |= unix.CRTSCTS
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return err
	}
	if t, err = unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		return err
	}
	if kept := t.Cflag&unix.CRTSCTS != 0; kept != on { // a driver that cannot do it clears the bit, without an error
		return fmt.Errorf("%w: the adapter cannot do it", ErrNoFlow)
	}
	return nil
}
