package modemsim

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// fake is a broker that does nothing by itself: a test sees every packet and sends every answer.
type fake struct {
	t    *testing.T
	l    net.Listener
	conn net.Conn
	r    *bufio.Reader
}

func newFake(t *testing.T) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &fake{t: t, l: l}
}

func (f *fake) mapped() map[string]string {
	return map[string]string{"broker:1883": f.l.Addr().String()}
}

func (f *fake) accept() {
	f.t.Helper()
	f.l.(*net.TCPListener).SetDeadline(time.Now().Add(patient))
	conn, err := f.l.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	f.conn, f.r = conn, bufio.NewReader(conn)
	f.t.Cleanup(func() { conn.Close() })
}

// online brings client 0 of h to a session.
func (f *fake) online(h *host) *packets.ConnectPacket {
	h.t.Helper()
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK)
	f.accept()
	h.expect(urc("+QMTOPEN: 0,0"))
	h.ask(`AT+QMTCONN=0,"sim"`, isOK)
	c := next[*packets.ConnectPacket](f)
	f.accepted(0)
	h.expect(urc("+QMTCONN: 0,0,0"))
	return c
}

func (f *fake) accepted(code byte) {
	p := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	p.ReturnCode = code
	f.send(p)
}

func (f *fake) send(p packets.ControlPacket) {
	f.t.Helper()
	if err := p.Write(f.conn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) puback(id uint16) {
	p := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	p.MessageID = id
	f.send(p)
}

func (f *fake) publish(id uint16, qos byte, topic, payload string) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.MessageID, p.Qos, p.TopicName, p.Payload = id, qos, topic, []byte(payload)
	f.send(p)
}

// next reads the next packet, which has to be a P.
func next[P packets.ControlPacket](f *fake) P {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(patient))
	got, err := readPacket(f.r)
	if err != nil {
		f.t.Fatal(err)
	}
	p, is := got.(P)
	if !is {
		f.t.Fatalf("got %v", got)
	}
	return p
}

// gone insists that the module has closed the connection.
func (f *fake) gone() {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(patient))
	if p, err := readPacket(f.r); err == nil {
		f.t.Fatalf("got %v instead of the end", p)
	}
}
