package bridge

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// What a module pushes while no session listens, of one that an earlier run has left in it, arrives: before the first dial,
// and after it has failed. The module has acknowledged it.
func TestPushedTooEarly(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"native", "then tcp"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			var dials atomic.Int64

			b := overModem(t, modemsim.Config{Model: "ec600", Baud: 115200}, time.Minute, newCloud(t), func(cfg *Config, s *modemsim.Sim) {

				cfg.Path, cfg.Up = "native", Routes{{From: "up/#", To: "up/#", QoS: 1}}
				open, target := cfg.Modem.Open, cfg.Target
				cfg.Modem.Open = func(ctx context.Context) (io.ReadWriteCloser, string, error) {
					p, urcs, err := open(ctx)
					s.Inject(`+QMTRECV: 0,1,"down/t","first"`)
					return p, urcs, err
				}
				cfg.Target = func(id modems.Identity) (Target, error) {
					t, err := target(id)
					t.Down = Routes{{From: "down/#", To: "here/#", QoS: 1}}
					if dials.Add(1) == 1 {
						t.Brokers[0].Port = 1 // nobody listens there
					}
					return t, err
				}
				cfg.Changed = func(st State, _ string) {
					if st == BackingOff {
						s.Inject(`+QMTRECV: 0,2,"down/t","second"`)
					}
				}
			})
			want := []string{"first", "second"}
			if path == "then tcp" { // where no native session takes them any more
				b.paths.mode, want = "auto", want[:1]
				b.paths.failures = nativeTries - 1
			}
			sub := dialRaw(t, b.LocalAddr(), "sub", true)
			sub.subscribe("here/#", 1)
			b.running(t)
			until(t, "a session", 60*time.Second, func() bool { return b.Status().State == Online })
			for _, payload := range want {
				if p := sub.take(); string(p.Payload) != payload || p.TopicName != "here/t" {
					t.Errorf("%s came in place of %s", p, payload)
				}
			}
			if dials.Load() < 2 {
				t.Errorf("%d dials", dials.Load())
			}
		})
	}
}

// A request that the cloud holds acknowledged has its answer on the disk: while the disk takes none, it is not acknowledged,
// and the next run gets it again.
func TestAnswerBeforeAck(t *testing.T) {
	t.Parallel()
	c, disk, dir := newCloud(t), newBreakableDisk(), filepath.Join(t.TempDir(), "queue")
	start := func() *Bridge {
		return overModem(t, modemsim.Config{Model: "ec600"}, time.Minute, c, onHost, func(cfg *Config, _ *modemsim.Sim) {
			target := cfg.Target
			cfg.Queue.Dir, cfg.Queue.disk, cfg.Up = dir, disk, Routes{{From: "up/#", To: "up/#", QoS: 1}}
			cfg.Target = func(id modems.Identity) (Target, error) {
				t, err := target(id)
				t.Down = Routes{{From: "down/ask", To: "here/ask", QoS: 1}}
				return t, err
			}
			cfg.Incoming = func(from string, m *modems.Message) (modems.Message, error) {
				return modems.Message{Topic: from + "_reply", Payload: append([]byte("answer to "), m.Payload...), QoS: 1}, nil
			}
		})
	}
	b := start()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	until(t, "a session", 20*time.Second, func() bool { return b.Status().State == Online })
	full := errors.New("no space left on device")
	disk.fail.Store(&full)
	cloud := dialRaw(t, c.addr, "cloud", true)
	cloud.publish("down/ask", "request", 1)
	expect[*packets.PubackPacket](cloud)
	until(t, "the request", 20*time.Second, func() bool { return b.Status().Counters.DownDelivered == 1 })
	stop()
	<-ended // with what the disk says
	disk.fail.Store(nil)
	start().running(t)
	until(t, "the answer", 20*time.Second, func() bool {
		all := c.all()
		return len(all) > 1 && all[len(all)-1] == "answer to request"
	})
}

// An answer waits for room in the queue, and its request with it, as long as the session stands.
func TestAnswerWaitsForRoom(t *testing.T) {
	t.Parallel()
	b := overModem(t, modemsim.Config{Model: "ec600"}, time.Minute, newCloud(t), onHost, func(cfg *Config, _ *modemsim.Sim) {
		cfg.Queue.MaxMessages = 1
	})
	b.offer(t, 0, 1, "fills it")
	answered := make(chan error, 1)
	go func() { answered <- b.answer(t.Context(), modems.Message{Topic: "t", QoS: 1}) }()
	until(t, "the answer being refused", 10*time.Second, func() bool { return b.Status().Queue.Rejected > 0 })
	select {
	case err := <-answered:
		t.Fatalf("answered without room: %v", err)
	default:
	}
	must(t, b.outbox.Drop(1))
	must(t, receive(t, answered, "room"))
	ended, end := context.WithCancel(t.Context())
	end()
	if err := b.answer(ended, modems.Message{Topic: "t", QoS: 1}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, errors.Join(b.local.Close(), b.outbox.Close()))
}
