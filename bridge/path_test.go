package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// When auto takes which path.
func TestPaths(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	failed := errors.New("no answer")
	unfit := fmt.Errorf("%w: no will", modems.ErrUnsupported)
	noTarget := targetError{errors.New("routes: a loop")}
	noLogin := fmt.Errorf("not online: %w", loginError{errors.New("no token")})
	refused := fmt.Errorf("dial: %w", modems.ConnackError(5))
	type end struct {
		err   error
		stood lasted
		after time.Duration // of the session
		other bool
	}
	detour := []end{{errOtherPath, shortly, 0, true}, {failed, never, 0, false}, {failed, never, 0, false}, {failed, never, 0, true}}
	for name, tc := range map[string]struct {
		mode    string
		sockets bool
		ends    []end
		path    string // in the end
	}{
		"at first":                  {"auto", true, nil, "native"},
		"fixed":                     {"native", true, []end{{unfit, never, 0, false}, {failed, never, 0, false}, {failed, never, 0, false}, {failed, never, 0, false}}, "native"},
		"fixed to tcp":              {"tcp", true, []end{{failed, never, 0, false}}, "tcp"},
		"no sockets":                {"auto", false, []end{{unfit, never, 0, false}, {failed, never, 0, false}, {failed, never, 0, false}, {failed, never, 0, false}}, "native"},
		"unfit":                     {"auto", true, []end{{unfit, never, 0, true}}, "tcp"},
		"unfit, for good":           {"auto", true, []end{{unfit, never, 0, true}, {failed, never, time.Hour, false}}, "tcp"},
		"too large":                 {"auto", true, []end{{errOtherPath, long, 0, true}}, "tcp"},
		"two failures":              {"auto", true, []end{{failed, never, 0, false}, {failed, never, 0, false}}, "native"},
		"three failures":            {"auto", true, []end{{failed, never, 0, false}, {failed, never, 0, false}, {failed, never, 0, true}}, "tcp"},
		"not in a row":              {"auto", true, []end{{failed, never, 0, false}, {failed, never, 0, false}, {failed, long, 0, false}, {failed, never, 0, false}}, "native"},
		"the broker refuses":        {"auto", true, []end{{refused, never, 0, false}, {refused, never, 0, false}, {refused, never, 0, false}}, "native"},
		"no target":                 {"auto", true, []end{{noTarget, never, 0, false}, {noTarget, never, 0, false}, {noTarget, never, 0, false}}, "native"},
		"no login":                  {"auto", true, []end{{noLogin, never, 0, false}, {noLogin, never, 0, false}, {noLogin, never, 0, false}}, "native"},
		"no time":                   {"auto", true, []end{{ErrNoTime, never, 0, false}, {ErrNoTime, never, 0, false}, {ErrNoTime, never, 0, false}}, "native"},
		"no target, on tcp":         {"auto", true, []end{{errOtherPath, long, 0, true}, {failed, never, 0, false}, {failed, never, 0, false}, {noTarget, never, 0, false}}, "tcp"},
		"held":                      {"auto", true, []end{{errOtherPath, long, 0, true}, {failed, long, 29 * time.Minute, false}}, "tcp"},
		"the hold is over":          {"auto", true, []end{{errOtherPath, long, 0, true}, {errHoldOver, long, 30 * time.Minute, true}}, "native"},
		"over while nothing stands": {"auto", true, []end{{errOtherPath, long, 0, true}, {failed, never, 31 * time.Minute, false}}, "native"},
		"tcp does not work either":  {"auto", true, []end{{errOtherPath, long, 0, true}, {failed, never, 0, false}, {failed, never, 0, false}, {failed, never, 0, true}}, "native"},
		"once more is enough":       {"auto", true, []end{{errOtherPath, long, 0, true}, {errHoldOver, long, 30 * time.Minute, true}, {failed, never, 0, true}}, "tcp"},
		"a detour once more":        {"auto", true, slices.Concat(detour, detour), "native"},
	} {
		t.Run(name, func(t *testing.T) {
			p := paths{mode: tc.mode, hold: nativeHold}
			at := now
			for i, e := range tc.ends {
				path, _ := p.choose(at)
				at = at.Add(e.after)
				if got := p.ended(path, e.err, e.stood, tc.sockets, at); got != e.other {
					t.Errorf("end %d: %v", i, got)
				}
			}
			path, why := p.choose(at)
			if path != tc.path || (why != nil) != (path == "tcp" && tc.mode == "auto") {
				t.Errorf("%s, %v", path, why)
			}
			if left := p.left(at); (left > 0) != (why != nil && p.unfit == nil) {
				t.Errorf("held for %v", left)
			}
		})
	}
}

// When tcp is no alternative any more for what native cannot carry, and for how long.
func TestDetours(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dead := errors.New("no socket opens")
	p := paths{mode: "auto", hold: nativeHold}
	detours := func() bool { return way{other: true, bar: p.bar}.detour(now) }
	round := func(stood lasted) {
		t.Helper()
		if !detours() {
			t.Fatal(p.bar.why)
		}
		p.ended("native", errOtherPath, shortly, true, now)
		for range nativeTries {
			p.ended("tcp", dead, stood, true, now)
		}
	}
	for range 3 * nativeTries { // it works, though not for long
		round(shortly)
	}
	round(never)
	round(never)
	round(shortly)
	for range nativeTries {
		round(never)
	}
	if detours() || p.bar.why != dead {
		t.Errorf("after %d rounds: %v", nativeTries, p.bar.why)
	}
	now = now.Add(nativeHold)
	round(never)
	if detours() {
		t.Error("after one round more")
	}
	if (way{}).detour(now.Add(nativeHold)) {
		t.Error("there is no other path")
	}
}

// What native cannot carry, and tcp, which does not work, not either, is set aside, with both reasons; the rest goes on.
func TestNeitherPath(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var log lockedBuffer
	var b *Bridge
	b = overModem(t, modemsim.Config{Model: "ec600", Baud: 460800, RTT: 20 * time.Millisecond}, time.Minute, c, func(cfg *Config, _ *modemsim.Sim) {
		cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		target := cfg.Target
		cfg.Target = func(id modems.Identity) (Target, error) {
			to, err := target(id)
			if path, _ := b.paths.choose(time.Now()); path == "tcp" {
				to.Brokers[0].Port = 1 // nobody listens there
			}
			return to, err
		}
	})
	b.backoff.most = time.Second
	sent := b.offer(t, 0, 5, "small")
	b.offer(t, 5, 1, strings.Repeat("large", 1000))
	sent = append(sent, b.offer(t, 6, 20, "behind")...)
	b.running(t)
	until(t, "all messages", 90*time.Second, func() bool { return len(c.all()) >= len(sent) })
	if !slices.Equal(c.all(), sent) {
		t.Errorf("arrived: %q", c.all())
	}
	poisoned := 0
	for m, err := range b.Queue().All() {
		if m.State != "poisoned" {
			continue
		}
		poisoned++
		if err != nil || !strings.Contains(m.Reason, "bytes of payload") || !strings.Contains(m.Reason, "path tcp does not work") {
			t.Errorf("%v: %s", err, m.Reason)
		}
	}
	if poisoned != 1 {
		t.Errorf("%d messages are set aside", poisoned)
	}
	both := regexp.MustCompile(`why="path tcp: connect: [^"]*; and path native: message \d+ could not pass the module's own stack: \d+ bytes of payload; `)
	if !both.MatchString(log.String()) {
		t.Errorf("no reason names both paths:\n%s", log.String())
	}
}

// Why the session goes by tcp names a message for as long as there is that message.
func TestDetourReason(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var mu sync.Mutex
	var said []string
	b := overModem(t, modemsim.Config{Model: "ec600", Baud: 460800, RTT: 20 * time.Millisecond}, time.Minute, c, func(cfg *Config, _ *modemsim.Sim) {
		cfg.Changed = func(s State, why string) {
			mu.Lock()
			defer mu.Unlock()
			if s == Online {
				said = append(said, why)
			}
		}
	})
	b.offer(t, 0, 1, strings.Repeat("large", 1000))
	b.running(t)
	until(t, "the message", 30*time.Second, func() bool { return b.Status().Counters.UpDelivered == 1 })
	mu.Lock()
	defer mu.Unlock()
	if last := said[len(said)-1]; !strings.HasPrefix(last, "path tcp: message 1 could not pass the module's own stack: ") {
		t.Errorf("first: %q", said)
	}
	if s := b.Status(); s.State != Online || !strings.HasPrefix(s.Reason, "path tcp: native is tried again at ") {
		t.Errorf("then: %s, %q", s.State, s.Reason)
	}
}
