package tty

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// takenWithin is how long a program at the other end of a PTY may leave it unread. What does not fit by then is lost, as
// it is on a UART that nobody reads.
const takenWithin = time.Second

// PTY is a port of our own making: what is written to it is read by the program that has opened Path, and the other way
// round. It outlives the programs that open and close Path.
type PTY struct {
	Path   string
	master *os.File
	slave  int // open, or the master would see an error whenever the last program closes Path
}

// OpenPTY makes a pseudo-terminal that changes no byte.
func OpenPTY() (*PTY, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	p := &PTY{master: os.NewFile(uintptr(fd), "/dev/ptmx"), slave: -1}
	if err := p.openSlave(fd); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *PTY) openSlave(master int) error {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlocking a pseudo-terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("naming a pseudo-terminal: %w", err)
	}
	p.Path = fmt.Sprintf("/dev/pts/%d", n)
	if p.slave, err = unix.Open(p.Path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	t, err := unix.IoctlGetTermios(p.slave, unix.TCGETS)
	if err == nil { // what cfmakeraw(3) does
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		err = unix.IoctlSetTermios(p.slave, unix.TCSETS, t)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	return nil
}

// Read blocks until the program at Path has written, or Close.
func (p *PTY) Read(b []byte) (int, error) { return p.master.Read(b) }

// Write writes b for the program at Path.
func (p *PTY) Write(b []byte) (int, error) {
	err := p.master.SetWriteDeadline(time.Now().Add(takenWithin))
	if err == nil {
		_, err = p.master.Write(b)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err
	}
	return len(b), nil
}

// Close hangs up, once.
func (p *PTY) Close() error {
	err := p.master.Close()
	if p.slave >= 0 {
		err = errors.Join(err, unix.Close(p.slave))
	}
	return err
}
