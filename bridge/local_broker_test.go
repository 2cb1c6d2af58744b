package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// mosquitto is an existing local broker that keeps sessions on its disk.
type mosquitto struct {
	t    *testing.T
	addr string
	file string
	cmd  *exec.Cmd
}

func newMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	addr := modemtest.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	m := &mosquitto{t: t, addr: addr, file: filepath.Join(t.TempDir(), "mosquitto.conf")}
	must(t, os.WriteFile(m.file, fmt.Appendf(nil, "user root\nallow_anonymous true\nlistener %s 127.0.0.1\npersistence true\npersistence_location %s/\nautosave_interval 1\nautosave_on_changes true\n",
		port, filepath.Dir(m.file)), 0o644))
	m.start()
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/mosquitto") // not in everybody's PATH
	}
	if err != nil && os.Getenv("ATBRIDGE_CI") == "1" {
		m.t.Fatal("mosquitto is not installed")
	} else if err != nil {
		m.t.Skip("mosquitto is not installed; this test needs it")
	}
	m.cmd = exec.Command(program, "-c", m.file)
	must(m.t, m.cmd.Start())
	m.t.Cleanup(m.kill)
	until(m.t, "mosquitto to listen", 3*patience, func() bool {
		c, err := net.Dial("tcp", m.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// save waits until mosquitto has written to its disk what it knows now: what it forgets when it is killed is not our loss.
func (m *mosquitto) save() {
	m.t.Helper()
	file := filepath.Join(filepath.Dir(m.file), "mosquitto.db")
	before, _ := os.Stat(file)                       // there may be none
	must(m.t, m.cmd.Process.Signal(syscall.SIGUSR1)) // mosquitto(8): it writes, and puts the new file in the old one's place
	until(m.t, "mosquitto to save", 3*patience, func() bool {
		now, err := os.Stat(file)
		return err == nil && (before == nil || !os.SameFile(before, now) || !now.ModTime().Equal(before.ModTime()))
	})
}

// kill is kill -9.
func (m *mosquitto) kill() {
	m.cmd.Process.Kill()
	m.cmd.Wait()
}

// attach makes the bridge's side of it.
func (m *mosquitto) attach(cfg LocalConfig, up Routes, accept Accept) *LocalBroker {
	m.t.Helper()
	host, port, err := net.SplitHostPort(m.addr)
	must(m.t, err)
	n, err := strconv.Atoi(port)
	must(m.t, err)
	cfg.Broker = &modems.MQTTConfig{Host: host, Port: n, ClientID: "bridge", KeepAlive: time.Minute}
	if cfg.File == "" {
		cfg.File = filepath.Join(m.t.TempDir(), "local")
	}
	l, err := StartLocalBroker(cfg, up, accept)
	must(m.t, err)
	m.t.Cleanup(func() { l.Close() })
	return l
}

func (m *mosquitto) connected(l *LocalBroker) {
	m.t.Helper()
	until(m.t, "the connection to the local broker", 3*patience, func() bool { return l.Status().Connected })
}

var upRoutes = Routes{{From: "up/#", To: "site/#", QoS: 1}}

func publishMany(c *raw, topic string, from, to int) {
	c.t.Helper()
	for i := from; i < to; i++ {
		c.publish(topic, strconv.Itoa(i), 1)
		expect[*packets.PubackPacket](c)
	}
}

// TestLocalBrokerAcknowledgesWhenStored: what is not on our disk when we end, the broker keeps for us; what came
// meanwhile comes behind it.
func TestLocalBrokerAcknowledgesWhenStored(t *testing.T) {
	m := newMosquitto(t)
	offered := make(chan taken, 100)
	cfg := LocalConfig{File: filepath.Join(t.TempDir(), "local")}
	l := m.attach(cfg, upRoutes, takeAll(offered))
	m.connected(l)
	c := dialRaw(t, m.addr, "c", true)
	publishMany(c, "up/a", 0, 10)
	for i := range 10 {
		if o := receive(t, offered, "a message"); i < 3 {
			o.done(nil)
		} else {
			defer o.done(context.Canceled)
		}
	}
	c.publish("elsewhere", "no", 1)
	expect[*packets.PubackPacket](c)
	until(t, "three acknowledgements", 3*patience, func() bool { return l.acknowledged.Load() == 3 })
	go l.Close()
	<-l.closing.Done()
	publishMany(c, "up/a", 10, 15)

	fresh := m.attach(cfg, upRoutes, takeAll(offered))
	for want := 3; want < 15; want++ {
		o := receive(t, offered, "a message again")
		if string(o.Payload) != strconv.Itoa(want) || o.QoS != 1 {
			t.Fatalf("got %q, want %d", o.Payload, want)
		}
		o.done(nil)
	}
	m.connected(fresh)
}

// TestLocalBrokerIsKilled: both ways, and what is retained comes only once.
func TestLocalBrokerIsKilled(t *testing.T) {
	m := newMosquitto(t)
	state := dialRaw(t, m.addr, "state", true)
	kept := publishPacket("up/state", "on", 1, 1)
	kept.Retain = true
	state.send(kept)
	expect[*packets.PubackPacket](state)

	offered := make(chan taken, 1000)
	l := m.attach(LocalConfig{}, upRoutes, takeAll(offered))
	if o := receive(t, offered, "the retained message"); string(o.Payload) != "on" || !o.Retain {
		t.Errorf("got %+v", o.Message)
	} else {
		o.done(nil)
	}
	sub := dialRaw(t, m.addr, "sub", false)
	sub.subscribe("down/#", 1)
	for i := range 3 {
		m.connected(l)
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "down/a", Payload: strconv.AppendInt(nil, int64(i), 10), QoS: 1}))
		if p := sub.take(); string(p.Payload) != strconv.Itoa(i) || p.Qos != 1 {
			t.Errorf("got %v", p)
		}
		sub.quiet() // its acknowledgement is there
		m.save()
		m.kill()
		waiting := make(chan error, 1)
		go func() {
			waiting <- l.Deliver(t.Context(), modems.Message{Topic: "down/a", Payload: fmt.Appendf(nil, "late %d", i), QoS: 1})
		}()
		until(t, "the loss to be noticed", 3*patience, func() bool { return !l.Status().Connected })
		m.start()
		sub = dialRaw(t, m.addr, "sub", false)
		must(t, receive(t, waiting, "the delivery"))
		if p := sub.take(); string(p.Payload) != fmt.Sprint("late ", i) {
			t.Errorf("got %v", p)
		}
		c := dialRaw(t, m.addr, "c", true)
		publishMany(c, "up/a", i, i+1)
		if o := receive(t, offered, "a message after the restart"); string(o.Payload) != strconv.Itoa(i) {
			t.Errorf("got %+v", o.Message)
		} else {
			o.done(nil)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.kill()
	cancel()
	if err := l.Deliver(ctx, modems.Message{Topic: "down/a", QoS: 1}); err == nil {
		t.Error("delivered to nobody")
	}
}

// TestLocalBrokerGivesBack: what we publish comes back where an up route listens; it is not ours to send up. The same
// from somebody else is.
func TestLocalBrokerGivesBack(t *testing.T) {
	m := newMosquitto(t)
	offered := make(chan taken, 100)
	l := m.attach(LocalConfig{}, Routes{{From: "#", To: "site/#", QoS: 1}, {From: "up/x", To: "site/x", QoS: 1}}, func(m modems.Message, done func(error)) bool {
		offered <- taken{m, nil}
		done(nil)
		return true
	})
	m.connected(l)
	for i := range 20 {
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "up/x", Payload: strconv.AppendInt(nil, int64(i%3), 10), QoS: byte(i % 2)}))
	}
	c := dialRaw(t, m.addr, "c", true)
	c.publish("up/x", "1", 1)
	o := receive(t, offered, "the client's message")
	if o.Topic != "up/x" || string(o.Payload) != "1" {
		t.Errorf("got %+v", o.Message)
	}
	c.publish("up/x", "end", 1)
	o = receive(t, offered, "the client's last message")
	if string(o.Payload) != "end" {
		t.Errorf("our own message goes up: %+v", o.Message)
	}
}

// TestLocalBrokerFollows: after a change of the routes, and after one while we were away, the broker sends what they want.
func TestLocalBrokerFollows(t *testing.T) {
	m := newMosquitto(t)
	offered := make(chan taken, 100)
	all := func(m modems.Message, done func(error)) bool {
		offered <- taken{m, done}
		return true
	}
	cfg := LocalConfig{File: filepath.Join(t.TempDir(), "local"), Log: slog.New(slog.NewTextHandler(new(lockedBuffer), nil))}
	c := dialRaw(t, m.addr, "c", true)
	reaches := func(topic string, yes bool) bool {
		c.publish(topic, "?", 1)
		expect[*packets.PubackPacket](c)
		c.publish("always", "end", 1)
		expect[*packets.PubackPacket](c)
		came := false
		for {
			o := receive(t, offered, "the end")
			o.done(nil)
			if o.Topic == "always" {
				return came == yes
			}
			came = came || o.Topic == topic
		}
	}
	routes := func(from string) Routes {
		return Routes{{From: from, To: "c/" + from}, {From: "always", To: "c/always"}}
	}
	l := m.attach(cfg, routes("a"), all)
	m.connected(l)
	if !reaches("a", true) || !reaches("b", false) {
		t.Error("the first routes")
	}
	l.Follow(routes("b"))
	until(t, "the new route", 3*patience, func() bool { return reaches("b", true) })
	until(t, "the old route to be gone", 3*patience, func() bool { return reaches("a", false) })
	must(t, l.Close())
	l = m.attach(cfg, routes("a"), all)
	m.connected(l)
	if !reaches("a", true) || !reaches("b", false) {
		t.Error("the routes that changed while we were away")
	}
}

// TestLocalBrokerWaitsForRoom: a full queue is no reason to lose anything, nor to disconnect.
func TestLocalBrokerWaitsForRoom(t *testing.T) {
	m := newMosquitto(t)
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), MaxMessages: 3})
	defer closeOutbox(t, o)
	l := m.attach(LocalConfig{Room: roomIn(o)}, upRoutes, func(m modems.Message, done func(error)) bool { o.Put(m, done); return true })
	m.connected(l)
	const n = 60
	publishMany(dialRaw(t, m.addr, "c", true), "up/a", 0, n)
	for i := range n {
		e := next(t, o)
		if string(e.Message().Payload) != strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, e.Message().Payload)
		}
		must(t, e.Delivered())
	}
}

// TestLocalBrokerDeliversWhenAcknowledged: by the broker, and not when it is written.
func TestLocalBrokerDeliversWhenAcknowledged(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	m := &mosquitto{t: t, addr: listener.Addr().String()} // a broker that does only what it is told
	l := m.attach(LocalConfig{}, nil, nil)
	serve := func() *raw {
		c, err := listener.Accept()
		must(t, err)
		broker := &raw{t: t, Conn: c}
		expect[*packets.ConnectPacket](broker)
		broker.send(packets.NewControlPacket(packets.Connack))
		return broker
	}
	broker := serve()
	delivered := make(chan error, 1)
	go func() {
		delivered <- l.Deliver(t.Context(), modems.Message{Topic: "down/a", Payload: []byte("1"), QoS: 1, Retain: true})
	}()
	for again := range 2 {
		p := expect[*packets.PublishPacket](broker)
		if p.TopicName != "down/a" || string(p.Payload) != "1" || p.Qos != 1 || !p.Retain {
			t.Errorf("got %v", p)
		}
		select {
		case err := <-delivered:
			t.Fatalf("delivered without an acknowledgement: %v", err)
		default:
		}
		if again == 0 { // lost: on the next connection it comes again
			broker.Close()
			broker = serve()
			continue
		}
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		broker.send(ack)
	}
	must(t, receive(t, delivered, "the delivery"))
	broker.Close()
}
