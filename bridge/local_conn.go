package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// guardedListener does for each connection what mochi-mqtt does not.
type guardedListener struct {
	net.Listener
	log   *slog.Logger
	stall time.Duration

	mu     sync.Mutex
	conns  map[*guardedConn]bool
	closed bool
}

const (
	connectWithin = 10 * time.Second       // from the connection to its CONNECT
	acceptAgain   = 100 * time.Millisecond // after an error of accept, such as too many open files
)

// Accept ends with an error only when the listener is closed: the library stops listening after the first.
func (g *guardedListener) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			g.log.Warn("local: a client could not connect", "error", err)
			<-time.After(acceptAgain)
			continue
		}
		guarded := &guardedConn{Conn: c, listener: g}
		g.mu.Lock()
		closed := g.closed
		g.conns[guarded] = true
		g.mu.Unlock()
		if closed || c.SetReadDeadline(time.Now().Add(connectWithin)) != nil {
			guarded.Close()
			continue
		}
		return guarded, nil
	}
}

func (g *guardedListener) closeAll() {
	g.mu.Lock()
	g.closed = true
	open := make([]*guardedConn, 0, len(g.conns))
	for c := range g.conns {
		open = append(open, c)
	}
	g.mu.Unlock()
	g.Listener.Close() // the library closes it again and ignores the error
	for _, c := range open {
		c.Close()
	}
}

// guardedConn bounds every write. The library writes under the client's lock and without a deadline, and takes the
// same lock to number a message for that client: one subscriber that stops reading would stop all who publish to it.
type guardedConn struct {
	net.Conn
	listener *guardedListener
}

// Write closes the connection if it fails: part of a packet may be out, and the library would go on behind it.
func (c *guardedConn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.listener.stall)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			err = errors.Join(err, tcp.SetLinger(0)) // else the kernel keeps megabytes for a client that does not read
		}
		c.Close()
	}
	return n, err
}

// SetDeadline is how the library watches the keep alive; it means reading only [MQTT-3.1.2-24]. Taken literally it
// would replace the deadline of a Write that is under way.
func (c *guardedConn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

func (c *guardedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// quietLog puts mochi-mqtt's log where it belongs. To it every client that leaves is worth a warning, and some of its
// lines hold the packet that they are about: a payload, perhaps a password.
type quietLog struct{ to slog.Handler }

func quieter(level slog.Level) slog.Level {
	if level >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (q quietLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level > slog.LevelDebug && q.to.Enabled(ctx, quieter(level))
}

func (q quietLog) Handle(ctx context.Context, r slog.Record) error {
	message := "local: " + r.Message
	if r.Message == "" {
		message = "local: a client has left"
	}
	out := slog.NewRecord(r.Time, quieter(r.Level), message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "pk", "packet", "will": // whole packets
		default:
			out.AddAttrs(a)
		}
		return true
	})
	return q.to.Handle(ctx, out)
}

func (q quietLog) WithAttrs(attrs []slog.Attr) slog.Handler { return quietLog{q.to.WithAttrs(attrs)} }
func (q quietLog) WithGroup(name string) slog.Handler       { return quietLog{q.to.WithGroup(name)} }
