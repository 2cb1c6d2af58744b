package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// The waits grow, up to a bound; a session that stood ends the row, one that did not does not.
func TestBackoff(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := backoff{most: 10 * time.Second}
	about := func(want time.Duration) {
		t.Helper()
		if got := b.wait(now); got < want/2 || got > want+want/2 {
			t.Errorf("waits %v, want about %v", got, want)
		}
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		about(want * time.Second)
	}
	b.stood(now.Add(-stable + time.Second))
	about(10 * time.Second)
	b.stood(now.Add(-stable))
	about(time.Second)
	about(2 * time.Second)
	b.anew()
	about(time.Second)
}

// Which failures let the next session wait for longer, and which do not.
func TestRowOfFailures(t *testing.T) {
	byBroker, cut := fmt.Errorf("%w: EOF", modems.ErrByBroker), errors.New("the line was cut")
	type failure struct {
		how       reach
		why       error
		online    bool // a session had stood for a moment
		delivered bool // something
	}
	refuses, dropped := failure{noFault, modems.ConnackError(5), false, false}, failure{noSession, byBroker, true, false}
	unplugged, replugged := failure{noPort, cut, false, false}, failure{noPort, cut, true, false}
	for name, tc := range map[string]struct {
		failures []failure
		want     time.Duration // what the next failure of a session would cost, about
	}{
		"it refuses":                     {slices.Repeat([]failure{refuses}, 9), backoffMax},
		"it takes all and drops them":    {slices.Repeat([]failure{dropped}, 9), backoffMax},
		"unplugged":                      {slices.Repeat([]failure{unplugged}, 9), backoffFirst},
		"comes and goes":                 {slices.Repeat([]failure{replugged}, 9), backoffFirst},
		"comes and goes, and it refuses": {slices.Repeat([]failure{refuses, unplugged}, 9), backoffMax},
		"data flowed, then it was cut":   {append(slices.Repeat([]failure{refuses}, 9), failure{noSession, cut, true, true}), 2 * backoffFirst},
		"data flowed, then it dropped":   {append(slices.Repeat([]failure{refuses}, 9), failure{noSession, byBroker, true, true}), backoffMax},
	} {
		t.Run(name, func(t *testing.T) {
			b := overModem(t, modemsim.Config{Model: "ec600"}, time.Minute, newCloud(t))
			defer func() { must(t, errors.Join(b.local.Close(), b.outbox.Close())) }()
			for _, f := range tc.failures {
				if f.online {
					b.onlineAt, b.before = time.Now(), b.upDelivered.Load()
				}
				if f.delivered {
					b.upDelivered.Add(1)
				}
				b.climb(f.how, f.why)
				b.resting.wait(time.Now())
			}
			if got := max(b.backoff.next, backoffFirst); got != tc.want {
				t.Errorf("the next session would wait for about %v, want %v", got, tc.want)
			}
		})
	}
}

// What a port costs that is gone for a while: it is found soon after it has come back, and nothing is left of the waiting.
func TestUnpluggedForAWhile(t *testing.T) {
	t.Parallel()
	var waits atomic.Int64
	var gone atomic.Bool
	var module *modemsim.Sim
	b := overModem(t, modemsim.Config{Model: "ec600", Baud: 115200}, time.Minute, newCloud(t), func(cfg *Config, s *modemsim.Sim) {
		module, cfg.Path = s, "tcp"
		open := cfg.Modem.Open
		cfg.Modem.Open = func(ctx context.Context) (io.ReadWriteCloser, string, error) {
			if gone.Load() { // its name may be another test's by now
				return nil, "", fs.ErrNotExist
			}
			return open(ctx)
		}
		cfg.Changed = func(st State, _ string) {
			if st == BackingOff {
				waits.Add(1)
			}
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	until(t, "a session", 30*time.Second, func() bool { return b.Status().State == Online })
	gone.Store(true)
	module.Unplug()
	until(t, "four attempts", 100*time.Second, func() bool { return waits.Load() >= 4 })
	must(t, module.Replug())
	gone.Store(false)
	until(t, "a session", 40*time.Second, func() bool { return b.Status().State == Online })
	stop()
	must(t, <-ended)
	if b.ports.next != 0 || b.backoff.next > 4*backoffFirst { // the first dial on the new port may fail
		t.Errorf("the next failure would cost %v of the port, %v of a session", b.ports.next, b.backoff.next)
	}
}
