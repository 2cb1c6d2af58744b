package bridge

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// A topic that a broker may end the session for never leaves: it is set aside at once, on every path, and takes no detour.
func TestControlCharacterInTopic(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"host", "tcp", "native", "auto"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			b := overModem(t, modemsim.Config{Model: "ec600", Baud: 460800, RTT: 20 * time.Millisecond}, time.Minute, c, func(cfg *Config, s *modemsim.Sim) {
				if cfg.Path = path; path == "host" {
					onHost(cfg, s)
				}
			})
			stored := make(chan error, 2)
			for _, topic := range []string{"sensors/a\nb", "sensors/\ufffe"} {
				b.outbox.Put(modems.Message{Topic: topic, Payload: []byte("x"), QoS: 1}, func(err error) { stored <- err })
				must(t, <-stored)
			}
			sent := b.offer(t, 0, 5, "behind")
			b.running(t)
			until(t, "what is behind it", 30*time.Second, func() bool { return b.Status().Counters.UpDelivered == uint64(len(sent)) })
			if s := b.Status(); s.Queue.Poisoned != 2 || s.Counters.Sessions != 1 || !slices.Equal(c.all(), sent) {
				t.Errorf("%d set aside, %d sessions, arrived: %q", s.Queue.Poisoned, s.Counters.Sessions, c.all())
			}
		})
	}
}

// Nor does a person's, to publish to or to listen to: it would end the session of the daemon.
func TestControlCharacterByHand(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	b := overModem(t, modemsim.Config{Model: "ec600", Baud: 460800, RTT: 20 * time.Millisecond}, time.Minute, c)
	b.running(t)
	b.online(t)
	err := b.Publish(t.Context(), modems.Message{Topic: "a\nb", QoS: 1})
	if !errors.Is(err, modems.ErrMessage) || !strings.Contains(err.Error(), "U+000A") {
		t.Error(err)
	}
	if err = b.Subscribe(t.Context(), "a\nb/#", 1, nil); !errors.Is(err, modems.ErrMessage) {
		t.Error(err)
	}
	if s := b.Status(); s.Path != "native" || s.Counters.Sessions != 1 || s.State != Online {
		t.Errorf("%+v", s)
	}
}
