package main

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems/modemsim"
)

// The units hand every secret of the configuration to the daemon under its key.
func TestUnitsKnowTheSecrets(t *testing.T) {
	for _, unit := range []string{"atbridge", "atbridge@"} {
		text := readFile(t, "../../scripts/"+unit+".service")
		name := strings.ReplaceAll(unit, "@", ".%i")
		c := Config{Modem: &Modem{}}
		for _, p := range platforms {
			section, _ := lookup(&c, "cloud."+p.name)
			section.Set(reflect.New(section.Type().Elem()))
		}
		n := 0
		eachSecret(reflect.ValueOf(&c).Elem(), "", func(key string, _ *Secret) {
			n++
			if line := "\nLoadCredential=" + key + ":" + name + "." + key + "\n"; !strings.Contains(text, line) {
				t.Errorf("%s.service lacks%s", unit, line)
			}
		})
		if found := strings.Count(text, "\nLoadCredential="); found != n {
			t.Errorf("%s.service hands over %d secrets, the configuration has %d", unit, found, n)
		}
	}
}

// The file that the packages install is sound, and its lines with defaults in them are too.
func TestInstalledConfiguration(t *testing.T) {
	code, _, stderr := call("check", "--config", "../../scripts/atbridge.yaml")
	if code != 0 || stderr != "" {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// What ends a start with exit code 2 is for a person: the unit does not try again then, and does after a disk was full.
func TestStartErrors(t *testing.T) {
	for _, unit := range []string{"atbridge", "atbridge@"} {
		if !strings.Contains(readFile(t, "../../scripts/"+unit+".service"), "\nRestart=always\n") || !strings.Contains(readFile(t, "../../scripts/"+unit+".service"), "\nRestartPreventExitStatus=2\n") {
			t.Errorf("%s.service does not start the daemon again, or does after exit code 2", unit)
		}
	}
	for cause, want := range map[error]int{syscall.ENOSPC: 1, syscall.EDQUOT: 1, syscall.EADDRNOTAVAIL: 1, syscall.EADDRINUSE: 2, syscall.EACCES: 2} {
		if code := exitCode(startError(&os.PathError{Op: "open", Path: "x", Err: cause})); code != want {
			t.Errorf("%v: exit %d, want %d", cause, code, want)
		}
	}
}

// listener stands for systemd: it listens on a socket such as NOTIFY_SOCKET names and keeps what it is told.
type listener struct {
	name string
	mu   sync.Mutex
	told []string
}

func newListener(t *testing.T) *listener {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // a socket's name must be short
	if err != nil {
		t.Fatal(err)
	}
	m := &listener{name: filepath.Join(dir, "notify")}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close(); os.RemoveAll(dir) })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(b[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// count is how often it was told something that begins so.
func (m *listener) count(prefix string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, text := range m.told {
		if strings.HasPrefix(text, prefix) {
			n++
		}
	}
	return n
}

// The service has started when the queue is open and the port was found, and not before; until then it asks for more time,
// and says what it waits for.
func TestReadyWhenThePortIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	m := newListener(t)
	port := filepath.Join(r.dir, "modem")
	r.change("port: "+r.sim.Path(), "port: "+port)
	r.env = []string{"NOTIFY_SOCKET=" + m.name}
	r.start()
	r.local()
	eventually(t, "a request for more time, and why", 30*time.Second, func() bool {
		return m.count("EXTEND_TIMEOUT_USEC=120000000") > 0 && m.count("STATUS=backing-off: "+port+": does not exist") > 0
	})
	if n := m.count("READY=1"); n != 0 {
		t.Fatal("ready without a port")
	}
	if err := os.Symlink(r.sim.Path(), port); err != nil {
		t.Fatal(err)
	}
	r.online()
	eventually(t, "systemd to hear of it", 10*time.Second, func() bool { return m.count("READY=1") == 1 && m.count("STATUS=online") > 0 })
	r.stop()
	if m.count("STOPPING=1") != 1 || m.count("READY=1") != 1 {
		t.Errorf("told %q", m.told)
	}
}

// Without a modem there is no port to wait for.
func TestReadyWithoutModem(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200})
	m := newListener(t)
	r.take("host")
	r.env = []string{"NOTIFY_SOCKET=" + m.name}
	r.start()
	eventually(t, "the service to have started", 30*time.Second, func() bool { return m.count("READY=1") == 1 })
	r.stop()
}

// A supervisor that hangs feeds the watchdog no more, though all other parts of the process run. Here it hangs because the file
// of the authority, which it reads for each session, has become a FIFO that nobody writes to.
func TestWatchdogStarves(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	m := newListener(t)
	r.secure()
	r.take("tcp")
	r.env = []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=2000000"}
	r.start()
	r.online()
	before := m.count("WATCHDOG=1")
	eventually(t, "an idle bridge to feed the watchdog", 20*time.Second, func() bool { return m.count("WATCHDOG=1") >= before+5 })

	authority := readFile(t, r.ca)
	if err := os.Remove(r.ca); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(r.ca, 0o600); err != nil {
		t.Fatal(err)
	}
	before = m.count("STATUS=connecting")
	r.sim.Reset()
	eventually(t, "the supervisor to reach the file", 60*time.Second, func() bool { return m.count("STATUS=connecting") > before })
	fed := m.count("WATCHDOG=1")
	time.Sleep(4 * time.Second) // that nothing comes shows in nothing else than time: twice what systemd would wait for
	if n := m.count("WATCHDOG=1"); n != fed {
		t.Errorf("the watchdog was fed %d times while the supervisor hung", n-fed)
	}
	if _, err := r.status(); err != nil {
		t.Errorf("the process is gone, or all of it hangs: %v", err)
	}

	// It hung at this file, and nowhere else.
	fifo, err := os.OpenFile(r.ca, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh := r.ca + ".fresh"
	write(t, fresh, authority, 0o600)
	if err := os.Rename(fresh, r.ca); err != nil {
		t.Fatal(err)
	}
	if _, err := fifo.WriteString(authority); err != nil {
		t.Fatal(err)
	}
	fifo.Close()
	eventually(t, "the watchdog to be fed again", 30*time.Second, func() bool { return m.count("WATCHDOG=1") > fed })
	r.online()
	r.stop()
}
