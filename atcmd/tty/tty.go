package tty

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// WriteTimeout is how long a write may be held up by flow control before the line counts as lost. At 4800 baud the
// longest payload of the dialects at hand (8,000 bytes) takes 17 s.
const WriteTimeout = 20 * time.Second

// ErrStuck: the port takes no more bytes.
var ErrStuck = errors.New("the port takes no more bytes: flow control is stuck, or the adapter hangs")

// OpenError says why a port could not be opened. It wraps the cause.
type OpenError struct {
	Device string
	Advice string
	Err    error
}

func (e *OpenError) Error() string { return fmt.Sprintf("%s: %s", e.Device, e.Advice) }
func (e *OpenError) Unwrap() error { return e.Err }

// Port is an open serial port, 8N1. Read and Write may be called from two goroutines; Close ends both.
type Port struct {
	device string
	serial serial.Port // keeps the port configured and exclusive; no byte goes through it
	node   *os.File    // holds the flock; all bytes go through it

	writeTimeout time.Duration
	baud         atomic.Int64
	closed       atomic.Bool
}

// Open opens device at baud, for this process alone. The error is an *OpenError.
func Open(device string, baud int) (*Port, error) {
	node, err := openNode(device)
	if err != nil {
		return nil, err
	}
	port, err := serial.Open(device, &serial.Mode{BaudRate: baud})
	if err != nil {
		node.Close()
		return nil, openError(device, baud, err)
	}
	p := &Port{device: device, serial: port, node: node, writeTimeout: WriteTimeout}
	p.baud.Store(int64(baud))
	return p, nil
}

// openNode opens the device node without waiting for a carrier, and takes the advisory lock on it. The descriptor does
// not block: os.File waits for it with the runtime's poller, with deadlines, and a Close wakes who waits.
func openNode(device string) (*os.File, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(device, 0, err)
	}
	f := os.NewFile(uintptr(fd), device)
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		f.Close()
		return nil, &OpenError{device, "is not a serial port", err}
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, &OpenError{device, busy(device), err}
	}
	if err := keepLines(fd); err != nil {
		f.Close()
		return nil, openError(device, 0, err)
	}
	return f, nil
}

func openError(device string, baud int, err error) error {
	advice := fmt.Sprintf("cannot be opened: %v", err)
	var port *serial.PortError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		advice = "does not exist; is the modem plugged in and powered? " + neighbours(device)
	case errors.Is(err, fs.ErrPermission):
		advice = "may not be opened by this user; add the user to the group dialout and log in again"
	case errors.Is(err, unix.EBUSY), errors.As(err, &port) && port.Code() == serial.PortBusy:
		advice = busy(device)
	case errors.As(err, &port) && port.Code() == serial.InvalidSpeed:
		advice = fmt.Sprintf("cannot run at %d baud", baud)
	case errors.As(err, &port) && port.Code() == serial.PermissionDenied:
		advice = "may not be opened by this user; add the user to the group dialout and log in again"
	case errors.As(err, &port) && port.Code() == serial.PortNotFound:
		advice = "does not exist; is the modem plugged in and powered? " + neighbours(device)
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTTY):
		advice = "is not a serial port"
	}
	return &OpenError{device, advice, err}
}

// busy says who has the port, as far as this user may see.
func busy(device string) string {
	if real, err := filepath.EvalSymlinks(device); err == nil {
		holders, _, err := Holders("/proc")
		for _, h := range holders[real] {
			if err == nil && h.PID != os.Getpid() {
				return fmt.Sprintf("is in use by another program, %s (process %d); stop it", h.Name, h.PID)
			}
		}
	}
	return "is in use by another program; `sudo atbridge ports` says which"
}

// neighbours lists the ports that do exist, by name only: none is opened.
func neighbours(device string) string {
	var found []string
	for _, pattern := range []string{"/dev/serial/by-id/*", "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			continue // the patterns above are well formed
		}
		found = append(found, names...)
	}
	if len(found) == 0 {
		return "There is no other port either"
	}
	return fmt.Sprintf("There are: %v", found)
}

// Read blocks until a byte has come, the port is unplugged, or Close was called.
func (p *Port) Read(b []byte) (int, error) {
	n, err := p.node.Read(b)
	switch {
	case err == nil:
		return n, nil
	case p.closed.Load():
		return n, os.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, err
	}
	return n, fmt.Errorf("%s was unplugged or has hung up: %w", p.device, err)
}

// SetReadDeadline ends a Read that waits at t with os.ErrDeadlineExceeded; the zero time: never.
func (p *Port) SetReadDeadline(t time.Time) error { return p.node.SetReadDeadline(t) }

// Baud is the rate.
func (p *Port) Baud() int { return int(p.baud.Load()) }

// SetBaud changes the rate at once; what has not been sent yet may go out at either.
func (p *Port) SetBaud(baud int) error {
	if err := p.serial.SetMode(&serial.Mode{BaudRate: baud}); err != nil {
		return openError(p.device, baud, err)
	}
	p.baud.Store(int64(baud))
	return nil
}

// Write sends all of b, or fails with ErrStuck after WriteTimeout; then the port is of no more use and must be closed.
func (p *Port) Write(b []byte) (int, error) {
	n := 0
	err := p.node.SetWriteDeadline(time.Now().Add(p.writeTimeout))
	if err == nil {
		n, err = p.node.Write(b)
	}
	switch {
	case err == nil:
		return n, nil
	case p.closed.Load():
		err = os.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrStuck
	}
	return n, fmt.Errorf("%s: %w", p.device, err)
}

// Close closes the port and ends a Read or Write that waits. It is safe to call twice.
func (p *Port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	return errors.Join(p.node.Close(), p.serial.Close())
}
