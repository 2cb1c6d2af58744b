package mqtt

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

func TestConnect(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		go func() {
			c := read[*packets.ConnectPacket](p)
			if c.ProtocolName != "MQTT" || c.ProtocolVersion != 4 || c.ClientIdentifier != "site7" || c.Username != "u" ||
				string(c.Password) != "p" || c.Keepalive != 120 || c.CleanSession ||
				!c.WillFlag || c.WillTopic != "w" || string(c.WillMessage) != "\x00gone" || c.WillQos != 1 || !c.WillRetain {
				t.Errorf("CONNECT: %v", c)
			}
			p.send(packets.NewControlPacket(packets.Connack))
		}()
		s, err := Dial(t.Context(), p.dial, modems.MQTTConfig{Host: "b", ClientID: "site7", Username: "u", Password: "p", KeepAlive: 2 * time.Minute,
			Will: &modems.Message{Topic: "w", Payload: []byte("\x00gone"), QoS: 1, Retain: true}})
		if err != nil {
			t.Fatal(err)
		}
		if want := (modems.Limits{Topic: 65535, Payload: maxPayload, Window: 16}); s.Limits() != want {
			t.Errorf("limits %v, want %v", s.Limits(), want)
		}
		if s.Err() != nil {
			t.Errorf("Err of a live session: %v", s.Err())
		}
		p.gone(s)
		p.gone(s) // twice
		<-s.Done()
		if s.Err() != errClosed {
			t.Errorf("Err %v, want %v", s.Err(), errClosed)
		}
	})
}

// A refusal is the broker's word and ends in one attempt, also with a code that paho takes for success.
func TestRefused(t *testing.T) {
	for _, code := range []byte{1, 2, 3, 4, 5, 6, 0x80, 0xff} {
		play(t, func(t *testing.T, p *peer) {
			go func() {
				read[*packets.ConnectPacket](p)
				io.Copy(p.conn, strings.NewReader("\x20\x02\x00"+string([]byte{code})))
				p.discard()
			}()
			_, err := Dial(t.Context(), p.dial, modems.MQTTConfig{})
			var refused modems.ConnackError
			if !errors.As(err, &refused) || byte(refused) != code {
				t.Errorf("code %d: %v", code, err)
			}
		})
	}
}

func TestConnectFails(t *testing.T) {
	tests := []struct {
		name, answer, want string
	}{
		{"closed", "", "connect: the broker closed the connection: EOF"},
		{"closed within CONNACK", "\x20\x02", "connect: the broker closed the connection: EOF"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", "connect: what answers is not an MQTT broker: its first packet is no CONNACK; check host, port and TLS"},
		{"no CONNACK", "\xd0\x00", "connect: what answers is not an MQTT broker: its first packet is no CONNACK; check host, port and TLS"},
		{"length of five bytes", "\x20\xff\xff\xff\xff\x01", "connect: the broker sent a malformed packet length"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(t *testing.T, p *peer) {
				go func() {
					read[*packets.ConnectPacket](p)
					io.WriteString(p.conn, tt.answer)
					p.conn.Close()
				}()
				if _, err := Dial(t.Context(), p.dial, modems.MQTTConfig{}); err == nil || err.Error() != tt.want {
					t.Errorf("got  %v\nwant %v", err, tt.want)
				}
			})
		})
	}
}

func TestConnectIsBounded(t *testing.T) {
	play(t, func(t *testing.T, p *peer) { // the broker reads and keeps silent
		p.discard()
		start := time.Now()
		_, err := Dial(t.Context(), p.dial, modems.MQTTConfig{})
		took := time.Since(start) // paho ends its goroutines at once, or when closeTimeout has passed as well
		if !errors.Is(err, context.DeadlineExceeded) || took < connackTimeout || took > connackTimeout+closeTimeout {
			t.Errorf("after %v: %v", took, err)
		}
	})
	play(t, func(t *testing.T, p *peer) { // the line takes nothing, and the caller loses patience
		_, err := Dial(within(t, time.Second), p.dial, modems.MQTTConfig{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	down := errors.New("no bearer")
	_, err := Dial(t.Context(), func(context.Context) (net.Conn, error) { return nil, down }, modems.MQTTConfig{})
	if !errors.Is(err, down) || err.Error() != "connect: no bearer" {
		t.Error(err)
	}
}

func TestImpossibleConfig(t *testing.T) {
	for _, cfg := range []modems.MQTTConfig{
		{ClientID: strings.Repeat("x", 65536)}, {KeepAlive: 65536 * time.Second}, {KeepAlive: time.Millisecond}, {Password: "p"},
	} {
		if _, err := Dial(t.Context(), nil, cfg); err == nil {
			t.Errorf("accepted: %+v", cfg)
		}
	}
}

// Close sends what was published before it, then DISCONNECT, then closes the connection.
func TestCloseInOrder(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{CleanSession: true})
		r, err := s.Publish(t.Context(), modems.Message{Topic: "t", QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		go s.Close(t.Context())
		read[*packets.PublishPacket](p)
		read[*packets.DisconnectPacket](p)
		if _, err := packets.ReadPacket(p.conn); err != io.EOF {
			t.Errorf("after DISCONNECT: %v", err)
		}
		if got := r.Wait(t.Context()); got != modems.Unknown {
			t.Errorf("receipt %v, want unknown", got)
		}
	})
}

// A line that takes nothing does not hold Close longer than its caller is willing to wait.
func TestCloseIsBounded(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{})
		start := time.Now()
		if err := s.Close(within(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// The write deadline is the link's own: a line that takes nothing ends the session, keepalive or not.
func TestStalledLine(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{})
		start := time.Now()
		r, err := s.Publish(t.Context(), modems.Message{Topic: "t", QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Wait(t.Context()); got != modems.Unknown {
			t.Errorf("receipt %v, want unknown", got)
		}
		<-s.Done()
		if took := time.Since(start); !errors.Is(s.Err(), os.ErrDeadlineExceeded) || took != stallTimeout {
			t.Errorf("after %v: %v", took, s.Err())
		}
		p.gone(s)
	})
}

// A payload that takes minutes on a slow line is no stall, and pings do not break into it.
func TestSlowLineIsNoStall(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{KeepAlive: 10 * time.Minute})
		payload := strings.Repeat("0123456789", 50000)
		r, err := s.Publish(t.Context(), modems.Message{Topic: "t", Payload: []byte(payload), QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		slow := &peer{t: t, conn: slowReader{p.conn}}
		m := read[*packets.PublishPacket](slow)
		if took := time.Since(start); took < 3*stallTimeout {
			t.Fatalf("the line was not slow: %v", took)
		}
		if string(m.Payload) != payload {
			t.Error("the payload was changed")
		}
		p.ack(m.MessageID)
		if got := r.Wait(t.Context()); got != modems.Acked {
			t.Errorf("receipt %v, want acknowledged", got)
		}
		p.gone(s)
	})
}

// slowReader takes 480 bytes a second: 4800 baud.
type slowReader struct{ net.Conn }

func (r slowReader) Read(p []byte) (int, error) {
	p = p[:min(len(p), 480)]
	time.Sleep(time.Second) // of synctest's clock
	return r.Conn.Read(p)
}

// A broker that no longer answers is noticed by keepalive, within its period, the ping's timeout and paho's tick.
func TestBlackHole(t *testing.T) {
	play(t, func(t *testing.T, p *peer) {
		s := p.open(modems.MQTTConfig{KeepAlive: 2 * time.Minute})
		p.discard()
		start := time.Now()
		<-s.Done()
		if took := time.Since(start); s.Err() != errPing || took < 2*time.Minute || took > 2*time.Minute+pingTimeout+5*time.Second {
			t.Errorf("after %v: %v", took, s.Err())
		}
		p.gone(s)
	})
}

// brokenConn is a conn whose Read gives err when the peer has gone.
type brokenConn struct {
	net.Conn
	err error
}

func (c brokenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		err = c.err
	}
	return n, err
}

// Whatever error a dead line gives, the session ends at once; net.ErrClosed is the one that paho would keep silent about.
func TestDeadLine(t *testing.T) {
	for cause, want := range map[error]string{
		io.EOF:                        "the broker closed the connection: EOF",
		net.ErrClosed:                 errLost.Error(),
		errors.New("modem unplugged"): "modem unplugged",
	} {
		play(t, func(t *testing.T, p *peer) {
			p.host = brokenConn{p.host, cause}
			s := p.open(modems.MQTTConfig{})
			p.discard()
			r, err := s.Publish(t.Context(), modems.Message{Topic: "t", QoS: 1})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			start := time.Now()
			p.conn.Close()
			<-s.Done()
			if s.Err().Error() != want || time.Since(start) > 0 {
				t.Errorf("after %v: %v, want %v", time.Since(start), s.Err(), want)
			}
			if got := r.Wait(t.Context()); got != modems.Unknown {
				t.Errorf("receipt %v, want unknown", got)
			}
			for what, err := range map[string]error{
				"publish":   second(s.Publish(t.Context(), modems.Message{Topic: "t"})),
				"receive":   second(s.Receive(t.Context())),
				"subscribe": s.Subscribe(t.Context(), "t", 1),
			} {
				if err == nil || !strings.HasPrefix(err.Error(), what) || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("%s after the end: %v", what, err)
				}
			}
			p.gone(s)
		})
	}
}

func second[T any](_ T, err error) error { return err }

// A broker that closes while some of a message is unread resets the connection. That is its doing, like any close.
func TestReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		p := &peer{t: t, conn: conn}
		p.accept()
		if _, err := conn.Read(make([]byte, 5)); err != nil { // of the PUBLISH
			t.Error(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}()
	s := broker{addr: l.Addr().String()}.open(t, modems.MQTTConfig{ClientID: "c"})
	if _, err := s.Publish(within(t, 10*time.Second), modems.Message{Topic: "t", Payload: make([]byte, 1<<20), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the session does not notice")
	}
	if !errors.Is(s.Err(), modems.ErrByBroker) {
		t.Error(s.Err())
	}
}
