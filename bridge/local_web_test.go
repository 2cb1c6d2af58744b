package bridge

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/gorilla/websocket"

	"github.com/atbridge/atbridge/modems"
)

func startWeb(t *testing.T, cfg LocalConfig, accept Accept) (l *Local, addr string) {
	t.Helper()
	cfg.WebSocket = "127.0.0.1:0"
	l, err := StartLocal(cfg, accept)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l, l.listeners[len(l.listeners)-1].Address()
}

// TestLocalWeb: a real client over WebSocket beside one over TCP, both ways, large and small.
func TestLocalWeb(t *testing.T) {
	_, web := startWeb(t, LocalConfig{Listen: "127.0.0.1:0"}, func(modems.Message, func(error)) bool { return false })
	_, alone := startWeb(t, LocalConfig{}, func(_ modems.Message, done func(error)) bool { done(nil); return true })
	for _, addr := range []string{web, alone} {
		for _, path := range []string{"", "/", "/mqtt"} {
			got := make(chan paho.Message, 10)
			c := paho.NewClient(paho.NewClientOptions().AddBroker("ws://" + addr + path).SetProtocolVersion(4).SetAutoReconnect(false))
			if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
				t.Fatal(path, token.Error())
			}
			if token := c.Subscribe("a/#", 1, func(_ paho.Client, m paho.Message) { got <- m }); !token.WaitTimeout(patience) || token.Error() != nil {
				t.Fatal(token.Error())
			}
			for _, size := range []int{0, 1, 1 << 10, 3 << 20} {
				payload := strings.Repeat("x", size)
				if token := c.Publish("a/"+strconv.Itoa(size), 1, false, payload); !token.WaitTimeout(patience) || token.Error() != nil {
					t.Fatal(size, token.Error())
				}
				if m := receive(t, got, "the message"); string(m.Payload()) != payload || m.Topic() != "a/"+strconv.Itoa(size) {
					t.Errorf("%s with %d bytes for %d", m.Topic(), len(m.Payload()), size)
				}
			}
			c.Disconnect(0)
		}
	}
}

// webDial does the handshake, as the page of origin would.
func webDial(t *testing.T, addr, origin string) (*websocket.Conn, error) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(4096)
		}
		return c, err
	}}
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	c, _, err := dialer.Dial("ws://"+addr+"/", header)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// TestLocalWebOrigins: without a password a page from elsewhere must not publish through the browser of this machine.
func TestLocalWebOrigins(t *testing.T) {
	_, free := startWeb(t, LocalConfig{}, nil)
	_, guarded := startWeb(t, LocalConfig{Username: "u", Password: "p"}, nil)
	for origin, ok := range map[string]bool{
		"": true, "http://localhost": true, "http://localhost:3000": true, "http://127.0.0.1:8390": true, "http://[::1]:80": true,
		"http://evil.example": false, "http://localhost.evil.example": false, "http://192.0.2.1": false, "null": false, "file://": false,
	} {
		if _, err := webDial(t, free, origin); (err == nil) != ok {
			t.Errorf("%q without a password: %v", origin, err)
		}
		if _, err := webDial(t, guarded, origin); err != nil {
			t.Errorf("%q with a password: %v", origin, err)
		}
	}
	for _, password := range []string{"p", "q"} {
		c := paho.NewClient(paho.NewClientOptions().AddBroker("ws://" + guarded).SetProtocolVersion(4).SetUsername("u").SetPassword(password))
		token := c.Connect()
		if !token.WaitTimeout(patience) || (token.Error() == nil) != (password == "p") {
			t.Errorf("password %q: %v", password, token.Error())
		}
		c.Disconnect(0)
	}
	if _, err := StartLocal(LocalConfig{WebSocket: "0.0.0.0:0"}, nil); err == nil || !strings.Contains(err.Error(), "local.websocket") || !strings.Contains(err.Error(), "local.password") {
		t.Error(err)
	}
}

// TestLocalWebStalled: one that does not read is disconnected, and so is one that never says CONNECT, with Close.
func TestLocalWebStalled(t *testing.T) {
	l, web := startWeb(t, LocalConfig{Listen: "127.0.0.1:0", Stall: 100 * time.Millisecond}, func(modems.Message, func(error)) bool { return false })
	ws, err := webDial(t, web, "")
	must(t, err)
	connect := []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01s") // clean, no keep alive
	subscribe := []byte("\x82\x06\x00\x01\x00\x01#\x00")               // QoS 0
	must(t, ws.WriteMessage(websocket.BinaryMessage, connect))
	must(t, ws.WriteMessage(websocket.BinaryMessage, subscribe))
	until(t, "the subscription", patience, func() bool { return len(l.server.Topics.Subscribers("a").Subscriptions) > 0 })
	payload := []byte(strings.Repeat("x", 200_000))
	for range 60 { // more than the kernel buffers
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: payload}))
	}
	until(t, "the stalled client to be disconnected", patience, func() bool { return l.Status().Clients == 0 })

	silent, err := webDial(t, web, "")
	must(t, err)
	must(t, l.Close())
	must(t, silent.SetReadDeadline(time.Now().Add(patience)))
	if _, _, err := silent.ReadMessage(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent client is still connected: %v", err)
	}
}
