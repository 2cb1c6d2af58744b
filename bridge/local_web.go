package bridge

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/atbridge/atbridge/bridge/mqtt"
)

// webListener takes MQTT over WebSocket (MQTT 3.1.1, chapter 6), under any path. What guards a TCP connection guards
// the one underneath.
type webListener struct {
	*guardedListener
	open bool // pages from anywhere may connect: there is a password
}

func (w *webListener) ID() string       { return "websocket" }
func (w *webListener) Protocol() string { return "ws" }

func (w *webListener) Serve(establish listeners.EstablishFn) {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: connectWithin,
		Subprotocols:     []string{"mqtt", "mqttv3.1"},
		CheckOrigin:      func(r *http.Request) bool { return w.open || fromHere(r.Header.Get("Origin")) },
	}
	server := http.Server{
		ReadHeaderTimeout: connectWithin,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
			ws, err := upgrader.Upgrade(answer, r, nil)
			if err == nil {
				err = ws.SetReadDeadline(time.Now().Add(connectWithin)) // the handshake has lifted it
			}
			if err == nil {
				err = establish(w.ID(), guardedWeb{mqtt.OverWebSocket(ws)})
			}
			if err != nil {
				w.log.Debug("local: a client has left", "remote", r.RemoteAddr, "why", err)
			}
		}),
	}
	if err := server.Serve(webAccept{w.guardedListener}); !errors.Is(err, net.ErrClosed) {
		w.log.Error("local: no more clients can connect by WebSocket", "why", err)
	}
}

// fromHere: the page that connects comes from this machine, or what connects is no page. Without a password any page
// that is opened here could otherwise publish.
func fromHere(origin string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// guardedWeb: a deadline is one for reading, as at guardedConn.
type guardedWeb struct{ net.Conn }

func (g guardedWeb) SetDeadline(t time.Time) error { return g.Conn.SetReadDeadline(t) }

// webAccept is a guardedListener as an HTTP server wants it.
type webAccept struct{ g *guardedListener }

func (a webAccept) Addr() net.Addr { return a.g.tcp.Addr() }
func (a webAccept) Close() error   { return nil } // the broker closes the listener

func (a webAccept) Accept() (net.Conn, error) {
	c := a.g.accept()
	if c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}
