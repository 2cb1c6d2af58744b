package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// What speaks against a message, what clears it, and what says nothing.
func TestSuspect(t *testing.T) {
	byBroker := fmt.Errorf("%w: EOF", modems.ErrByBroker)
	cut := errors.New("the line was cut")
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type session struct {
		oldest uint64        // not acknowledged at its end; 0: nothing
		took   time.Duration // from that message to the end
		err    error
	}
	hit, slow, other := session{7, time.Second, byBroker}, session{7, time.Hour, byBroker}, session{8, time.Second, byBroker}
	short := session{7, -1, cut} // in the quiet before its test
	without, failed, acked := session{0, 0, byBroker}, session{7, time.Second, cut}, session{}
	for name, tc := range map[string]struct {
		sessions []session
		want     bool
	}{
		"four times":                      {[]session{hit, hit, hit, hit}, true},
		"three times":                     {[]session{hit, hit, hit}, false},
		"another was the oldest":          {[]session{hit, hit, other, hit, hit}, false},
		"acknowledged":                    {[]session{hit, hit, hit, acked, hit}, false},
		"a session ended without it":      {[]session{hit, hit, hit, without, hit}, false},
		"the line says nothing":           {[]session{hit, failed, hit, failed, hit, failed, hit}, true},
		"the line alone":                  {[]session{failed, failed, failed, failed, failed}, false},
		"the line cuts the quiet short":   {[]session{hit, hit, short, hit, hit}, false},
		"and then it is tested":           {[]session{hit, hit, short, hit, hit, hit, hit}, true},
		"a session stood longer with it":  {[]session{hit, hit, slow, slow, slow, slow}, false},
		"once as long, then not as long":  {[]session{hit, hit, slow, hit, hit}, true},
		"a slow one that is not yet test": {[]session{slow, slow, hit, hit}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := suspect{quiet: suspectQuiet}
			for _, end := range tc.sessions {
				if end == acked {
					s.delivered(7, 1)
					continue
				}
				if end.oldest != 0 {
					stand, alone := s.tested(end.oldest)
					if alone && end != short {
						s.testing(stand)
					}
					if end != short {
						s.left(end.oldest, began.Add(-end.took))
					}
				}
				if err := s.ended(end.err, false, began); !errors.Is(err, end.err) {
					t.Error(err)
				}
			}
			if why := s.guilty(7, began); (why != nil) != tc.want || why != nil && !errors.Is(why, byBroker) {
				t.Error(why)
			}
		})
	}
	t.Run("the modem ended it", func(t *testing.T) {
		s := suspect{}
		for range suspectGuilty {
			s.left(7, began)
			s.ended(byBroker, true, began)
		}
		if why := s.guilty(7, began); why != nil {
			t.Error(why)
		}
	})
	t.Run("while it was handed over", func(t *testing.T) {
		s := suspect{}
		for range suspectGuilty {
			s.testing(time.Minute)
			s.cut(7, began)
			s.cut(8, began) // behind it
			s.ended(byBroker, false, began)
		}
		if why := s.guilty(7, began); why == nil {
			t.Error("it is not guilty")
		}
	})
	t.Run("every message", func(t *testing.T) {
		s, now, aside := suspect{}, began, 0
		for id := uint64(1); now.Before(began.Add(suspectPause - time.Minute)); now = now.Add(10 * time.Second) {
			s.testing(time.Minute)
			s.left(id, now)
			s.ended(byBroker, false, now)
			if s.guilty(id, now) != nil {
				aside++
				id++
			}
		}
		if aside != suspectAside {
			t.Errorf("%d of them were set aside within %v", aside, now.Sub(began))
		}
		if s.guilty(suspectAside+1, now.Add(suspectPause)) == nil {
			t.Error("it stays for ever")
		}
	})
}

// onHost makes a bridge that has no modem.
func onHost(cfg *Config, _ *modemsim.Sim) { cfg.Path, cfg.Modem = "host", nil }

// A message at which the broker ends the session is set aside, and the rest goes on.
func TestBrokerEndsSession(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 6000)
	for name, tc := range map[string]struct {
		path, topic, payload string
		model                string
		faults               []string
	}{
		"forbidden topic, host":     {"host", "forbidden", "bad", "ec600", nil},
		"forbidden topic, tcp":      {"tcp", "forbidden", "bad", "ec600", nil},
		"forbidden topic, native":   {"native", "forbidden", "bad", "ec600", nil},
		"too large, host":           {"host", "t", large, "ec600", nil},
		"too large, tcp":            {"tcp", "t", large, "ec600", nil},
		"forbidden topic, Air724UG": {"native", "forbidden", "bad", "air724ug", nil},
		"forbidden topic, NT35E":    {"native", "forbidden", "bad", "nt35e", nil},
		"failed before the end":     {"native", "forbidden", "bad", "ec600", []string{"fail-inflight"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCloud(t, &cloud{forbidden: "forbidden", largest: 2000})
			baud := 460800
			if tc.faults != nil { // what comes right behind takes its time
				baud = 4800
			}
			sim := modemsim.Config{Model: tc.model, Baud: baud, RTT: 20 * time.Millisecond, Faults: tc.faults}
			b := overModem(t, sim, time.Minute, c, func(cfg *Config, s *modemsim.Sim) {
				if cfg.Path = tc.path; tc.path == "host" {
					onHost(cfg, s)
				}
			})
			b.suspect.quiet = time.Second
			sent := b.offer(t, 0, 5, "before")
			stored := make(chan error, 1)
			b.outbox.Put(modems.Message{Topic: tc.topic, Payload: []byte(tc.payload), QoS: 1}, func(err error) { stored <- err })
			must(t, <-stored)
			sent = append(sent, b.offer(t, 5, 20, "behind")...)
			b.running(t)
			until(t, "what is behind it", 85*time.Second, func() bool { return slices.Contains(c.all(), sent[len(sent)-1]) })
			until(t, "the last acknowledgement", 10*time.Second, func() bool { return b.Status().Queue.Messages == 0 })
			var first []string // arrivals
			for _, p := range c.all() {
				if !slices.Contains(first, p) {
					first = append(first, p)
				}
			}
			if !slices.Equal(first, sent) {
				t.Errorf("arrived: %q", first)
			}
			if n := b.Status().Queue.Poisoned; n != 1 {
				t.Errorf("%d messages are set aside", n)
			}
			for m, err := range b.Queue().All() {
				if err != nil || m.State != "poisoned" || m.Message.Topic != tc.topic || !strings.Contains(m.Reason, errSuspect.Error()) {
					t.Errorf("%v, %s, %s: %s", err, m.State, m.Message.Topic, m.Reason)
				}
			}
		})
	}
}

// kicking is what a session looks like that somebody else with the same identity takes over before anything in it was
// acknowledged; a broker that keeps restarting looks the same.
type kicking struct {
	mochi.HookBase
	left atomic.Int64
}

func (k *kicking) ID() string { return "kicking" }

func (k *kicking) Provides(h byte) bool {
	return h == mochi.OnSessionEstablished || h == mochi.OnPublish
}

func (k *kicking) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) {
	if k.left.Add(-1) >= 0 {
		time.AfterFunc(100*time.Millisecond, func() { cl.Stop(packets.ErrSessionTakenOver) })
	}
}

func (k *kicking) OnPublish(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if k.left.Load() >= 0 {
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// Sessions that are taken over again and again, each before it could deliver anything, are no reason to set a message aside.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	k := &kicking{}
	k.left.Store(suspectGuilty + 1)
	c := startCloud(t, &cloud{also: k})
	b := overModem(t, modemsim.Config{Model: "ec600"}, time.Minute, c, onHost)
	b.suspect.quiet = time.Second
	sent := b.offer(t, 0, 20, "good")
	b.running(t)
	until(t, "all messages", 100*time.Second, func() bool {
		return b.Status().Counters.UpDelivered == uint64(len(sent)) || b.Status().Queue.Poisoned > 0
	})
	if s := b.Status(); s.Queue.Poisoned > 0 || !slices.Equal(c.all(), sent) || s.Counters.Sessions <= suspectGuilty {
		t.Errorf("%d set aside, %d sessions, arrived: %q", s.Queue.Poisoned, s.Counters.Sessions, c.all())
	}
}

// While a message waits for its test, an orderly stop does not.
func TestStopsInTest(t *testing.T) {
	t.Parallel()
	c := startCloud(t, &cloud{forbidden: "forbidden"})
	b := overModem(t, modemsim.Config{Model: "ec600"}, time.Minute, c, onHost)
	b.suspect.quiet = suspectQuietest
	stored := make(chan error, 1)
	b.outbox.Put(modems.Message{Topic: "forbidden", QoS: 1}, func(err error) { stored <- err })
	must(t, <-stored)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	until(t, "the test", 60*time.Second, func() bool {
		return b.Status().Counters.Sessions > suspectAfter && b.Status().State == Online
	})
	stop()
	select {
	case err := <-ended:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Error("it does not stop")
	}
}
