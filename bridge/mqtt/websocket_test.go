package mqtt

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// startWeb is mochi behind ws, or wss.
func startWeb(t *testing.T, secure *tls.Config) broker {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	addr := modemtest.FreeAddr(t) // its listener does not tell the port that it was given
	listener := listeners.NewWebsocket(listeners.Config{ID: "t", Address: addr, TLSConfig: secure})
	for _, err := range []error{server.AddHook(new(auth.AllowHook), nil), server.AddListener(listener), server.Serve()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tick := time.NewTicker(time.Millisecond) // it listens a moment after Serve has returned
	defer tick.Stop()
	for ctx := within(t, 10*time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return broker{addr: addr}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func webConfig(b broker, path string) modems.MQTTConfig {
	host, number, _ := net.SplitHostPort(b.addr)
	port, _ := strconv.Atoi(number)
	return modems.MQTTConfig{Host: host, Port: port, WebSocket: path, ClientID: "web", CleanSession: true, KeepAlive: time.Minute}
}

// Over WebSocket, plain and with TLS, messages of every byte value come and go; long ones span frames.
func TestWebSocket(t *testing.T) {
	a := newAuthority(t)
	for name, secure := range map[string]*tls.Config{"ws": nil, "wss": a.server()} {
		t.Run(name, func(t *testing.T) {
			if secure != nil {
				secure.ClientAuth = tls.NoClientCert
			}
			b := startWeb(t, secure)
			cfg := webConfig(b, "/mqtt")
			if secure != nil {
				cfg.TLS = &modems.TLSConfig{CAFile: a.file("ca.pem"), ServerName: "broker.example"}
			}
			ctx := within(t, 20*time.Second)
			s, err := Dial(ctx, b.dial, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Subscribe(ctx, "#", 1); err != nil {
				t.Fatal(err)
			}
			for i, payload := range [][]byte{allBytes(0), make([]byte, 100_000), allBytes(2)} {
				r, err := s.Publish(ctx, modems.Message{Topic: "t", Payload: payload, QoS: 1})
				if err != nil || r.Wait(ctx) != modems.Acked {
					t.Fatal(i, err)
				}
				d, err := s.Receive(ctx)
				if err != nil {
					t.Fatal(i, err)
				}
				if got := d.Message().Payload; string(got) != string(payload) {
					t.Errorf("message %d: %d bytes came", i, len(got))
				}
				if err := d.Ack(); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// A server that is no broker is told from one that does not answer.
func TestNoWebSocket(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	b := broker{addr: strings.TrimPrefix(server.URL, "http://")}
	_, err := Dial(within(t, 10*time.Second), b.dial, webConfig(b, "/mqtt"))
	if err == nil || !strings.Contains(err.Error(), "/mqtt: the server says 404 Not Found") {
		t.Error(err)
	}
}
