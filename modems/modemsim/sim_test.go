package modemsim

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStartRefuses(t *testing.T) {
	for says, cfg := range map[string]Config{
		`unknown model "nokia"; there are: `:              {Model: "nokia"},
		"unknown latency profile \"slow\"; there are: no": {Model: "ec600", Latency: "slow"},
		"baud rate -1 is out of range":                    {Model: "ec600", Baud: -1},
	} {
		if _, err := Start(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %s", err, says)
		}
	}
}

func TestUnplug(t *testing.T) {
	h := start(t, Config{})
	h.ask("AT", "AT\r"+isOK)
	h.sim.Unplug()
	h.f.SetReadDeadline(time.Now().Add(patient))
	if n, err := h.f.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v after a hang-up", n, err)
	}
	h.sim.Unplug()
	if err := errors.Join(h.sim.Close(), h.sim.Close()); err != nil {
		t.Error(err)
	}
}

// Close ends every goroutine, whatever the module is doing.
func TestClose(t *testing.T) {
	f := newFake(t)
	before := runtime.NumGoroutine()
	for _, rtt := range []time.Duration{0, 10 * time.Second} {
		s, err := Start(Config{Model: "ec600", Baud: 9600, RTT: rtt, Map: f.mapped(), Wire: func(bool, []byte) {}})
		if err != nil {
			t.Fatal(err)
		}
		h := &host{t: t, sim: s}
		h.open()
		h.quiet()
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK) // still dialling with the long way
		f.accept()
		h.send(strings.Repeat("x", 500))
		begin := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 9*time.Second { // less than the long way
			t.Errorf("Close took %v", took)
		}
		s.Inject("+LATE") // nobody is there any more, and nothing hangs
		s.Reset()
		h.f.Close()
	}
	deadline := time.Now().Add(patient)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines more than before:\n%s", n-before, buf[:runtime.Stack(buf, true)])
	}
}

// The tap sees what passed, both ways, in order, one call at a time.
func TestWire(t *testing.T) {
	var busy atomic.Int32
	type seen struct {
		fromHost bool
		text     string
	}
	var all []seen
	done := make(chan []seen, 1)
	h := start(t, Config{Baud: 921600, Wire: func(fromHost bool, p []byte) {
		if busy.Add(1) != 1 {
			t.Error("called twice at once")
		}
		if n := len(all); n > 0 && all[n-1].fromHost == fromHost {
			all[n-1].text += string(p)
		} else {
			all = append(all, seen{fromHost, string(p)})
		}
		if n := len(all); n == 4 && strings.HasSuffix(all[3].text, "OK\r\n") {
			done <- all
		}
		busy.Add(-1)
	}})
	h.quiet()
	h.ask("AT", isOK)
	select {
	case got := <-done:
		want := []seen{{true, "ATE0\r"}, {false, "ATE0\r" + isOK}, {true, "AT\r"}, {false, isOK}}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %v, want %v", got[i], want[i])
			}
		}
	case <-time.After(patient):
		t.Fatal("the tap did not see it all")
	}
}

// The way to the broker delays and does not throttle: five publishes in flight cost one
// round trip and not five.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	const rtt = time.Second
	h := start(t, Config{RTT: rtt, Map: b.mapped()})
	begin := time.Now()
	h.online()
	if took := time.Since(begin); took < 2*rtt { // TCP, CONNECT
		t.Errorf("online after %v", took)
	}
	begin = time.Now()
	for id := 1; id <= 5; id++ {
		h.offer(id, 1, "t", "x")
		h.expect(isOK)
	}
	for id := 1; id <= 5; id++ {
		h.expect(urc("+QMTPUBEX: 0,%d,0", id))
	}
	if took := time.Since(begin); took < rtt || took >= 5*rtt {
		t.Errorf("five publishes took %v", took)
	}
	h.ask("AT+QMTDISC=0", isOK+urc("+QMTDISC: 0,0"))
}

// A host that does not read loses bytes, as on a UART without flow control, and the
// module goes on.
func TestOverrun(t *testing.T) {
	t.Parallel()
	h := start(t, Config{})
	for range 40 {
		h.send(strings.Repeat("x", 1000))
	}
	deadline := time.Now().Add(patient)
	for h.sim.Stats().Overruns == 0 && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if h.sim.Stats().Overruns == 0 {
		t.Fatal("nothing was lost")
	}
	h.garbage(0)
	h.send("\rAT\r")
	h.until(isOK)
}

func TestLists(t *testing.T) {
	if got := Models(); !slices.Contains(got, "ec600") {
		t.Errorf("models %v", got)
	}
	for _, line := range Faults() {
		if strings.Contains(line, "\n") {
			t.Errorf("%q is more than one line", line)
		}
	}
}

// A host that was killed leaves the port to the next one, which need not be root to open it: whatever it had set to keep
// others away is gone, as it would be with the last one who closes a real port.
func TestKilledHostLeavesPort(t *testing.T) {
	t.Parallel()
	h := start(t, Config{})
	fd := int(h.f.Fd())
	if err := unix.IoctlSetInt(fd, unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patient)
	for {
		exclusive, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
		if err != nil {
			t.Fatal(err)
		}
		if exclusive == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the port is still for one host alone")
		}
		runtime.Gosched()
	}
}
