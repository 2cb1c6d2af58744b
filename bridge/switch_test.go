package bridge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// cloud is a broker that notes what is published, in order.
type cloud struct {
	mochi.HookBase
	addr string
	mu   sync.Mutex
	got  []string

	largest   uint32 // packet, beyond which it ends the session; 0: any
	forbidden string // topic that ends the session
	also      mochi.Hook
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	return startCloud(t, &cloud{})
}

func startCloud(t *testing.T, c *cloud) *cloud {
	t.Helper()
	bounds := mochi.NewDefaultServerCapabilities()
	bounds.MaximumPacketSize = c.largest
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), Capabilities: bounds})
	listener := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if c.also != nil {
		must(t, server.AddHook(c.also, nil))
	}
	for _, err := range []error{server.AddHook(c, nil), server.AddListener(listener), server.Serve()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.addr = listener.Address()
	return c
}

func (c *cloud) ID() string { return "test" }

func (c *cloud) Provides(h byte) bool {
	return h == mochi.OnConnectAuthenticate || h == mochi.OnACLCheck || h == mochi.OnPublished
}

func (c *cloud) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (c *cloud) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return !write || topic != c.forbidden
}

func (c *cloud) OnPublished(_ *mochi.Client, p packets.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, string(p.Payload))
}

func (c *cloud) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.got...)
}

// overModem is a bridge over a simulated modem. Each of change may alter its configuration.
func overModem(t *testing.T, sim modemsim.Config, keepAlive time.Duration, to *cloud, change ...func(*Config, *modemsim.Sim)) *Bridge {
	t.Helper()
	s, err := modemsim.Start(sim)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	host, number, _ := net.SplitHostPort(to.addr)
	port, _ := strconv.Atoi(number)
	cfg := Config{
		Path: "auto",
		Up:   Routes{{From: "#", To: "#", QoS: 1}},
		Target: func(modems.Identity) (Target, error) {
			return Target{Brokers: []modems.MQTTConfig{{Host: host, Port: port, ClientID: "site7", KeepAlive: keepAlive}}}, nil
		},
		Local: LocalConfig{Listen: "127.0.0.1:0"},
		Queue: OutboxConfig{Dir: filepath.Join(t.TempDir(), "queue")},
		Log:   slog.New(slog.DiscardHandler),
		Modem: &ModemConfig{Port: s.Path(), Open: func(context.Context) (io.ReadWriteCloser, string, error) {
			p, err := os.OpenFile(s.Path(), os.O_RDWR|syscall.O_NOCTTY, 0)
			return p, "", err
		}},
	}
	for _, f := range change {
		f(&cfg, s)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Bridge) running(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// offer puts n messages into the queue and waits until they are on the disk.
func (b *Bridge) offer(t *testing.T, from, n int, text string) (sent []string) {
	t.Helper()
	stored := make(chan error, n)
	for i := range n {
		p := fmt.Sprintf("%d %s", from+i, text)
		sent = append(sent, p)
		b.outbox.Put(modems.Message{Topic: "t", Payload: []byte(p), QoS: 1}, func(err error) { stored <- err })
	}
	for range n {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	return sent
}

// busy is how many times as long a machine is allowed that does much else.
const busy = 3

// until waits for what comes by itself.
func until(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(busy * within); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %v for %s", busy*within, what)
		}
	}
}

// There and back in the middle of traffic: what is too large for the module takes the session to path tcp, and when that
// has held for its time, back to native. All arrives, in order, and nothing twice.
func TestSwitchesBothWays(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	b := overModem(t, modemsim.Config{Model: "ec600", Baud: 460800, RTT: 20 * time.Millisecond}, time.Minute, c)
	b.paths.hold = time.Second
	sent := b.offer(t, 0, 60, "small")
	sent = append(sent, b.offer(t, 60, 1, strings.Repeat("large", 1000))...)
	sent = append(sent, b.offer(t, 61, 200, "small again")...)
	b.running(t)
	until(t, "path tcp", 30*time.Second, func() bool { return b.Status().Path == "tcp" && b.Status().State == Online })
	for i := 0; b.Status().Path == "tcp"; i++ { // until native is tried again
		sent = append(sent, b.offer(t, 1000+i, 1, "while it holds")...)
		if i > 2000 {
			t.Fatal("it holds for ever")
		}
		until(t, "the message", 10*time.Second, func() bool { return len(c.all()) >= len(sent)-20 })
	}
	sent = append(sent, b.offer(t, 5000, 50, "on native again")...)
	until(t, "all messages", 30*time.Second, func() bool { return len(c.all()) >= len(sent) })
	for i, p := range c.all() {
		if p != sent[i] {
			t.Fatalf("%.20q came in place of %.20q", p, sent[i])
		}
	}
	if s := b.Status(); s.Counters.PathSwitches != 2 || s.Path != "native" || s.Reason != "" {
		t.Errorf("%d switches, path %s, %s", s.Counters.PathSwitches, s.Path, s.Reason)
	}
}

// The network swallows everything and says nothing: within keep alive and the patience for its answer the session ends,
// and the same messages go again.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	b := overModem(t, modemsim.Config{Model: "ec600", Baud: 460800, RTT: 20 * time.Millisecond, Faults: []string{"blackhole=5"}}, 5*time.Second, c)
	b.paths.mode = "tcp"
	b.running(t)
	until(t, "a session", 20*time.Second, func() bool { return b.Status().State == Online })
	var sent []string
	for i := range 20 {
		sent = append(sent, b.offer(t, i, 1, "x")...)
		until(t, "its way", 10*time.Second, func() bool { return len(c.all()) > i || i >= 3 })
	}
	until(t, "all messages", 80*time.Second, func() bool {
		seen := map[string]bool{}
		for _, p := range c.all() {
			seen[p] = true
		}
		return len(seen) == len(sent)
	})
	if n := b.Status().Counters.Sessions; n < 2 {
		t.Errorf("%d sessions", n)
	}
}
