package bridge

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/atbridge/atbridge/modems"
)

// LocalConfig describes the embedded broker.
type LocalConfig struct {
	Listen             string // host:port; beyond loopback only with a password
	Username, Password string // empty: every local client may connect
	Log                *slog.Logger

	// Room waits until a message that accept has refused with ErrQueueFull or ErrStore would be taken: Outbox.Room.
	// Nil: no waiting, the client is disconnected at once.
	Room func(context.Context, modems.Message) error
	// Hold is how long a publisher is held while there is no room, before it is disconnected; 0: 30 s.
	Hold time.Duration
	// Stall is how long a write to a client may take before its connection is closed; 0: 5 s.
	Stall time.Duration
}

// Accept is asked for every message that a local client publishes, wills included. If it does not take the message,
// the broker treats it as its own: acknowledges it and fans it out. If it takes it, both happen only when done(nil) is
// called; done(err) never acknowledges. done is called once, from any goroutine, and does not block.
type Accept func(m modems.Message, done func(error)) (taken bool)

// Local is the embedded broker: mochi-mqtt, between a listener of ours (local_conn.go) and a hook of ours
// (local_publish.go).
type Local struct {
	cfg      LocalConfig
	accept   Accept
	server   *mqtt.Server
	listener *guardedListener
	inline   *mqtt.Client // publishes what we fan out
	closing  context.Context
	close    func() error

	mu         sync.Mutex
	publishers map[*mqtt.Client]*publisher
	unreleased map[packetKey]*publish // QoS 2: received, and no PUBREL yet
}

// maxPacket bounds what one local client can make us hold in memory for one packet: mochi-mqtt reads a packet whole,
// twice, and MQTT would allow 256 MB.
const maxPacket = 8 << 20

// StartLocal listens and serves until Close.
func StartLocal(cfg LocalConfig, accept Accept) (*Local, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Hold == 0 {
		cfg.Hold = 30 * time.Second
	}
	if cfg.Stall == 0 {
		cfg.Stall = 5 * time.Second
	}
	tcp, err := listenLocal(cfg)
	if err != nil {
		return nil, err
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = maxPacket
	// The library would delete retained and unacknowledged messages a day after their birth, and after the clock is set.
	capabilities.MaximumMessageExpiryInterval = 0
	l := &Local{
		cfg:    cfg,
		accept: accept,
		server: mqtt.New(&mqtt.Options{
			Capabilities:           capabilities,
			Logger:                 slog.New(quietLog{cfg.Log.Handler()}),
			SysTopicResendInterval: 60, // $SYS stops the world to read memory statistics: not every second
		}),
		listener:   &guardedListener{tcp: tcp, log: cfg.Log, stall: cfg.Stall, conns: make(map[*guardedConn]bool)},
		publishers: make(map[*mqtt.Client]*publisher),
		unreleased: make(map[packetKey]*publish),
	}
	closing, cancel := context.WithCancel(context.Background())
	l.closing = closing
	l.close = sync.OnceValue(func() error {
		cancel()
		return l.server.Close()
	})
	l.inline = l.server.NewClient(nil, "local", "atbridge", true)
	err = errors.Join(
		l.server.AddHook(&hook{l: l}, nil),
		l.server.AddListener(l.listener),
		l.server.Serve(),
	)
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return l, nil
}

// listenLocal refuses to open the broker, and with it the way into the cloud, to a network without a password.
func listenLocal(cfg LocalConfig) (net.Listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("local.listen %q is not an address like 127.0.0.1:1883: %w", cfg.Listen, err)
	}
	if !addr.IP.IsLoopback() && cfg.Password == "" {
		return nil, fmt.Errorf("local.listen %q can be reached from the network: set local.username and local.password, or listen on 127.0.0.1", cfg.Listen)
	}
	l, err := net.ListenTCP("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("local.listen %s is taken by another program: stop it, choose another port, or if it is a broker name it as local.broker: mqtt://%s", cfg.Listen, cfg.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("local.listen %s: %w", cfg.Listen, err)
	}
	return l, nil
}

// Addr is the address that clients connect to.
func (l *Local) Addr() string { return l.listener.Address() }

// Deliver hands a message from the cloud to the local subscribers. It never passes accept. When it returns, the
// message is in the broker's memory, for every session that subscribes to it, connected or not.
func (l *Local) Deliver(m modems.Message) error {
	if err := l.fanOut(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: m.QoS, Retain: m.Retain},
		TopicName:   m.Topic,
		Payload:     m.Payload,
		PacketID:    uint16(m.QoS), // any will do, but only with QoS 1
	}); err != nil {
		return fmt.Errorf("deliver to local topic %q: %w", m.Topic, err)
	}
	return nil
}

// fanOut publishes pk to the subscribers and retains it if it says so.
func (l *Local) fanOut(pk packets.Packet) error { return l.server.InjectPacket(l.inline, pk) }

// Close disconnects all clients. When it returns, accept is not called any more. Messages that accept has taken and
// not reported as done are not acknowledged.
func (l *Local) Close() error { return l.close() }

// hook is what mochi-mqtt asks.
type hook struct {
	mqtt.HookBase
	l *Local
}

func (h *hook) ID() string { return "atbridge" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablish, mqtt.OnDisconnect,
		mqtt.OnPacketRead, mqtt.OnPublish, mqtt.OnWillSent, mqtt.OnPublishDropped:
		return true
	}
	return false
}

func (h *hook) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	want := h.l.cfg
	if want.Username == "" && want.Password == "" {
		return true
	}
	user := subtle.ConstantTimeCompare(pk.Connect.Username, []byte(want.Username))
	password := subtle.ConstantTimeCompare(pk.Connect.Password, []byte(want.Password))
	return user&password == 1
}

func (h *hook) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// OnSessionEstablish: a clean session knows nothing of the one before it [MQTT-3.1.2-6].
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	if pk.Connect.Clean {
		h.l.forget(cl.ID)
	}
}

func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	h.l.leave(cl)
	if expire && !cl.IsTakenOver() {
		h.l.forget(cl.ID)
	}
}

func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Pubrel {
		h.l.release(cl, pk.PacketID)
	}
	return pk, nil
}

// OnPublish is called in the goroutine that reads from the client, before the acknowledgement. After
// ErrRejectPacket, and no other error, the library neither acknowledges nor fans out: then both are ours.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		pk.Origin = pk.Connect.ClientIdentifier // who published it first: see publisher.finish
		return pk, nil
	}
	return pk, h.l.publish(cl, pk)
}

// OnWillSent: the library has fanned the will out, past OnPublish. There is nobody to acknowledge it to.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if h.l.closing.Err() != nil {
		return
	}
	h.l.accept(messageOf(pk), func(err error) {
		if err != nil {
			h.l.cfg.Log.Warn("local: a will could not be passed on", "client", cl.ID, "topic", pk.TopicName, "error", err)
		}
	})
}

func (h *hook) OnPublishDropped(cl *mqtt.Client, pk packets.Packet) {
	h.l.cfg.Log.Warn("local: a subscriber reads too slowly, a message for it was dropped", "client", cl.ID, "topic", pk.TopicName)
}
