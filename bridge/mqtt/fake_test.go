package mqtt

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

// peer is a broker played by hand over a net.Pipe. Time is synctest's: a deadline of minutes costs nothing, and a
// goroutine that outlives the test fails it.
type peer struct {
	t    *testing.T
	conn net.Conn
	// host is the end that Dial is given.
	host net.Conn
}

// play runs test in a bubble of its own.
func play(t *testing.T, test func(t *testing.T, p *peer)) {
	synctest.Test(t, func(t *testing.T) {
		host, conn := net.Pipe()
		p := &peer{t, conn, host}
		defer conn.Close()
		test(t, p)
	})
}

func (p *peer) dial(context.Context) (net.Conn, error) { return p.host, nil }

// open plays a CONNECT that the broker accepts.
func (p *peer) open(cfg modems.MQTTConfig) modems.Session {
	p.t.Helper()
	go p.accept()
	s, err := Dial(p.t.Context(), p.dial, cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *peer) accept() {
	if _, err := packets.ReadPacket(p.conn); err != nil {
		p.t.Errorf("no CONNECT: %v", err)
	}
	p.send(packets.NewControlPacket(packets.Connack))
}

// read returns the next packet of the client, of type T.
func read[T packets.ControlPacket](p *peer) T {
	p.t.Helper()
	got, err := packets.ReadPacket(p.conn)
	if err != nil {
		p.t.Fatalf("the client said nothing: %v", err)
	}
	packet, ok := got.(T)
	if !ok {
		p.t.Fatalf("the client sent %v", got)
	}
	return packet
}

func (p *peer) send(packet packets.ControlPacket) {
	if err := packet.Write(p.conn); err != nil {
		p.t.Errorf("the client does not read: %v", err)
	}
}

func (p *peer) ack(id uint16) {
	ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	ack.MessageID = id
	p.send(ack)
}

func (p *peer) publish(id uint16, payload string) {
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Payload, m.MessageID = "t", []byte(payload), id
	if id > 0 {
		m.Qos = 1
	}
	p.send(m)
}

// discard reads and drops whatever the client sends from now on.
func (p *peer) discard() {
	go func() {
		for {
			if _, err := p.conn.Read(make([]byte, 4096)); err != nil {
				return
			}
		}
	}()
}

// gone closes s, for tests whose session has ended or whose end does not matter.
func (p *peer) gone(s modems.Session) {
	p.t.Helper()
	p.discard()
	if err := s.Close(context.Background()); err != nil {
		p.t.Errorf("close: %v", err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
