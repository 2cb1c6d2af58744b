package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// After a long time without a network: the queue is opened at once, its messages go up over a fast line, in order, each
// of them once, and the daemon stays small. scripts/figures.sh asks for 100,000 of them.
func TestBacklog(t *testing.T) {
	t.Parallel()
	backlog := 20_000
	if n, err := strconv.Atoi(os.Getenv("ATBRIDGE_BACKLOG")); err == nil {
		backlog = n
	}
	r := newRig(t, modemsim.Config{Model: "ec600"}) // not paced
	r.change("baud: 0", "baud: 115200")
	r.take("tcp")
	fill(t, r.queue(), backlog)

	next, wrong := 0, ""
	all := make(chan bool)
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", func(_ string, p []byte) {
		n, err := strconv.Atoi(strings.TrimSpace(string(p)))
		if (err != nil || n != next) && wrong == "" {
			wrong = fmt.Sprintf("%.20q came in place of %d", p, next)
		}
		if next++; next == backlog {
			close(all)
		}
	})
	begin := time.Now()
	r.start()
	r.local()
	opened := time.Since(begin)
	r.online()
	begin = time.Now()
	select {
	case <-all:
	case <-time.After(10 * time.Minute):
		t.Fatalf("%d of %d messages have arrived", next, backlog)
	}
	drained := time.Since(begin)
	peak := peakMemory(t, r.daemon.Process.Pid)
	t.Logf("backlog of %d: ready after %.2f s, drained in %.1f s (%.0f/s), peak RSS %.1f MB",
		backlog, opened.Seconds(), drained.Seconds(), float64(backlog)/drained.Seconds(), float64(peak)/1e6)
	if wrong != "" {
		t.Error(wrong)
	}
	if opened > 5*time.Second {
		t.Errorf("it took %v to open the queue", opened)
	}
	if peak > 40e6 && !raceDetector() {
		t.Errorf("a peak of %d bytes in memory", peak)
	}
	eventually(t, "an empty queue", 10*time.Second, func() bool { s, err := r.status(); return err == nil && s.Queue.Messages == 0 })
	r.stop()
}

// fill makes a queue of numbers, each with 200 bytes.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	o, err := bridge.OpenOutbox(bridge.OutboxConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, n)
	for i := range n {
		o.Put(modems.Message{Topic: "site7/sensors/hall/temperature", Payload: fmt.Appendf(nil, "%-200d", i), QoS: 1}, func(err error) { stored <- err })
	}
	for range n {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

// peakMemory is the most that a process has had in memory.
func peakMemory(t *testing.T, pid int) (bytes int) {
	t.Helper()
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(kb, &bytes); err != nil {
				t.Fatal(err)
			}
			return bytes * 1024
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// raceDetector reports whether this is go test -race, whose programs need many times the memory.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}
