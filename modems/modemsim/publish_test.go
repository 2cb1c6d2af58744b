package modemsim

import (
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Every byte value, and everything that looks like the line discipline, is payload.
func TestPayloadIsAnything(t *testing.T) {
	b := newBroker(t)
	h := start(t, Config{Baud: 921600, Map: b.mapped()})
	h.online()
	var every strings.Builder
	for i := range 256 {
		every.WriteByte(byte(i))
	}
	for i, payload := range []string{
		every.String(),
		"\r\nOK\r\n", "\x1a", "\x00", "\x1b", "+++", "AT\r", "\nleading LF", "\r\n> ", `"}",`,
		strings.Repeat("x", maxPayload),
	} {
		h.publish(i+1, 1, "t", payload)
		if got := b.next(t); string(got.Payload) != payload {
			t.Errorf("got %q\nwant %q", got.Payload, payload)
		}
	}
	topic := "\x01\x7f\xe4\xb8\xad a;b?=" // 8-bit clean, and nothing in it means anything
	h.publish(99, 1, topic, "x")
	if got := b.next(t); got.TopicName != topic {
		t.Errorf("topic %q", got.TopicName)
	}
}

// The LF of a host that ends lines with CR LF is the first byte of the payload (atat#215).
func TestLineFeedBecomesPayload(t *testing.T) {
	b := newBroker(t)
	h := start(t, Config{Baud: 115200, Map: b.mapped()})
	h.online()
	h.send("AT+QMTPUBEX=0,1,1,0,\"t\",5\r\n")
	h.expect("\r\n> ")
	h.send("hello")
	h.expect(isOK + urc("+QMTPUBEX: 0,1,0"))
	if got := b.next(t); string(got.Payload) != "\nhell" {
		t.Errorf("got %q", got.Payload)
	}
	h.ask("AT", isOK) // the surplus byte was dropped
}

// Log L2: what comes after the last byte of a payload and before OK is deleted.
func TestSurplus(t *testing.T) {
	b := newBroker(t)
	for _, baud := range []int{0, 115200} {
		h := start(t, Config{Baud: baud, Map: b.mapped()})
		h.online()
		h.send("AT+QMTPUBEX=0,0,0,0,\"t\",30\r")
		h.expect("\r\n> ")
		h.send(strings.Repeat("x", 30) + "\r\n")
		h.expect(isOK + urc("+QMTPUBEX: 0,0,0"))
		h.ask("AT+CSQ", urc("+CSQ: 28,99")+isOK)
		if got := b.next(t); len(got.Payload) != 30 {
			t.Errorf("got %q", got.Payload)
		}
	}
}

func TestWindow(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	f.online(h)
	for id := 1; id <= 5; id++ {
		h.offer(id, 1, "t", "x")
		h.expect(isOK)
		if p := next[*packets.PublishPacket](f); p.MessageID != uint16(id) || p.Qos != 1 || p.Dup {
			t.Fatalf("got %v", p)
		}
	}
	h.ask(`AT+QMTPUBEX=0,6,1,0,"t",1`, isError) // the sixth
	h.offer(0, 0, "t", "x")                     // QoS 0 needs no place
	h.expect(isOK + urc("+QMTPUBEX: 0,0,0"))
	next[*packets.PublishPacket](f)
	f.puback(3) // the order is the broker's
	h.expect(urc("+QMTPUBEX: 0,3,0"))
	f.puback(77)                                // nobody's
	h.ask(`AT+QMTPUBEX=0,5,1,0,"t",1`, isError) // in use
	h.offer(6, 1, "t", "x")
	h.expect(isOK)
	if n := h.sim.Stats().InFlightPeak; n != 5 {
		t.Errorf("peak %d", n)
	}
}

func TestPublishArguments(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	h.ask(`AT+QMTPUBEX=0,1,1,0,"t",1`, isError) // no connection
	f.online(h)
	for _, bad := range []string{
		`0,0,1,0,"t",1`, `0,1,3,0,"t",1`, `0,1,1,2,"t",1`, `6,1,1,0,"t",1`, `0,65536,1,0,"t",1`,
		`0,1,1,0,"",1`, `0,1,1,0,"t",0`, `0,1,1,0,"t",1501`, `0,1,1,0,"t"`, `0,1,1,0,"t",1,1`, `0,1,1,0,"t,1`, `0,1,1,0,"t"x,1`,
	} {
		h.ask("AT+QMTPUBEX="+bad, isError)
	}
	h.ask(`AT+QMTSUB=0,0,"t",1`, isError)
	h.ask(`AT+QMTSUB=0,1,"t"`, isError)
	h.ask(`AT+QMTSUB=1,1,"t",0`, isError)
	h.ask(`AT+QMTUNS=0,1`, isError)
	h.ask(`AT+QMTOPEN=0,"broker"`, isError)
	h.ask(`AT+QMTOPEN=0,"`+strings.Repeat("h", 101)+`",1`, isError)
	h.ask(`AT+QMTDISC=1`, isError)
	h.ask(`AT+QMTRECV=1`, isError)
}

func TestQoS2(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	f.online(h)
	h.offer(9, 2, "t", "x")
	h.expect(isOK)
	next[*packets.PublishPacket](f)
	rec := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
	rec.MessageID = 9
	f.send(rec)
	next[*packets.PubrelPacket](f)
	comp := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
	comp.MessageID = 9
	f.send(comp)
	h.expect(urc("+QMTPUBEX: 0,9,0"))

	f.publish(4, 2, "t", "once")
	f.publish(4, 2, "t", "once")
	h.expect(urc(`+QMTRECV: 0,4,"t","once"`))
	next[*packets.PubrecPacket](f)
	next[*packets.PubrecPacket](f)
	rel := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	rel.MessageID = 4
	f.send(rel)
	next[*packets.PubcompPacket](f)
	f.publish(5, 1, "t", "next")
	next[*packets.PubackPacket](f)
	h.expect(urc(`+QMTRECV: 0,5,"t","next"`)) // and nothing of the second copy
}

func TestRetransmission(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	h.ask(`AT+QMTCFG="timeout",0,1,2,1`, isOK)
	f.online(h)
	h.offer(7, 1, "t", "x")
	h.expect(isOK + urc("+QMTPUBEX: 0,7,1,1") + urc("+QMTPUBEX: 0,7,1,2") + urc("+QMTPUBEX: 0,7,2"))
	for i := range 3 {
		if p := next[*packets.PublishPacket](f); p.Dup != (i > 0) {
			t.Errorf("transmission %d: %v", i, p)
		}
	}
}

func TestHexFormat(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	h.ask(`AT+QMTCFG="dataformat",0,1,1;+QMTCFG="recv/mode",0,0,1`, isOK)
	f.online(h)
	h.offer(0, 0, "t", "00fF")
	h.expect(isOK + urc("+QMTPUBEX: 0,0,0"))
	if p := next[*packets.PublishPacket](f); string(p.Payload) != "\x00\xff" {
		t.Errorf("got %q", p.Payload)
	}
	h.offer(0, 0, "t", "zz")
	h.expect(isError)
	f.publish(0, 0, "t", "\x00\xff")
	h.expect(urc(`+QMTRECV: 0,0,"t",4,"00FF"`))
}

func TestViewMode(t *testing.T) {
	b := newBroker(t)
	h := start(t, Config{Map: b.mapped(), Faults: []string{"view"}})
	h.online()
	h.offer(0, 0, "t", "seen")
	h.expect("seen" + isOK + urc("+QMTPUBEX: 0,0,0"))
}

func TestEditTimeout(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	h := start(t, Config{Map: b.mapped()})
	h.quiet()
	h.ask(`AT+QMTCFG="edit/timeout",0,1,1`, isOK)
	h.connect()
	h.ask(`AT+QMTPUBEX=0,1,1,0,"t",9`, "\r\n> ")
	begin := time.Now()
	h.send("short")
	h.expect(isError)
	if took := time.Since(begin); took < 900*time.Millisecond {
		t.Errorf("ended after %v", took)
	}
	h.ask("AT", isOK)
}

// The host dies in the middle of a payload. The module knows nothing of that: what the
// next host says first becomes payload, and the session is still there.
func TestHostReopens(t *testing.T) {
	b := newBroker(t)
	h := start(t, Config{Baud: 115200, Map: b.mapped()})
	h.online()
	h.ask(`AT+QMTPUBEX=0,1,1,0,"t",10`, "\r\n> ")
	h.send("12345")
	h.f.Close()
	h.open()
	h.send("AT\r")
	h.silent(50 * time.Millisecond)
	h.send("AT")
	h.expect(isOK + urc("+QMTPUBEX: 0,1,0"))
	if got := b.next(t); string(got.Payload) != "12345AT\rAT" {
		t.Errorf("got %q", got.Payload)
	}
	h.ask("AT+QMTCONN?", urc("+QMTCONN: 0,3")+isOK)
}
