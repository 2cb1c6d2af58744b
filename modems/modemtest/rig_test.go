package modemtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

func TestMain(m *testing.M) {
	SideBySide(24)
	os.Exit(m.Run())
}

// broker is a real MQTT broker in this process. What arrives is in got.
type broker struct {
	mochi.HookBase
	t      testing.TB
	server *mochi.Server
	host   string
	port   int
	got    chan modems.Message
	refuse bool // answer every CONNECT with CONNACK code 5
	last   modems.Message
}

func (b *broker) ID() string { return "modemtest" }

func (b *broker) Provides(h byte) bool {
	return h == mochi.OnConnect || h == mochi.OnConnectAuthenticate || h == mochi.OnACLCheck || h == mochi.OnPublished
}

func (b *broker) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return !b.refuse }

func (b *broker) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (b *broker) OnPublished(_ *mochi.Client, p packets.Packet) {
	b.got <- modems.Message{Topic: p.TopicName, Payload: bytes.Clone(p.Payload), QoS: p.FixedHeader.Qos, Retain: p.FixedHeader.Retain}
}

func newBroker(t testing.TB, refuse bool) *broker {
	t.Helper()
	return startBroker(t, refuse, nil)
}

func newTLSBroker(t testing.TB, secure *tls.Config) *broker {
	t.Helper()
	return startBroker(t, false, secure)
}

func startBroker(t testing.TB, refuse bool, secure *tls.Config) *broker {
	t.Helper()
	b := &broker{t: t, got: make(chan modems.Message, 1<<16), refuse: refuse}
	b.server = mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0", TLSConfig: secure})
	for _, err := range []error{b.server.AddHook(b, nil), b.server.AddListener(l), b.server.Serve()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// It is never closed: mochi v2.7.9 races, and may deadlock, when clients come or go while it closes.
	host, port, err := net.SplitHostPort(l.Address())
	if err != nil {
		t.Fatal(err)
	}
	b.host = host
	if b.port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	return b
}

// send publishes from the broker's side.
func (b *broker) send(m modems.Message) {
	b.t.Helper()
	if err := b.server.Publish(m.Topic, m.Payload, m.Retain, m.QoS); err != nil {
		b.t.Fatal(err)
	}
}

// want demands that m is the next to arrive; a repetition of the one before is QoS 1 at work.
func (b *broker) want(m modems.Message) {
	b.t.Helper()
	select {
	case got := <-b.got:
		if got.Topic == b.last.Topic && bytes.Equal(got.Payload, b.last.Payload) {
			b.want(m)
			return
		}
		b.last = got
		if got.Topic != m.Topic || !bytes.Equal(got.Payload, m.Payload) || got.QoS != m.QoS {
			b.t.Errorf("the broker got %s %q, want %s %q", got.Topic, got.Payload, m.Topic, m.Payload)
		}
	case <-time.After(20 * time.Second):
		b.t.Fatalf("the broker never got %s %q", m.Topic, m.Payload)
	}
}

func (b *broker) config() modems.MQTTConfig {
	return modems.MQTTConfig{Host: b.host, Port: b.port, ClientID: "modemtest", KeepAlive: time.Minute, CleanSession: true}
}

// bench is one simulated modem and the port to it.
type bench struct {
	t   *testing.T
	sim *modemsim.Sim
	ctx context.Context
}

func newBench(t *testing.T, model string, faults ...string) *bench {
	t.Helper()
	return startBench(t, modemsim.Config{Model: model, Baud: 921600, RTT: 2 * time.Millisecond, Faults: faults, Seed: 1})
}

// newFastBench is one whose line takes no time.
func newFastBench(t *testing.T, model string, faults ...string) *bench {
	t.Helper()
	return startBench(t, modemsim.Config{Model: model, Faults: faults, Seed: 1})
}

func startBench(t *testing.T, cfg modemsim.Config) *bench {
	t.Helper()
	sim, err := modemsim.Start(cfg)
	if err != nil && strings.Contains(err.Error(), "means nothing on") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return &bench{t, sim, ctx}
}

func (b *bench) open() io.ReadWriteCloser {
	b.t.Helper()
	port, err := tty.Open(b.sim.Path(), 921600)
	if err != nil {
		b.t.Fatal(err)
	}
	return port
}

func (b *bench) attach(o modems.Options) *modems.Modem {
	b.t.Helper()
	m, err := modems.Attach(b.ctx, b.open(), o)
	if err != nil {
		b.t.Fatal("attach: ", err)
	}
	b.t.Cleanup(func() { m.Close() })
	return m
}

// session goes all the way to a broker.
func (b *bench) session(to *broker, o modems.Options) (*modems.Modem, modems.Session) {
	b.t.Helper()
	m := b.attach(o)
	if err := m.Online(b.ctx); err != nil {
		b.t.Fatal("online: ", err)
	}
	s, err := m.DialMQTT(b.ctx, to.config())
	if err != nil {
		b.t.Fatal("dial: ", err)
	}
	b.t.Cleanup(func() { s.Close(b.ctx) })
	return m, s
}

// publish sends one message and demands that the broker acknowledges it.
func (b *bench) publish(s modems.Session, m modems.Message) {
	b.t.Helper()
	r, err := s.Publish(b.ctx, m)
	if err != nil {
		b.t.Fatalf("publish %q: %v", m.Payload, err)
	}
	if out := r.Wait(b.ctx); out != modems.Acked {
		b.t.Fatalf("publish %q: %v (%v)", m.Payload, out, s.Err())
	}
}
