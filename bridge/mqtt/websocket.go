package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// wrapWebSocket asks for MQTT over WebSocket on conn (MQTT 3.1.1, chapter 6). It closes conn if that fails.
func wrapWebSocket(ctx context.Context, conn net.Conn, address, path string) (net.Conn, error) {
	dialer := websocket.Dialer{
		NetDialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Subprotocols:   []string{"mqtt"},
	}
	ws, response, err := dialer.DialContext(ctx, "ws://"+address+path, nil) // TLS, if any, is underneath
	if err != nil {
		conn.Close()
		if response != nil {
			return nil, fmt.Errorf("no WebSocket at %s%s: the server says %s", address, path, response.Status)
		}
		return nil, fmt.Errorf("no WebSocket at %s%s: %w", address, path, err)
	}
	return OverWebSocket(ws), nil
}

// OverWebSocket is the stream of MQTT packets that ws carries, of either side.
func OverWebSocket(ws *websocket.Conn) net.Conn { return &webConn{Conn: ws} }

// webConn is a stream of bytes in binary frames; packets and frames have nothing to do with each other.
type webConn struct {
	*websocket.Conn
	frame io.Reader // what is left of the frame that is being read
}

func (c *webConn) Read(p []byte) (int, error) {
	for {
		if c.frame == nil {
			kind, frame, err := c.NextReader()
			var closed *websocket.CloseError
			switch {
			case errors.As(err, &closed):
				return 0, io.EOF
			case err != nil:
				return 0, err
			case kind != websocket.BinaryMessage: // [MQTT-6.0.0-1]
				return 0, errors.New("text came where MQTT belongs")
			}
			c.frame = frame
		}
		n, err := c.frame.Read(p)
		if errors.Is(err, io.EOF) {
			c.frame, err = nil, nil
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

func (c *webConn) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *webConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
