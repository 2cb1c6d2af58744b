package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/atbridge/atbridge/modems"
)

// LocalConfig describes the embedded broker, or an existing one.
type LocalConfig struct {
	Broker *modems.MQTTConfig // an existing broker; nil: the embedded one

	Listen             string // host:port; beyond loopback only with a password; empty: none
	WebSocket          string // likewise, for MQTT over WebSocket
	Username, Password string // empty: every local client may connect
	File               string // what lasts beyond this process; empty: nothing does
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

// Local is the embedded broker: mochi-mqtt between a listener (local_conn.go) and a hook (local_hook.go) of ours.
// What clients publish is told in local_publish.go, what they are sent in local_fanout.go and local_session.go, and
// what is known of them after a restart in local_store.go.
type Local struct {
	cfg       LocalConfig
	accept    Accept
	server    *mqtt.Server
	listeners []listeners.Listener
	store     *store
	closing   context.Context
	close     func() error

	held    atomic.Int64 // bytes that wait in all sessions
	dropped atomic.Uint64

	retaining sync.Mutex // what is retained in memory is what is on the disk

	mu         sync.Mutex
	sessions   map[string]*session
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
	var opened []listeners.Listener
	failed := func(err error) (*Local, error) {
		for _, o := range opened {
			o.Close(nil)
		}
		return nil, err
	}
	for _, address := range []struct{ key, value string }{{"local.listen", cfg.Listen}, {"local.websocket", cfg.WebSocket}} {
		if address.value == "" {
			continue
		}
		tcp, err := listenLocal(address.key, address.value, cfg.Password)
		if err != nil {
			return failed(err)
		}
		guarded := &guardedListener{tcp: tcp, log: cfg.Log, stall: cfg.Stall, conns: make(map[*guardedConn]bool)}
		if address.key == "local.websocket" {
			opened = append(opened, &webListener{guarded, cfg.Password != ""})
		} else {
			opened = append(opened, guarded)
		}
	}
	sessions, err := openStore(cfg.File, cfg.Log)
	if err != nil {
		return failed(err)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = maxPacket
	// The library would delete retained and unacknowledged messages a day after their birth, and after the clock is set.
	capabilities.MaximumMessageExpiryInterval = 0
	capabilities.MaximumClientWritesPending = 64 // for each client, and only $SYS goes that way
	l := &Local{
		cfg:    cfg,
		accept: accept,
		store:  sessions,
		server: mqtt.New(&mqtt.Options{
			Capabilities:           capabilities,
			Logger:                 slog.New(quietLog{cfg.Log.Handler()}),
			SysTopicResendInterval: 60, // $SYS stops the world to read memory statistics: not every second
		}),
		listeners:  opened,
		sessions:   make(map[string]*session),
		publishers: make(map[*mqtt.Client]*publisher),
		unreleased: make(map[packetKey]*publish),
	}
	closing, cancel := context.WithCancel(context.Background())
	l.closing = closing
	l.close = sync.OnceValue(func() error {
		cancel()
		return errors.Join(l.server.Close(), l.store.close())
	})
	l.restore()
	err = l.server.AddHook(&hook{l: l}, nil)
	for _, o := range opened {
		err = errors.Join(err, l.server.AddListener(o))
	}
	if err = errors.Join(err, l.server.Serve()); err != nil {
		return failed(errors.Join(err, l.store.close()))
	}
	return l, nil
}

// listenLocal refuses to open the broker, and with it the way into the cloud, to a network without a password.
func listenLocal(key, address, password string) (net.Listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s %q is not an address like 127.0.0.1:1883: %w", key, address, err)
	}
	if !addr.IP.IsLoopback() && password == "" {
		return nil, fmt.Errorf("%s %q can be reached from the network: set local.username and local.password, or listen on 127.0.0.1", key, address)
	}
	l, err := net.ListenTCP("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) && key == "local.listen" {
		return nil, fmt.Errorf("%s %s is taken by another program: stop it, choose another port, or if it is a broker name it as local.broker: mqtt://%s", key, address, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", key, address, err)
	}
	return l, nil
}

// Addr is the address that clients connect to; where there are two, that without WebSocket.
func (l *Local) Addr() string { return l.listeners[0].Address() }

// Follow has nothing to do: accept decides about each message anew.
func (l *Local) Follow(Routes) {}

func (l *Local) Status() LocalStatus {
	st := LocalStatus{Broker: l.Addr(), Connected: true, Dropped: l.dropped.Load()}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sessions {
		s.mu.Lock()
		st.Waiting += len(s.queue)
		if s.client != nil {
			st.Clients++
		}
		if s.lasting {
			st.Sessions++
		}
		s.mu.Unlock()
	}
	return st
}

// Deliver hands a message from the cloud to the local subscribers. It never passes accept. When it returns nil, every
// session that subscribes to it has it, and those that last have it on the disk.
func (l *Local) Deliver(ctx context.Context, m modems.Message) error {
	if err := checkTopic(m.Topic); err != nil {
		return fmt.Errorf("deliver to local topic %q: %w: %w", m.Topic, modems.ErrMessage, err)
	}
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: m.QoS, Retain: m.Retain},
		TopicName:   m.Topic,
		Payload:     m.Payload,
		Created:     time.Now().Unix(),
	}
	l.hold(ctx, pk)
	if err := l.fanOut(pk, l.stage(pk)); err != nil {
		return fmt.Errorf("deliver to local topic %q: %w", m.Topic, err)
	}
	return nil
}

// Close disconnects all clients. When it returns, accept is not called any more. Messages that accept has taken and
// not reported as done are not acknowledged.
func (l *Local) Close() error { return l.close() }
