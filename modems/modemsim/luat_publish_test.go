package modemsim

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func TestAirPublish(t *testing.T) {
	t.Parallel()
	h, b := air(t)
	for qos, result := range []string{"", urc("PUBACK"), urc("PUBREC") + urc("PUBCOMP")} {
		h.airOffer(qos, "t", "x")
		h.expect(isOK + result)
		if p := b.next(t); p.FixedHeader.Qos != byte(qos) || string(p.Payload) != "x" {
			t.Errorf("got %v", p)
		}
	}
	h.ask(`AT+MPUB="t",0,1,"{\22id\22:\22123\22,\22p\22:{\22c\22:62}}"`, isOK)
	if p := b.next(t); string(p.Payload) != `{"id":"123","p":{"c":62}}` || !p.FixedHeader.Retain {
		t.Errorf("got %v", p)
	}
	for typed, arrives := range map[string]string{`a\0D\0A\5Cb`: "a\r\n\\b", `\5C22`: `\22`, `\41\n`: `\41\n`, "a;b,c{}": "a;b,c{}"} {
		h.ask(`AT+MPUB="t",1,0,"`+typed+`"`, isOK+urc("PUBACK"))
		if p := b.next(t); string(p.Payload) != arrives {
			t.Errorf("%s: got %q", typed, p.Payload)
		}
	}
	h.ask(`AT+MPUB="t",0,0,"`+strings.Repeat("x", 2384)+`"`, isOK)
	b.next(t)
	for _, bad := range []string{
		`AT+MPUB="t",0,0,bare`, `AT+MPUB="t",0,0,"a"b"`, `AT+MPUB="t",0,0,""`, `AT+MPUB="t",0,0,"` + strings.Repeat("x", 2385) + `"`, `AT+MPUB="t",3,0,"x"`,
		`AT+MPUB="t",0,0`, `AT+MPUBEX="t",0,0,0`, `AT+MPUBEX="t",0,0,4101`, `AT+MPUBEX="t",0,2,1`, `AT+MPUBEX="t",0`, `AT+MPUBEX="` + strings.Repeat("t", 257) + `",0,0,1`,
	} {
		h.ask(bad, isError)
	}
	h.ask("AT+MQTTMODE=1", isOK)
	h.ask(`AT+MPUB="test",0,0,"313233"`, isOK)
	if p := b.next(t); string(p.Payload) != "123" {
		t.Errorf("got %q", p.Payload)
	}
	h.ask(`AT+MPUB="test",0,0,"31323"`, isError)
	h.airOffer(0, "test", "313233") // AT+MPUBEX is not meant
	h.expect(isOK)
	if p := b.next(t); string(p.Payload) != "313233" {
		t.Errorf("got %q", p.Payload)
	}
	h.ask("AT+MIPCLOSE", isOK)
	h.ask(`AT+MPUB="t",0,0,"31"`, urc("+CME ERROR: 767"))
	h.ask(`AT+MPUBEX="t",0,0,1`, urc("+CME ERROR: 767"))
}

// Every byte value, and all that looks like the line discipline, is payload.
func TestAirPayloadIsAnything(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	h := start(t, Config{Model: "air724ug", Baud: 921600, Map: b.mapped(), Faults: []string{"echo=off"}})
	h.airConnect()
	var every strings.Builder
	for i := range 256 {
		every.WriteByte(byte(i))
	}
	for _, payload := range []string{every.String(), "\r\nOK\r\n", "\x1a", "\x1b", "AT\r", "\nLF", "+++", strings.Repeat("x", 4100)} {
		h.send(`AT+MPUBEX="t",1,0,` + strconv.Itoa(len(payload)) + "\r\n")
		h.expect("\r\n> ")
		h.send(payload)
		h.expect(isOK + urc("PUBACK"))
		if p := b.next(t); string(p.Payload) != payload {
			t.Errorf("got %q\nwant %q", p.Payload, payload)
		}
	}
}

// Without a length Ctrl-Z ends the message, or five seconds of silence; ESC gives it up.
func TestAirPublishText(t *testing.T) {
	t.Parallel()
	h, b := air(t)
	h.ask(`AT+MPUBEX="t",1,0`, "\r\n> ")
	h.send("a\r\nb\x1a")
	h.expect(isOK + urc("PUBACK"))
	if p := b.next(t); string(p.Payload) != "a\r\nb" {
		t.Errorf("got %q", p.Payload)
	}
	h.ask(`AT+MPUBEX="t",1,0`, "\r\n> ")
	h.send("a\x1b")
	h.expect(isError)
	h.ask(`AT+MPUBEX="t",1,0`, "\r\n> ")
	begin := time.Now()
	h.send("slow")
	h.expect(isOK + urc("PUBACK"))
	if took := time.Since(begin); took < 4*time.Second {
		t.Errorf("ended after %v", took)
	}
	if p := b.next(t); string(p.Payload) != "slow" {
		t.Errorf("got %q", p.Payload)
	}
}

// An acknowledgement bears no id, so one publish waits at most.
func TestAirOneAtATime(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	f.airOnline(h)
	h.airOffer(1, "t", "1")
	h.expect(isOK)
	p := next[*packets.PublishPacket](f)
	h.ask(`AT+MPUBEX="t",1,0,1`, urc("+CME ERROR: 767"))
	h.airOffer(0, "t", "2") // QoS 0 waits for nothing
	h.expect(isOK)
	next[*packets.PublishPacket](f)
	f.puback(p.MessageID + 1) // nobody's
	h.silent(30 * time.Millisecond)
	f.puback(p.MessageID)
	h.expect(urc("PUBACK"))
	h.airOffer(2, "t", "3")
	h.expect(isOK)
	p = next[*packets.PublishPacket](f)
	rec := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
	rec.MessageID = p.MessageID
	f.send(rec)
	h.expect(urc("PUBREC"))
	next[*packets.PubrelPacket](f)
	comp := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
	comp.MessageID = p.MessageID
	f.send(comp)
	h.expect(urc("PUBCOMP"))
	if s := h.sim.Stats(); s.Publishes != 3 || s.Results != 2 || s.InFlightPeak != 1 {
		t.Errorf("%d publishes, %d results, %d in flight", s.Publishes, s.Results, s.InFlightPeak)
	}
}

// The payload is echoed as the commands are.
func TestAirPayloadEcho(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	h := start(t, Config{Model: "air724ug", Map: b.mapped()})
	h.quiet()
	h.airConnect()
	h.ask("ATE1", isOK)
	h.ask(`AT+MPUBEX="t",0,0,4`, `AT+MPUBEX="t",0,0,4`+"\r\r\n> ")
	h.send("seen")
	h.expect("seen" + isOK)
}

// In the profile sheet every step takes its time.
func TestAirSheetTimes(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	h := start(t, Config{Model: "air724ug", Latency: "sheet", Map: b.mapped(), Faults: []string{"echo=off"}})
	for _, c := range []struct {
		line, answer, outcome string
		least                 time.Duration
	}{
		{`AT+MCONFIG="sim"`, isOK, "", 0},
		{`AT+MIPSTART="broker",1883`, isOK, urc("CONNECT OK"), 1400 * time.Millisecond},
		{"AT+MCONNECT=1,60", isOK, urc("CONNACK OK"), 250 * time.Millisecond},
		{`AT+MSUB="s",1`, isOK, urc("SUBACK"), 300 * time.Millisecond},
		{`AT+MPUB="t",1,0,"x"`, isOK, urc("PUBACK"), 300 * time.Millisecond},
	} {
		begin := time.Now()
		h.send(c.line + "\r\n")
		h.expect(c.answer + c.outcome)
		if took := time.Since(begin); took < c.least {
			t.Errorf("%s took %v", c.line, took)
		}
	}
}
