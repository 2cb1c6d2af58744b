package main

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// A disk that takes nothing more shows, above all while there is no broker: that is when the queue fills.
func TestFullDiskShows(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200})
	r.take("host")
	nobody, page := modemtest.FreeAddr(t), modemtest.FreeAddr(t)
	r.change(r.cloud, nobody)
	r.change("status: {", "status: {listen: \""+page+"\", ")
	r.start()
	house := mustClient(t, r.local(), "sensor")
	gauge := func(want string) func() bool {
		return func() bool {
			_, body := get(t, "http://"+page+"/metrics")
			return strings.Contains(body, "\natbridge_queue_broken "+want+"\n")
		}
	}
	eventually(t, "metrics of a sound disk", 10*time.Second, gauge("0"))
	limit := func(bytes uint64) { // what a file may grow to: to write beyond fails as on a full disk
		t.Helper()
		if err := unix.Prlimit(r.daemon.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(0)
	house.Publish("sensors/t", 1, false, "x") // never acknowledged
	eventually(t, "the metrics", 10*time.Second, gauge("1"))
	eventually(t, "both reasons", 20*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Queue.Rejected > 0 && s.Queue.Broken != "" && strings.HasSuffix(s.Reason, "; "+s.Queue.Broken) &&
			strings.Contains(s.Reason, "connection refused")
	})
	limit(unix.RLIM_INFINITY)
	eventually(t, "the disk to work again", 20*time.Second, gauge("0"))
	if s, err := r.status(); err != nil || strings.Contains(s.Reason, "queue") {
		t.Errorf("%q, %v", s.Reason, err)
	}
}
