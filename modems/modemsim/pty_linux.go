package modemsim

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a pseudo-terminal whose slave is raw and kept open by us: the master
// would see EIO as soon as the host closes the port, but a module outlives its host.
type pty struct {
	path   string
	master *os.File // non-blocking, so os.File parks its goroutines in the poller
	slave  int      // only for ioctl; -1 once it is closed
	mu     sync.Mutex
}

func openPTY(baud int) (*pty, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	path, slave, err := openSlave(fd)
	if err == nil {
		if err = makeRaw(slave, baud); err != nil {
			unix.Close(slave)
		}
	}
	if err != nil {
		master.Close()
		return nil, err
	}
	return &pty{path: path, master: master, slave: slave}, nil
}

func openSlave(master int) (path string, fd int, err error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return "", -1, fmt.Errorf("unlock: %w", err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return "", -1, fmt.Errorf("number: %w", err)
	}
	path = fmt.Sprintf("/dev/pts/%d", n)
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", -1, fmt.Errorf("%s: %w", path, err)
	}
	return path, fd, nil
}

var speeds = map[int]uint32{
	1200: unix.B1200, 2400: unix.B2400, 4800: unix.B4800, 9600: unix.B9600, 19200: unix.B19200,
	38400: unix.B38400, 57600: unix.B57600, 115200: unix.B115200, 230400: unix.B230400,
	460800: unix.B460800, 921600: unix.B921600,
}

// makeRaw does what cfmakeraw does, and sets the speed that a host finds if it sets none.
func makeRaw(fd, baud int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return fmt.Errorf("termios: %w", err)
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	if baud > 0 {
		code, standard := speeds[baud]
		if !standard {
			code = unix.BOTHER
		}
		t.Cflag = t.Cflag&^unix.CBAUD | code
		t.Ispeed, t.Ospeed = uint32(baud), uint32(baud)
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
		return fmt.Errorf("termios: %w", err)
	}
	return nil
}

// hostSpeed returns the rate that the host has set on its end, 0 if it cannot be known.
func (p *pty) hostSpeed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, err := unix.IoctlGetTermios(p.slave, unix.TCGETS2)
	if err != nil {
		return 0
	}
	return int(t.Ospeed)
}

// share undoes TIOCEXCL. The kernel does that when the last one closes the port; as we keep it open, a host that was killed
// would keep everybody but root from opening it again.
func (p *pty) share() {
	p.mu.Lock()
	defer p.mu.Unlock()
	unix.IoctlSetInt(p.slave, unix.TIOCNXCL, 0) // fails on one that is closed already, which needs it no more
}

// write waits for room for data, so long at most. A deadline that passes before the write has had its turn, because the
// machine is busy, says nothing of the line: what there is room for then goes out still.
func (p *pty) write(data []byte, wait time.Duration) (n int, err error) {
	p.master.SetWriteDeadline(time.Now().Add(wait))
	n, err = p.master.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	raw, errRaw := p.master.SyscallConn()
	if errRaw != nil {
		return n, err
	}
	p.master.SetWriteDeadline(time.Time{})
	raw.Write(func(fd uintptr) bool { // it is not blocking; who closes it meanwhile takes no more
		m, _ := unix.Write(int(fd), data[n:])
		n += max(m, 0)
		return true
	})
	if n == len(data) {
		err = nil
	}
	return n, err
}

// unplug closes both ends: whoever reads or writes is woken with an error.
func (p *pty) unplug() {
	p.master.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slave >= 0 {
		unix.Close(p.slave)
		p.slave = -1
	}
}

// sleeper sleeps until a moment, exactly: a timerfd in the poller wakes within some
// 30 µs, where the runtime's own timers round to whole milliseconds on an idle process.
// A sleeper belongs to one goroutine.
type sleeper struct {
	fd   int
	file *os.File
	buf  [8]byte
}

func newSleeper() *sleeper {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &sleeper{fd: -1}
	}
	return &sleeper{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}
}

func (s *sleeper) until(t time.Time) {
	d := time.Until(t)
	if d <= 0 {
		return
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	if s.file == nil || unix.TimerfdSettime(s.fd, 0, &spec, nil) != nil {
		time.Sleep(d)
		return
	}
	s.file.Read(s.buf[:])
}

func (s *sleeper) close() {
	if s.file != nil {
		s.file.Close()
	}
}
