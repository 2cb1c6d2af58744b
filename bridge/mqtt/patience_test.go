package mqtt

import (
	"errors"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

// A server that takes the connection and says nothing does not hold Dial, whatever it waits for.
func TestSilentServer(t *testing.T) {
	for name, cfg := range map[string]modems.MQTTConfig{
		"TLS":       {Host: "b", TLS: &modems.TLSConfig{}},
		"WebSocket": {Host: "b", WebSocket: "/mqtt"},
		"CONNECT":   {Host: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, p *peer) {
				go p.discard()
				began := time.Now()
				_, err := Dial(t.Context(), p.dial, cfg)
				if took := time.Since(began); err == nil || took > 2*connackTimeout {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// A broker that answers pings and acknowledges nothing does not hold what waits behind a publish for ever.
func TestUnacknowledged(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{KeepAlive: 35 * time.Second}) // a ping on its way at the very moment would be a busy line
		go func() {
			for {
				packet, err := packets.ReadPacket(p.conn)
				if err != nil {
					return
				}
				if _, ok := packet.(*packets.PingreqPacket); ok && packets.NewControlPacket(packets.Pingresp).Write(p.conn) != nil {
					return // the client has gone meanwhile
				}
			}
		}()
		r, err := s.Publish(t.Context(), modems.Message{Topic: "t", QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if outcome := r.Wait(t.Context()); outcome != modems.Unknown || time.Since(began) > 2*ackTimeout || !errors.Is(s.Err(), modems.ErrNoResult) {
			t.Errorf("%s after %v: %v", outcome, time.Since(began), s.Err())
		}
		p.gone(s)
	})
}

// What a clean session has left is handed out and needs no acknowledgement that nobody waits for.
func TestAckAfterCleanSession(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{CleanSession: true})
		for id := range uint16(3) {
			m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			m.Qos, m.TopicName, m.MessageID = 1, "t", id+1
			p.send(m)
		}
		p.conn.Close()
		<-s.Done()
		for range 3 {
			d, err := s.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		}
		p.gone(s)
	})
}
