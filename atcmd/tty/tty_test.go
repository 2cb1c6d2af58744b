package tty

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/atcmd"
)

// pty returns a pseudo-terminal's master and the name of its slave.
func pty(t *testing.T) (*os.File, string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return master, fmt.Sprintf("/dev/pts/%d", n)
}

func open(t *testing.T, device string) *Port {
	t.Helper()
	p, err := Open(device, 115200)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestEveryByteBothWays(t *testing.T) {
	master, device := pty(t)
	p := open(t, device)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for from, to := range map[io.Writer]io.Reader{p: master, master: p} {
		if _, err := from.Write(every); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 256)
		if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, every) {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// Each port that cannot be opened says why, and what to do.
func TestCannotBeOpened(t *testing.T) {
	_, busy := pty(t)
	open(t, busy)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string]string{
		"/dev/ttyUSB99": "does not exist",
		busy:            "is in use by another program",
		file:            "is not a serial port",
		"/dev":          "is not a serial port",
	} {
		_, err := Open(device, 115200)
		var open *OpenError
		if !errors.As(err, &open) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", device, err, want)
		}
	}
	if _, err := Open("/dev/ttyUSB99", 115200); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A second Open must not take the first one's exclusivity away.
func TestStaysExclusive(t *testing.T) {
	_, device := pty(t)
	open(t, device)
	for range 3 {
		if _, err := Open(device, 115200); err == nil {
			t.Fatal("opened a second time")
		}
	}
}

func TestUnplugEndsRead(t *testing.T) {
	master, device := pty(t)
	p := open(t, device)
	read := make(chan error, 1)
	go func() { _, err := p.Read(make([]byte, 1)); read <- err }()
	master.Close()
	if err := <-read; err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("an unplugged port reads %v", err)
	}
}

func TestCloseEndsReadAndWrite(t *testing.T) {
	_, device := pty(t)
	p := open(t, device)
	read := make(chan error, 1)
	go func() { _, err := p.Read(make([]byte, 1)); read <- err }()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	// The library's own Write would succeed here, and go into whatever file has the descriptor now.
	if n, err := p.Write([]byte("AT\r")); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after Close: %d, %v", n, err)
	}
}

// Nobody reads the other end: Write comes back with a sentence, and Close does not hang.
func TestStuckWrite(t *testing.T) {
	_, device := pty(t)
	p := open(t, device)
	p.writeTimeout = 50 * time.Millisecond
	stuck := make(chan error, 1)
	go func() { _, err := p.Write(bytes.Repeat([]byte("x"), 1<<20)); stuck <- err }()
	select {
	case err := <-stuck:
		if !errors.Is(err, ErrStuck) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a write hangs")
	}
	start := time.Now()
	p.Close()
	if took := time.Since(start); took > 15*time.Second { // the kernel would wait for 30 (closing_wait)
		t.Errorf("Close took %v", took)
	}
}

// The modem takes no more bytes in the middle of a command: who waits for it, and who waits in the queue, is told.
func TestStuckWriteEndsTheEngine(t *testing.T) {
	_, device := pty(t)
	p := open(t, device)
	p.writeTimeout = 200 * time.Millisecond
	e := atcmd.New(p)
	defer e.Close()
	told := make(chan error, 3)
	for range cap(told) {
		go func() {
			_, err := e.Do(t.Context(), atcmd.Exec("+X"+strings.Repeat("x", 1<<20)).WithTimeout(time.Minute))
			told <- err
		}()
	}
	for range cap(told) {
		select {
		case err := <-told:
			if !errors.Is(err, atcmd.ErrClosed) || !errors.Is(err, ErrStuck) {
				t.Errorf("%.60v...", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a blocked write hangs whoever waits for it")
		}
	}
}
