package bridge

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

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

func dialRaw(t *testing.T, addr, client string, clean bool) *raw {
	t.Helper()
	r, _ := connectRaw(t, addr, client, clean)
	return r
}

// connectRaw connects and says whether the broker knew the session.
func connectRaw(t *testing.T, addr, client string, clean bool) (r *raw, present bool) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	r = &raw{t: t, Conn: c}
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion = "MQTT", 4
	connect.ClientIdentifier, connect.CleanSession, connect.Keepalive = client, clean, 60
	r.send(connect)
	ack := expect[*packets.ConnackPacket](r)
	if ack.ReturnCode != 0 {
		t.Fatalf("CONNACK %d", ack.ReturnCode)
	}
	return r, ack.SessionPresent
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

// any reads the next packet.
func (r *raw) any() packets.ControlPacket {
	r.t.Helper()
	return expect[packets.ControlPacket](r)
}

// take reads the next message, which must be a PUBLISH, and acknowledges it.
func (r *raw) take() *packets.PublishPacket {
	r.t.Helper()
	p := expect[*packets.PublishPacket](r)
	if p.Qos == 1 {
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		r.send(ack)
	}
	return p
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
