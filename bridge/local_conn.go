package bridge

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// guardedListener takes the place of mochi-mqtt's own listener, and does for each connection what that does not.
type guardedListener struct {
	tcp   net.Listener
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

func (g *guardedListener) Init(*slog.Logger) error { return nil }
func (g *guardedListener) ID() string              { return "local" }
func (g *guardedListener) Protocol() string        { return "tcp" }
func (g *guardedListener) Address() string         { return g.tcp.Addr().String() }

func (g *guardedListener) Serve(establish listeners.EstablishFn) {
	for c := g.accept(); c != nil; c = g.accept() {
		go func() {
			if err := establish(g.ID(), c); err != nil {
				g.log.Debug("local: a client has left", "remote", c.RemoteAddr().String(), "why", err)
			}
		}()
	}
}

// accept returns the next connection, which must send its CONNECT soon; nil: the listener is closed.
func (g *guardedListener) accept() *guardedConn {
	for {
		c, err := g.tcp.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil: // the library's listener would listen no more
			g.log.Warn("local: a client could not connect", "why", err)
			<-time.After(acceptAgain)
			continue
		}
		guarded := &guardedConn{Conn: c, listener: g}
		if g.add(guarded) && c.SetReadDeadline(time.Now().Add(connectWithin)) == nil {
			return guarded
		}
		guarded.Close()
	}
}

func (g *guardedListener) add(c *guardedConn) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = true
	return !g.closed
}

// Close closes all connections itself, those too that have not sent their CONNECT. The function that it is given
// deadlocks when a client leaves meanwhile: Clients.GetByListener of v2.7.9 takes a read lock twice.
func (g *guardedListener) Close(listeners.CloseFn) {
	g.mu.Lock()
	g.closed = true
	open := slices.Collect(maps.Keys(g.conns))
	g.mu.Unlock()
	g.tcp.Close() // nothing is lost by an error here, nor below
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

// quietLog puts mochi-mqtt's log where it belongs. To it a client's mistake is worth a warning, and some of its lines
// hold the packet that they are about: a payload, perhaps a password.
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
	out := slog.NewRecord(r.Time, quieter(r.Level), "local: "+r.Message, r.PC)
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
