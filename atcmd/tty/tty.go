package tty

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// WriteTimeout is how long a write may be held up by flow control before the line counts as lost. At 4800 baud the
// longest payload of the dialects at hand (8,000 bytes) takes 17 s.
const WriteTimeout = 20 * time.Second

// maxDescriptor leaves the library the few descriptors it opens after ours: it waits with select, whose sets end at
// 1023, and panics beyond.
const maxDescriptor = 1023 - 16

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
	serial serial.Port
	lock   *os.File // holds the flock

	writeTimeout time.Duration

	writes chan []byte
	wrote  chan writeResult
	closed chan struct{}
	once   sync.Once
	err    error // of the first Close
}

type writeResult struct {
	n   int
	err error
}

// Open opens device at baud, for this process alone. The error is an *OpenError.
func Open(device string, baud int) (*Port, error) {
	lock, err := lockNode(device)
	if err != nil {
		return nil, err
	}
	port, err := serial.Open(device, &serial.Mode{BaudRate: baud})
	if err != nil {
		lock.Close()
		return nil, openError(device, baud, err)
	}
	p := &Port{
		device: device,
		serial: port,
		lock:   lock,

		writeTimeout: WriteTimeout,

		writes: make(chan []byte),
		wrote:  make(chan writeResult, 1),
		closed: make(chan struct{}),
	}
	go p.writer()
	return p, nil
}

// lockNode takes the advisory lock on the device node. The descriptor is opened without waiting for a carrier.
func lockNode(device string) (*os.File, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(device, 0, err)
	}
	f := os.NewFile(uintptr(fd), device)
	if fd > maxDescriptor {
		f.Close()
		return nil, &OpenError{device, "cannot be opened: this process has too many files open", unix.EMFILE}
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		f.Close()
		return nil, &OpenError{device, "is not a serial port", err}
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, &OpenError{device, "is in use by another program; see who with `fuser " + device + "`, and stop it", err}
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
		advice = "is in use by another program; see who with `fuser " + device + "`, and stop it (ModemManager is a common one)"
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
	n, err := p.serial.Read(b)
	if err == nil && n == 0 {
		err = unix.EIO // the library's read came back empty though no timeout is set: the port has hung up
	}
	if err != nil {
		select {
		case <-p.closed:
			return n, os.ErrClosed
		default:
			return n, fmt.Errorf("%s was unplugged or has hung up: %w", p.device, err)
		}
	}
	return n, nil
}

// Write sends all of b, or fails with ErrStuck after WriteTimeout; then the port is of no more use and must be closed.
func (p *Port) Write(b []byte) (int, error) {
	select {
	case p.writes <- append([]byte{}, b...): // a stuck write keeps its bytes longer than the caller does
	case <-p.closed:
		return 0, os.ErrClosed
	}
	deadline := time.NewTimer(p.writeTimeout)
	defer deadline.Stop()
	select {
	case r := <-p.wrote:
		return r.n, r.err
	case <-deadline.C:
		return 0, fmt.Errorf("%s: %w", p.device, ErrStuck)
	case <-p.closed:
		return 0, os.ErrClosed
	}
}

// writer is the only goroutine that writes to the port. A write that is stuck stays here and nowhere else.
func (p *Port) writer() {
	for {
		select {
		case b := <-p.writes:
			n, err := p.writeAll(b)
			select {
			case p.wrote <- writeResult{n, err}:
			case <-p.closed:
				return
			}
		case <-p.closed:
			return
		}
	}
}

func (p *Port) writeAll(b []byte) (int, error) {
	sent := 0
	for sent < len(b) {
		n, err := p.serial.Write(b[sent:])
		sent += n
		if err != nil {
			return sent, fmt.Errorf("%s: %w", p.device, err)
		}
		if n == 0 {
			return sent, fmt.Errorf("%s: %w", p.device, unix.EIO) // a hang-up shows as a short write without an error
		}
	}
	return sent, nil
}

// Close closes the port and ends a Read or Write that waits. It is safe to call twice.
func (p *Port) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.err = errors.Join(p.serial.Close(), p.lock.Close())
	})
	return p.err
}
