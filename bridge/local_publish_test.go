package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

func TestLocalAcknowledgesWhenStored(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	sub := dialRaw(t, l.Addr(), "sub", true)
	sub.subscribe("#", 1)
	c := dialRaw(t, l.Addr(), "c", true)
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
	sub := dialRaw(t, l.Addr(), "sub", true)
	sub.subscribe("#", 0)
	c := dialRaw(t, l.Addr(), "c", true)
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
	c := dialRaw(t, l.Addr(), "c", true)
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
	sub := dialRaw(t, l.Addr(), "sub", true)
	sub.subscribe("up/#", 2)
	c := dialRaw(t, l.Addr(), "c", false)
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

	c = dialRaw(t, l.Addr(), "c", false) // the same session on another connection
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
	c = dialRaw(t, l.Addr(), "c", true) // a clean session forgets it [MQTT-3.1.2-6]
	c.send(publishPacket("up/a", "3", 2, id))
	if m := receive(t, offered, "a message of the clean session"); string(m.Payload) != "3" {
		t.Errorf("offered %q", m.Payload)
	}
}

func TestLocalClientLeavesBeforeItsAck(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	sub := dialRaw(t, l.Addr(), "sub", true)
	sub.subscribe("#", 0)
	c := dialRaw(t, l.Addr(), "c", true)
	c.publish("up/a", "1", 1)
	m := receive(t, offered, "the offer")
	c.Close()
	m.done(nil)
	if p := expect[*packets.PublishPacket](sub); string(p.Payload) != "1" {
		t.Errorf("fanned out %q", p.Payload)
	}
	c = dialRaw(t, l.Addr(), "c", true)
	c.publish("up/a", "2", 1)
	receive(t, offered, "the next offer").done(nil)
	expect[*packets.PubackPacket](c)
}

func TestLocalNeverAcknowledgesAnError(t *testing.T) {
	for qos := byte(0); qos <= 2; qos++ {
		offered := make(chan taken, 10)
		l := startLocal(t, LocalConfig{}, takeAll(offered))
		sub := dialRaw(t, l.Addr(), "sub", true)
		sub.subscribe("#", 0)
		c := dialRaw(t, l.Addr(), "c", false)
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
		c = dialRaw(t, l.Addr(), "c", false) // it may try again
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
		return o.Room(ctx, m, Handling{})
	}}, func(m modems.Message, done func(error)) bool { o.Put(m, done); return true })
	c := dialRaw(t, l.Addr(), "c", true)
	c.publish("up/a", "1", 1)
	expect[*packets.PubackPacket](c)
	id := c.publish("up/a", "2", 1)
	receive(t, asked, "the second message to find no room")
	must(t, next(t, o).Delivered())
	if ack := expect[*packets.PubackPacket](c); ack.MessageID != id {
		t.Errorf("PUBACK for %d, want %d", ack.MessageID, id)
	}
	zero := dialRaw(t, l.Addr(), "zero", true)
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
	l := startLocal(t, LocalConfig{Room: roomIn(o), Hold: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(m modems.Message, done func(error)) bool { o.Put(m, done); return true })
	c := dialRaw(t, l.Addr(), "c", true)
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
	c := dialRaw(t, l.Addr(), "c", true)
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

// roomIn is what the local side waits for while o is full.
func roomIn(o *Outbox) func(context.Context, modems.Message) error {
	return func(ctx context.Context, m modems.Message) error { return o.Room(ctx, m, Handling{}) }
}
