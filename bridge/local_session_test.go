package bridge

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

func stays(modems.Message, func(error)) bool { return false }

// TestLocalSessionIsBounded: a client that is away keeps the newest messages; what it loses is counted and said.
func TestLocalSessionIsBounded(t *testing.T) {
	var log lockedBuffer
	l := startLocal(t, LocalConfig{Log: slog.New(slog.NewTextHandler(&log, nil))}, stays)
	c := dialRaw(t, l.Addr(), "away", false)
	c.subscribe("a", 1)
	c.Close()
	until(t, "the client to be gone", patience, func() bool { return l.Status().Clients == 0 })
	const more = 50
	for i := range sessionMessages + more {
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: strconv.AppendInt(nil, int64(i), 10), QoS: 1}))
	}
	if st := l.Status(); st.Waiting != sessionMessages || st.Dropped != more || st.Sessions != 1 {
		t.Errorf("%+v", st)
	}
	if text := log.String(); !strings.Contains(text, "oldest messages are dropped") || !strings.Contains(text, "client=away") {
		t.Errorf("the log:\n%s", text)
	}
	c = resume(t, l.Addr(), "away")
	for i := range sessionMessages {
		if p := c.take(); string(p.Payload) != strconv.Itoa(i+more) {
			t.Fatalf("message %d is %q", i+more, p.Payload)
		}
	}
}

// TestLocalSessionsTogether: many clients that are away do not fill the memory.
func TestLocalSessionsTogether(t *testing.T) {
	l := startLocal(t, LocalConfig{}, stays)
	const clients, messages, size = 5, 15, 1 << 20
	for i := range clients {
		c := dialRaw(t, l.Addr(), fmt.Sprint("away", i), false)
		c.subscribe("a", 1)
		c.Close()
	}
	until(t, "the clients to be gone", patience, func() bool { return l.Status().Clients == 0 })
	payload := make([]byte, size)
	for range messages {
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: payload, QoS: 1}))
	}
	held := 0
	for _, s := range l.sessions {
		n, bytes := s.load()
		held += bytes
		if n < messages/2 {
			t.Errorf("%s has %d messages left", s.id, n)
		}
	}
	if held > allBytes || held < allBytes-2*size || int64(held) != l.held.Load() {
		t.Errorf("%d bytes are held, and %d counted", held, l.held.Load())
	}
}

// TestLocalHoldsTheCloud: while a client is there and has too much to take, the cloud waits; a client of the house does not.
func TestLocalHoldsTheCloud(t *testing.T) {
	l := startLocal(t, LocalConfig{Hold: patience}, stays)
	c := dialRaw(t, l.Addr(), "slow", true)
	c.subscribe("a", 1)
	for range sessionMessages {
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "a", QoS: 1}))
	}
	delivered := make(chan error, 1)
	began := time.Now()
	go func() {
		delivered <- l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: []byte("last"), QoS: 1})
	}()
	house := dialRaw(t, l.Addr(), "house", true)
	house.publish("a", "from the house", 1)
	expect[*packets.PubackPacket](house)
	if d := l.Status().Dropped; d != 1 {
		t.Errorf("%d messages were dropped, want the oldest for the one from the house", d)
	}
	select {
	case <-delivered:
		t.Error("the cloud's message did not wait")
	default:
	}
	c.take()
	c.take()
	must(t, receive(t, delivered, "the cloud's message"))
	if d := l.Status().Dropped; d != 1 || time.Since(began) >= patience {
		t.Errorf("%d messages were dropped after %v", d, time.Since(began))
	}
}

// TestLocalSubscriberWithQoS2: PUBLISH, PUBREC, PUBREL, PUBCOMP; what is received is not sent again.
func TestLocalSubscriberWithQoS2(t *testing.T) {
	l := startLocal(t, LocalConfig{}, stays)
	sub := dialRaw(t, l.Addr(), "sub", false)
	sub.subscribe("a", 2)
	c := dialRaw(t, l.Addr(), "c", true)
	for _, text := range []string{"1", "2"} {
		id := c.publish("a", text, 2)
		expect[*packets.PubrecPacket](c)
		rel := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
		rel.MessageID = id
		c.send(rel)
		expect[*packets.PubcompPacket](c)
	}
	first, second := expect[*packets.PublishPacket](sub), expect[*packets.PublishPacket](sub)
	if first.Qos != 2 || string(first.Payload) != "1" || string(second.Payload) != "2" {
		t.Errorf("got %v and %v", first, second)
	}
	rec := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
	rec.MessageID = first.MessageID
	sub.send(rec)
	if rel := expect[*packets.PubrelPacket](sub); rel.MessageID != first.MessageID {
		t.Errorf("PUBREL for %d", rel.MessageID)
	}
	comp := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
	comp.MessageID = first.MessageID
	sub.send(comp)
	sub.quiet()

	sub = resume(t, l.Addr(), "sub")
	if p := expect[*packets.PublishPacket](sub); string(p.Payload) != "2" || !p.Dup || p.MessageID != second.MessageID {
		t.Errorf("again: %v", p)
	}
	sub.quiet()
}

// TestLocalPublisherAndSubscriber: identifiers of the two directions have nothing to do with each other; in
// mochi-mqtt v2.7.9 a message in flight is forgotten when its subscriber publishes under the same identifier.
func TestLocalPublisherAndSubscriber(t *testing.T) {
	l := startLocal(t, LocalConfig{}, stays)
	c := dialRaw(t, l.Addr(), "c", false)
	c.subscribe("a", 1)
	must(t, l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: []byte("1"), QoS: 1}))
	p := expect[*packets.PublishPacket](c)
	c.send(publishPacket("b", "mine", 1, p.MessageID))
	expect[*packets.PubackPacket](c)
	c = resume(t, l.Addr(), "c")
	if again := c.take(); again.MessageID != p.MessageID || !again.Dup {
		t.Errorf("again: %v", again)
	}
	c.quiet()
}

// TestLocalEndsTheOldestSession: there is no end of clients that never come back.
func TestLocalEndsTheOldestSession(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	l := startLocal(t, LocalConfig{File: file}, stays)
	for i := range maxSessions + 1 {
		c := dialRaw(t, l.Addr(), fmt.Sprint("c", i), false)
		if i == 0 {
			until(t, "the first to be there", patience, func() bool { return l.Status().Clients == 1 })
		}
		c.Close()
		if i == 0 {
			until(t, "the first to be gone", patience, func() bool { return l.Status().Clients == 0 })
		}
	}
	if n := l.Status().Sessions; n != maxSessions {
		t.Errorf("%d sessions", n)
	}
	if _, present := connectRaw(t, l.Addr(), "c0", false); present {
		t.Error("the first session is still there")
	}
	if _, present := connectRaw(t, l.Addr(), "c900", false); !present {
		t.Error("a later session is gone")
	}
}
