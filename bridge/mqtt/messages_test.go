package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

func TestWindow(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{Window: 3})
		var sent []modems.Receipt
		published := make(chan modems.Receipt)
		go func() {
			defer close(published)
			for i := range 5 {
				r, err := s.Publish(t.Context(), modems.Message{Topic: "t", Payload: []byte{byte(i)}, QoS: 1})
				if err != nil {
					t.Error(err)
					return
				}
				published <- r
			}
		}()
		var ids []uint16
		for range 3 {
			sent = append(sent, <-published)
			ids = append(ids, read[*packets.PublishPacket](p).MessageID)
		}
		synctest.Wait() // the fourth waits, and stays away from the wire
		select {
		case <-published:
			t.Fatal("a fourth publish passed a window of three")
		default:
		}
		p.ack(ids[0])
		if got := sent[0].Wait(t.Context()); got != modems.Acked {
			t.Errorf("receipt %v, want acknowledged", got)
		}
		sent = append(sent, <-published)
		if m := read[*packets.PublishPacket](p); m.Payload[0] != 3 {
			t.Errorf("got %v, want the fourth", m.Payload)
		}
		synctest.Wait()
		select {
		case <-published:
			t.Fatal("a fifth publish passed a window of three")
		default:
		}
		// A waiter whose patience ends leaves nothing behind.
		if _, err := s.Publish(within(t, time.Second), modems.Message{Topic: "t", QoS: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("publish: %v", err)
		}
		if got := sent[1].Wait(within(t, time.Second)); got != modems.Unknown {
			t.Errorf("receipt %v, want unknown for now", got)
		}
		p.ack(ids[1])
		sent = append(sent, <-published)
		read[*packets.PublishPacket](p)
		if got := sent[1].Wait(t.Context()); got != modems.Acked {
			t.Errorf("receipt %v, want acknowledged", got)
		}
		p.gone(s)
		if got := sent[2].Wait(t.Context()); got != modems.Unknown {
			t.Errorf("receipt %v after the end, want unknown", got)
		}
	})
}

// What has not left yet is bounded in bytes too, whatever the QoS; the caller's patience counts there as well.
func TestUnsentIsBounded(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{Window: 1000})
		big := modems.Message{Topic: "t", Payload: make([]byte, 8<<10)}
		taken := 0
		for ; taken < 100; taken++ {
			synctest.Wait() // until it lies in the buffer
			if _, err := s.Publish(within(t, time.Second), big); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				break
			}
		}
		if taken < 8 || taken > 10 {
			t.Errorf("%d messages of 8 kB were taken, want 64 kB and a little", taken)
		}
		p.discard()
		if _, err := s.Publish(t.Context(), big); err != nil {
			t.Errorf("once there is room: %v", err)
		}
		p.gone(s)
	})
}

// lastWords is a connection whose last bytes come at once with its end.
type lastWords struct {
	net.Conn
	words bytes.Buffer
	in    io.Reader
}

func (c *lastWords) Read(p []byte) (int, error) { return c.in.Read(p) }

// An acknowledgement that came before the line broke counts: the receipt must not say unknown. Which of two goroutines
// is first decides whether a mistake shows, so it is tried often.
func TestAckBeforeTheEnd(t *testing.T) {
	for range 1000 {
		play(t, func(t *testing.T, p *peer) {
			line := &lastWords{Conn: p.host}
			line.in = io.MultiReader(p.host, &line.words)
			p.host = line
			s := p.open(modems.MQTTConfig{})
			r, err := s.Publish(t.Context(), modems.Message{Topic: "t", QoS: 1})
			if err != nil {
				t.Fatal(err)
			}
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = read[*packets.PublishPacket](p).MessageID
			if err := ack.Write(&line.words); err != nil {
				t.Fatal(err)
			}
			p.conn.Close()
			<-s.Done()
			if got := r.Wait(t.Context()); got != modems.Acked {
				t.Errorf("receipt %v, want acknowledged", got)
			}
			p.gone(s)
		})
	}
}

// The caller may use its buffer again as soon as Publish has returned.
func TestPayloadIsCopied(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{Window: 100})
		buffer := []byte{0}
		for i := range 100 {
			buffer[0] = byte(i)
			if _, err := s.Publish(t.Context(), modems.Message{Topic: "t", Payload: buffer, QoS: 1}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			if m := read[*packets.PublishPacket](p); m.Payload[0] != byte(i) {
				t.Fatalf("message %d arrived as %d", i, m.Payload[0])
			}
		}
		p.gone(s)
	})
}

func TestImpossibleMessages(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{})
		for _, topic := range []string{"", strings.Repeat("t", 65536), "a/+", "#", "a\x00b", "\xff", "a\nb", "\x1f", "\x7f", "\u009f", "\ufdd0", "\U0010ffff"} {
			if _, err := s.Publish(t.Context(), modems.Message{Topic: topic}); !errors.Is(err, modems.ErrMessage) {
				t.Errorf("topic %.10q: %v", topic, err)
			}
		}
		if err := s.Subscribe(t.Context(), "", 1); err == nil {
			t.Error("an empty filter was accepted")
		}
		if err := s.Subscribe(t.Context(), "a/#/b", 1); err == nil {
			t.Error("a/#/b was accepted")
		}
		go s.Close(t.Context())
		read[*packets.DisconnectPacket](p) // nothing else went out
	})
}

func TestSubscribe(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{})
		answer := func(code byte) {
			m := read[*packets.SubscribePacket](p)
			if m.Qoss[0] != 1 {
				t.Errorf("QoS %d asked for", m.Qoss[0])
			}
			reply := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			reply.MessageID, reply.ReturnCodes = m.MessageID, []byte{code}
			p.send(reply)
		}
		go answer(0)
		if err := s.Subscribe(t.Context(), "a/#", 2); err != nil {
			t.Errorf("a lower QoS is no error: %v", err)
		}
		go answer(0x80)
		if err := s.Subscribe(t.Context(), "b/#", 1); err == nil || err.Error() != `subscribe "b/#": the broker refused the filter; may this client read it?` {
			t.Error(err)
		}
		p.discard()
		if err := s.Subscribe(within(t, time.Second), "c/#", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no SUBACK: %v", err)
		}
		p.gone(s)
	})
}

// Packets that would make paho panic, or allocate without bound, end the session.
func TestHostilePackets(t *testing.T) {
	for raw, want := range map[string]string{
		"\x90\x04\x00\x01\x00\x00":     "the broker sent a malformed SUBACK",
		"\x90\x02\x00\x01":             "the broker sent a malformed SUBACK",
		"\x30\xff\xff\xff\x7f":         "the broker sent a packet of 268435455 bytes; more than 8388608 are not taken",
		"\x30\x80\x80\x80\x80\x01":     "the broker sent a malformed packet length",
		"\x30\x03\x00\x01t\x90\x01xyz": "the broker sent a malformed SUBACK",
	} {
		play(t, func(t *testing.T, p *peer) {
			s := p.open(modems.MQTTConfig{})
			go s.Subscribe(t.Context(), "t", 1)
			go func() {
				read[*packets.SubscribePacket](p)
				io.WriteString(p.conn, raw)
			}()
			<-s.Done()
			if s.Err().Error() != want {
				t.Errorf("%x: %v, want %s", raw, s.Err(), want)
			}
			p.gone(s)
		})
	}
}

// Messages come in order, and each is acknowledged when and only when Ack is called.
func TestReceive(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{})
		for id := range uint16(5) {
			p.publish(id, fmt.Sprint(id))
		}
		for i := range 5 {
			d, err := s.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m := d.Message(); string(m.Payload) != fmt.Sprint(i) || m.QoS != byte(min(i, 1)) || m.Topic != "t" {
				t.Errorf("message %d: %+v", i, m)
			}
			if i == 2 {
				continue // kept back
			}
			ack := make(chan error, 1)
			go func() { ack <- d.Ack() }()
			if i > 0 {
				if got := read[*packets.PubackPacket](p).MessageID; got != uint16(i) {
					t.Errorf("acknowledged %d, want %d", got, i)
				}
			}
			if err := <-ack; err != nil {
				t.Error(err)
			}
		}
		if _, err := s.Receive(within(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an empty queue: %v", err)
		}
		p.gone(s)
	})
}

// After the end: what the broker will send again is left to it, what it will not is still handed out.
func TestReceiveAfterTheEnd(t *testing.T) {
	for clean, want := range map[bool]string{false: "02", true: "0123"} {
		play(t, func(t *testing.T, p *peer) {
			s := p.open(modems.MQTTConfig{CleanSession: clean})
			p.publish(0, "0")
			p.publish(1, "1")
			p.publish(0, "2")
			p.publish(2, "3")
			p.conn.Close()
			<-s.Done()
			got := ""
			for {
				d, err := s.Receive(t.Context())
				if err != nil {
					break
				}
				got += string(d.Message().Payload)
				if err := d.Ack(); err != nil {
					t.Errorf("acknowledge %s: %v", d.Message().Payload, err)
				}
			}
			if got != want {
				t.Errorf("clean session %v: got %s, want %s", clean, got, want)
			}
			p.gone(s)
		})
	}
}

// More than anybody takes ends the session; nothing is acknowledged, so the broker keeps it.
func TestOverrun(t *testing.T) {
	for payload, most := range map[string]int{"x": maxQueued, strings.Repeat("x", 1<<20): maxQueuedBytes >> 20} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			play(t, func(t *testing.T, p *peer) {
				s := p.open(modems.MQTTConfig{})
				sent := make(chan int, 1)
				go func() {
					m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
					m.TopicName, m.Payload, m.Qos = "t", []byte(payload), 1
					for i := 1; ; i++ {
						m.MessageID = uint16(i)
						if m.Write(p.conn) != nil {
							sent <- i
							return
						}
					}
				}()
				<-s.Done()
				if !errors.Is(s.Err(), modems.ErrOverrun) {
					t.Errorf("ended with %v", s.Err())
				}
				if n := <-sent; n < most || n > most+10 { // paho holds a few more
					t.Errorf("ended after %d messages, want %d", n, most)
				}
				if m, err := packets.ReadPacket(p.conn); err == nil {
					t.Errorf("the client sent %v", m)
				}
				p.gone(s)
			})
		})
	}
}
