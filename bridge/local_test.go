package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

// patience bounds the waits for what must happen; nothing waits for all of it unless a test fails.
const patience = 10 * time.Second

func startLocal(t *testing.T, cfg LocalConfig, accept Accept) *Local {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	l, err := StartLocal(cfg, accept)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// taken is a message that accept has taken and the test has not yet settled.
type taken struct {
	modems.Message
	done func(error)
}

// takeAll takes what begins with up/, and hands it to the test.
func takeAll(offered chan taken) Accept {
	return func(m modems.Message, done func(error)) bool {
		if !strings.HasPrefix(m.Topic, "up/") {
			return false
		}
		offered <- taken{m, done}
		return true
	}
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited for %s", what)
		panic("unreachable")
	}
}

// raw is a client that does only what it is told.
type raw struct {
	t *testing.T
	net.Conn
	id uint16
}

func dialRaw(t *testing.T, l *Local, client string, clean bool) *raw {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	r := &raw{t: t, Conn: c}
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion = "MQTT", 4
	connect.ClientIdentifier, connect.CleanSession, connect.Keepalive = client, clean, 60
	r.send(connect)
	if ack := expect[*packets.ConnackPacket](r); ack.ReturnCode != 0 {
		t.Fatalf("CONNACK %d", ack.ReturnCode)
	}
	return r
}

func (r *raw) send(p packets.ControlPacket) {
	r.t.Helper()
	must(r.t, p.Write(r))
}

// publish sends a PUBLISH and returns its identifier.
func (r *raw) publish(topic, payload string, qos byte) uint16 {
	r.t.Helper()
	r.id++
	r.send(publishPacket(topic, payload, qos, r.id))
	return r.id
}

func publishPacket(topic, payload string, qos byte, id uint16) *packets.PublishPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos = topic, []byte(payload), qos
	if qos > 0 {
		p.MessageID = id
	}
	return p
}

// expect reads the next packet, which must be a P.
func expect[P packets.ControlPacket](r *raw) P {
	r.t.Helper()
	must(r.t, r.SetReadDeadline(time.Now().Add(patience)))
	p, err := packets.ReadPacket(r)
	if err != nil {
		r.t.Fatalf("waited for a packet: %v", err)
	}
	got, ok := p.(P)
	if !ok {
		r.t.Fatalf("got %v", p)
	}
	return got
}

// quiet fails if the broker has said anything before it answers a ping: packets come in order.
func (r *raw) quiet() {
	r.t.Helper()
	r.send(packets.NewControlPacket(packets.Pingreq))
	expect[*packets.PingrespPacket](r)
}

// closed waits until the broker has closed the connection.
func (r *raw) closed() {
	r.t.Helper()
	must(r.t, r.SetReadDeadline(time.Now().Add(patience)))
	for {
		_, err := packets.ReadPacket(r)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			r.t.Fatal("the connection stays open")
		}
		if err != nil {
			return
		}
	}
}

func (r *raw) subscribe(filter string, qos byte) {
	r.t.Helper()
	s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	s.MessageID, s.Topics, s.Qoss = 60000, []string{filter}, []byte{qos}
	r.send(s)
	expect[*packets.SubackPacket](r)
}

func TestLocalAcknowledgesWhenStored(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	sub := dialRaw(t, l, "sub", true)
	sub.subscribe("#", 1)
	c := dialRaw(t, l, "c", true)
	id := c.publish("up/a", "1", 1)
	m := receive(t, offered, "the offer")
	if m.Topic != "up/a" || string(m.Payload) != "1" || m.QoS != 1 {
		t.Errorf("offered %+v", m.Message)
	}
	c.quiet()
	sub.quiet()
	m.done(nil)
	if ack := expect[*packets.PubackPacket](c); ack.MessageID != id {
		t.Errorf("PUBACK for %d, want %d", ack.MessageID, id)
	}
	if p := expect[*packets.PublishPacket](sub); p.TopicName != "up/a" || p.Qos != 1 {
		t.Errorf("fanned out: %v", p)
	}
	own := c.publish("down/a", "2", 1) // not taken: the broker's own
	if ack := expect[*packets.PubackPacket](c); ack.MessageID != own {
		t.Errorf("PUBACK for %d, want %d", ack.MessageID, own)
	}
}

// TestLocalAcknowledgesInOrder [MQTT-4.6.0-2], whatever the order in which messages are stored, and those that are
// not taken keep theirs.
func TestLocalAcknowledgesInOrder(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	sub := dialRaw(t, l, "sub", true)
	sub.subscribe("#", 0)
	c := dialRaw(t, l, "c", true)
	first := c.publish("up/a", "first", 1)
	second := c.publish("own", "second", 1)
	third := c.publish("up/a", "third", 2)
	m1, m3 := receive(t, offered, "the first"), receive(t, offered, "the third")
	m3.done(nil)
	c.quiet()
	m1.done(nil)
	if ack := expect[*packets.PubackPacket](c); ack.MessageID != first {
		t.Errorf("PUBACK for %d, want %d", ack.MessageID, first)
	}
	if ack := expect[*packets.PubackPacket](c); ack.MessageID != second {
		t.Errorf("PUBACK for %d, want %d", ack.MessageID, second)
	}
	if rec := expect[*packets.PubrecPacket](c); rec.MessageID != third {
		t.Errorf("PUBREC for %d, want %d", rec.MessageID, third)
	}
	for _, want := range []string{"first", "second", "third"} {
		if p := expect[*packets.PublishPacket](sub); string(p.Payload) != want {
			t.Errorf("fanned out %q, want %q", p.Payload, want)
		}
	}
}

func TestLocalPipelining(t *testing.T) {
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir()})
	defer closeOutbox(t, o)
	const n = 200
	var mu sync.Mutex
	batches, last := 0, uint64(0)
	l := startLocal(t, LocalConfig{}, func(m modems.Message, done func(error)) bool {
		o.Put(m, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if next := o.journal.next; next != last { // the committer has written since
				batches, last = batches+1, next
			}
			done(err)
		})
		return true
	})
	c := dialRaw(t, l, "c", true)
	var packed bytes.Buffer
	for i := range n {
		must(t, publishPacket("up/a", strconv.Itoa(i), 1, uint16(i+1)).Write(&packed))
	}
	_, err := c.Write(packed.Bytes())
	must(t, err)
	for i := range n {
		if ack := expect[*packets.PubackPacket](c); int(ack.MessageID) != i+1 {
			t.Fatalf("PUBACK for %d, want %d", ack.MessageID, i+1)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if batches > n/4 {
		t.Errorf("%d messages took %d fsyncs", n, batches)
	}
	for i := range n {
		if e := next(t, o); string(e.Message().Payload) != strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, e.Message().Payload)
		}
	}
}

func TestLocalQoS2(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	sub := dialRaw(t, l, "sub", true)
	sub.subscribe("up/#", 2)
	c := dialRaw(t, l, "c", false)
	id := c.publish("up/a", "1", 2)
	m := receive(t, offered, "the offer")
	again := publishPacket("up/a", "1", 2, id)
	again.Dup = true

	c.send(again) // while it is being stored
	c.quiet()
	m.done(nil)
	expect[*packets.PubrecPacket](c)
	expect[*packets.PubrecPacket](c)
	if p := expect[*packets.PublishPacket](sub); p.Qos != 2 || p.Dup {
		t.Errorf("fanned out: %v", p)
	}

	c = dialRaw(t, l, "c", false) // the same session on another connection
	c.send(again)
	if rec := expect[*packets.PubrecPacket](c); rec.MessageID != id {
		t.Errorf("PUBREC for %d", rec.MessageID)
	}
	rel := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	rel.MessageID = id
	c.send(rel)
	if comp := expect[*packets.PubcompPacket](c); comp.MessageID != id {
		t.Errorf("PUBCOMP for %d", comp.MessageID)
	}
	if len(offered) > 0 {
		t.Error("a repeated PUBLISH was accepted twice [MQTT-4.3.3-2]")
	}
	sub.quiet()

	c.send(publishPacket("up/a", "2", 2, id)) // released: the identifier is free again
	if m := receive(t, offered, "the next message"); string(m.Payload) != "2" {
		t.Errorf("offered %q", m.Payload)
	}
	c = dialRaw(t, l, "c", true) // a clean session forgets it [MQTT-3.1.2-6]
	c.send(publishPacket("up/a", "3", 2, id))
	if m := receive(t, offered, "a message of the clean session"); string(m.Payload) != "3" {
		t.Errorf("offered %q", m.Payload)
	}
}

func TestLocalClientLeavesBeforeItsAck(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	sub := dialRaw(t, l, "sub", true)
	sub.subscribe("#", 0)
	c := dialRaw(t, l, "c", true)
	c.publish("up/a", "1", 1)
	m := receive(t, offered, "the offer")
	c.Close()
	m.done(nil)
	if p := expect[*packets.PublishPacket](sub); string(p.Payload) != "1" {
		t.Errorf("fanned out %q", p.Payload)
	}
	c = dialRaw(t, l, "c", true)
	c.publish("up/a", "2", 1)
	receive(t, offered, "the next offer").done(nil)
	expect[*packets.PubackPacket](c)
}

func TestLocalNeverAcknowledgesAnError(t *testing.T) {
	for qos := byte(0); qos <= 2; qos++ {
		offered := make(chan taken, 10)
		l := startLocal(t, LocalConfig{}, takeAll(offered))
		sub := dialRaw(t, l, "sub", true)
		sub.subscribe("#", 0)
		c := dialRaw(t, l, "c", false)
		c.publish("up/a", "1", qos)
		receive(t, offered, "the offer").done(errors.New("the disk is on fire"))
		if qos == 0 {
			c.quiet()
			sub.quiet()
			continue
		}
		must(t, c.SetReadDeadline(time.Now().Add(patience)))
		if p, err := packets.ReadPacket(c); err == nil {
			t.Errorf("QoS %d: got %v", qos, p)
		}
		sub.quiet()
		c = dialRaw(t, l, "c", false) // it may try again
		c.publish("up/a", "1", qos)
		receive(t, offered, "the second offer").done(nil)
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := packets.ReadPacket(c); err != nil {
			t.Errorf("QoS %d: the second try: %v", qos, err)
		}
	}
}

func TestLocalHoldsWhileFull(t *testing.T) {
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), MaxMessages: 1})
	defer closeOutbox(t, o)
	asked := make(chan bool, 10)
	l := startLocal(t, LocalConfig{Room: func(ctx context.Context, m modems.Message) error {
		asked <- true
		return o.Room(ctx, m)
	}}, func(m modems.Message, done func(error)) bool { o.Put(m, done); return true })
	c := dialRaw(t, l, "c", true)
	c.publish("up/a", "1", 1)
	expect[*packets.PubackPacket](c)
	id := c.publish("up/a", "2", 1)
	receive(t, asked, "the second message to find no room")
	must(t, next(t, o).Delivered())
	if ack := expect[*packets.PubackPacket](c); ack.MessageID != id {
		t.Errorf("PUBACK for %d, want %d", ack.MessageID, id)
	}
	zero := dialRaw(t, l, "zero", true)
	zero.publish("up/a", "3", 0) // nobody waits for it: no reason to hold the others of this client
	zero.quiet()
	if e := next(t, o); string(e.Message().Payload) != "2" {
		t.Errorf("stored %q", e.Message().Payload)
	}
}

func TestLocalDisconnectsWhenFullForTooLong(t *testing.T) {
	var log lockedBuffer
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), MaxMessages: 1})
	defer closeOutbox(t, o)
	putWait(t, o, numbered(0))
	l := startLocal(t, LocalConfig{Room: o.Room, Hold: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(m modems.Message, done func(error)) bool { o.Put(m, done); return true })
	c := dialRaw(t, l, "c", true)
	c.publish("up/a", "1", 1)
	c.closed()
	if text := log.String(); !strings.Contains(text, ErrQueueFull.Error()) || !strings.Contains(text, "client=c") {
		t.Errorf("the log does not say why:\n%s", text)
	}
}

func TestLocalCloseEndsAHold(t *testing.T) {
	full := make(chan bool, 1)
	l := startLocal(t, LocalConfig{Room: func(ctx context.Context, _ modems.Message) error {
		full <- true
		<-ctx.Done()
		return ctx.Err()
	}}, func(_ modems.Message, done func(error)) bool { done(ErrQueueFull); return true })
	c := dialRaw(t, l, "c", true)
	c.publish("up/a", "1", 1)
	receive(t, full, "the hold")
	silent, err := net.Dial("tcp", l.Addr()) // and one that never says CONNECT
	must(t, err)
	defer silent.Close()
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	must(t, receive(t, closed, "Close"))
	c.closed()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLocalStalledSubscriber: one that does not read holds nobody up, and is disconnected.
func TestLocalStalledSubscriber(t *testing.T) {
	l := startLocal(t, LocalConfig{Stall: 100 * time.Millisecond}, func(_ modems.Message, done func(error)) bool { done(nil); return true })
	stalled := dialRaw(t, l, "stalled", true)
	stalled.subscribe("#", 1)
	must(t, stalled.Conn.(*net.TCPConn).SetReadBuffer(4096))
	healthy := dialRaw(t, l, "healthy", true)
	healthy.subscribe("#", 1)
	c := dialRaw(t, l, "c", true)
	payload := strings.Repeat("x", 200_000)
	const n = 50 // more than the kernel buffers
	go func() {
		for i := range n {
			if publishPacket("a", payload, 1, uint16(i+1)).Write(c) != nil {
				return
			}
		}
	}()
	for range n {
		expect[*packets.PublishPacket](healthy)
	}
	for range n {
		expect[*packets.PubackPacket](c)
	}
	stalled.closed()
}

// TestLocalStalledSubscriberThatAcknowledges: the library lifts all deadlines of a connection with every packet that
// it reads from it; that of a write must stay.
func TestLocalStalledSubscriberThatAcknowledges(t *testing.T) {
	l := startLocal(t, LocalConfig{Stall: 100 * time.Millisecond}, func(modems.Message, func(error)) bool { return false })
	stalled := dialRaw(t, l, "stalled", true)
	stalled.subscribe("#", 1)
	must(t, stalled.Conn.(*net.TCPConn).SetReadBuffer(4096))
	payload := []byte(strings.Repeat("x", 200_000))
	gone := make(chan bool)
	go func() {
		ack := packets.NewControlPacket(packets.Puback)
		for ack.Write(stalled) == nil {
		}
		close(gone)
	}()
	for range 50 { // more than the kernel buffers
		must(t, l.Deliver(modems.Message{Topic: "a", Payload: payload, QoS: 1}))
	}
	receive(t, gone, "the end of the connection")
}

func TestLocalPasswords(t *testing.T) {
	l := startLocal(t, LocalConfig{Username: "sensor", Password: "secret"}, func(modems.Message, func(error)) bool { return false })
	connect := func(user, password string) error {
		opts := paho.NewClientOptions().AddBroker("tcp://" + l.Addr()).SetProtocolVersion(4).SetConnectRetry(false).
			SetUsername(user).SetPassword(password)
		c := paho.NewClient(opts)
		token := c.Connect()
		token.WaitTimeout(patience)
		c.Disconnect(0)
		return token.Error()
	}
	must(t, connect("sensor", "secret"))
	for _, wrong := range [][2]string{{"sensor", "Secret"}, {"Sensor", "secret"}, {"sensor", ""}, {"", ""}, {"sensor", "secret2"}} {
		if err := connect(wrong[0], wrong[1]); err == nil {
			t.Errorf("%q with password %q may connect", wrong[0], wrong[1])
		}
	}
}

func TestLocalListen(t *testing.T) {
	l := startLocal(t, LocalConfig{}, nil)
	for listen, want := range map[string]string{
		l.Addr():        "taken by another program",
		"0.0.0.0:0":     "local.password",
		":0":            "local.password",
		"[::]:0":        "local.password",
		"192.0.2.1:0":   "local.password",
		"nonsense":      "not an address",
		"127.0.0.1:war": "not an address",
	} {
		if _, err := StartLocal(LocalConfig{Listen: listen}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something about %q", listen, err, want)
		}
	}
	must(t, l.Close())
	startLocal(t, LocalConfig{Listen: l.Addr()}, nil) // the port is free again
	startLocal(t, LocalConfig{Listen: "0.0.0.0:0", Username: "u", Password: "p"}, nil)
	startLocal(t, LocalConfig{Listen: "localhost:0"}, nil)
}

func TestLocalDeliver(t *testing.T) {
	l := startLocal(t, LocalConfig{}, func(m modems.Message, _ func(error)) bool {
		t.Errorf("accept was asked for %q", m.Topic)
		return false
	})
	got := make(chan paho.Message, 10)
	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + l.Addr()).SetProtocolVersion(4).SetClientID("p"))
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	defer client.Disconnect(0)
	if token := client.Subscribe("commands/#", 1, func(_ paho.Client, m paho.Message) { got <- m }); !token.WaitTimeout(patience) {
		t.Fatal("no SUBACK")
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	must(t, l.Deliver(modems.Message{Topic: "commands/x", Payload: all, QoS: 1}))
	if m := receive(t, got, "the message"); m.Topic() != "commands/x" || !bytes.Equal(m.Payload(), all) || m.Qos() != 1 || m.Retained() {
		t.Errorf("arrived: %s %x qos %d", m.Topic(), m.Payload(), m.Qos())
	}
	must(t, l.Deliver(modems.Message{Topic: "commands/kept", Payload: []byte("r"), Retain: true}))
	receive(t, got, "the retained message, live")
	late := dialRaw(t, l, "late", true)
	late.subscribe("commands/#", 1)
	if p := expect[*packets.PublishPacket](late); p.TopicName != "commands/kept" || !p.Retain {
		t.Errorf("retained: %v", p)
	}
	for _, wrong := range []string{"", "a/#", "+"} {
		if err := l.Deliver(modems.Message{Topic: wrong, QoS: 1}); err == nil {
			t.Errorf("topic %q was delivered", wrong)
		}
	}
}

// TestLocalKeepsSessions: what a persistent subscriber missed, it gets when it is back.
func TestLocalKeepsSessions(t *testing.T) {
	l := startLocal(t, LocalConfig{}, func(modems.Message, func(error)) bool { return false })
	c := dialRaw(t, l, "c", false)
	c.subscribe("commands/#", 1)
	c.Close()
	for i := range 5 {
		must(t, l.Deliver(modems.Message{Topic: "commands/x", Payload: []byte(strconv.Itoa(i)), QoS: 1}))
	}
	c = dialRaw(t, l, "c", false)
	var got []string
	for range 5 {
		got = append(got, string(expect[*packets.PublishPacket](c).Payload))
	}
	slices.Sort(got) // mochi-mqtt sorts them by the second
	if fmt.Sprint(got) != "[0 1 2 3 4]" {
		t.Errorf("got %v", got)
	}
}

func TestLocalRetained(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	c := dialRaw(t, l, "c", true)
	p := publishPacket("up/state", "on", 1, 1)
	p.Retain = true
	c.send(p)
	m := receive(t, offered, "the offer")
	if !m.Retain {
		t.Error("accept was not told that it is retained")
	}
	m.done(nil)
	expect[*packets.PubackPacket](c)
	late := dialRaw(t, l, "late", true)
	late.subscribe("up/#", 1)
	if p := expect[*packets.PublishPacket](late); string(p.Payload) != "on" || !p.Retain {
		t.Errorf("retained: %v", p)
	}
}

func TestLocalWillsGoUp(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	c, err := net.Dial("tcp", l.Addr())
	must(t, err)
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier, connect.CleanSession = "MQTT", 4, "c", true
	connect.WillFlag, connect.WillTopic, connect.WillMessage, connect.WillQos = true, "up/gone", []byte("bye"), 1
	r := &raw{t: t, Conn: c}
	r.send(connect)
	expect[*packets.ConnackPacket](r)
	c.Close()
	m := receive(t, offered, "the will")
	if m.Topic != "up/gone" || string(m.Payload) != "bye" || m.QoS != 1 {
		t.Errorf("offered %+v", m.Message)
	}
	m.done(nil)
}

// TestLocalLogsNoSecrets: the library logs whole packets.
func TestLocalLogsNoSecrets(t *testing.T) {
	var log lockedBuffer
	l := startLocal(t, LocalConfig{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))},
		func(modems.Message, func(error)) bool { return false })
	c := dialRaw(t, l, "c", true)
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket) // a second one is a protocol error
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier, connect.CleanSession = "MQTT", 4, "c", true
	connect.UsernameFlag, connect.Username, connect.PasswordFlag, connect.Password = true, "u", true, []byte("hunter2")
	c.send(connect)
	c.closed()
	must(t, l.Close())
	text := log.String()
	if secret := fmt.Sprint([]byte("hunter2")); strings.Contains(text, "hunter2") || strings.Contains(text, secret) {
		t.Errorf("the log holds a password:\n%s", text)
	}
	if !strings.Contains(text, "second connect") || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log:\n%s", text)
	}
}
