package modemsim

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// reach is the network behind the module: every connection passes it, and Sim.CutNetwork takes it away.
type reach struct {
	mu    sync.Mutex
	whole chan struct{} // closed while packets pass
	conns map[*pathConn]bool
}

func newReach() *reach {
	r := &reach{whole: make(chan struct{}), conns: map[*pathConn]bool{}}
	close(r.whole)
	return r
}

// cut makes every connection a black hole for good, as behind a NAT that has forgotten it. Neither side is told.
func (r *reach) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.dead.Store(true)
	}
}

// block says whether anything new can be reached.
func (r *reach) block(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on == r.blocked() {
		return
	}
	if on {
		r.whole = make(chan struct{})
		return
	}
	close(r.whole)
}

// blocked is called with mu held.
func (r *reach) blocked() bool {
	select {
	case <-r.whole:
		return false
	default:
		return true
	}
}

// wait is what a SYN does that nobody answers: it is repeated until the network is back or the dialler gives up.
func (r *reach) wait(ctx context.Context) error {
	r.mu.Lock()
	whole := r.whole
	r.mu.Unlock()
	select {
	case <-whole:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over puts a connection on the network.
func (r *reach) over(conn net.Conn) *pathConn {
	c := &pathConn{Conn: conn, reach: r, closed: make(chan struct{}), late: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c] = true
	c.dead.Store(r.blocked())
	return c
}

// pathConn is a connection over a network that may be cut.
type pathConn struct {
	net.Conn
	reach  *reach
	dead   atomic.Bool
	closed chan struct{}
	late   chan struct{} // a write may wait no longer
	once   sync.Once
	hurry  sync.Once
}

// Read swallows what comes over a dead connection, its end included.
func (c *pathConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		switch {
		case !c.dead.Load():
			return n, err
		case err != nil:
			<-c.closed
			return 0, net.ErrClosed
		}
	}
}

// Write waits on a dead connection for an acknowledgement that does not come.
func (c *pathConn) Write(p []byte) (int, error) {
	if !c.dead.Load() {
		return c.Conn.Write(p)
	}
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case <-c.late:
		return 0, os.ErrDeadlineExceeded
	}
}

// SetWriteDeadline is called when the connection is about to be closed, and TLS calls it once more.
func (c *pathConn) SetWriteDeadline(t time.Time) error {
	time.AfterFunc(time.Until(t), func() { c.hurry.Do(func() { close(c.late) }) })
	return c.Conn.SetWriteDeadline(t)
}

func (c *pathConn) Close() (err error) {
	c.once.Do(func() {
		close(c.closed)
		c.reach.mu.Lock()
		delete(c.reach.conns, c)
		c.reach.mu.Unlock()
		err = c.Conn.Close()
	})
	return err
}
