package modems

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	unsentRoom = 8 << 10 // bytes that Write takes before it waits

	// unreadRoom bounds what has come and was not read. The module pushes at the line's pace, and cannot be held back.
	unreadRoom = 4 << 20

	sendPatience = 30 * time.Second       // how long the module's own buffer may stay full
	linger       = 10 * time.Second       // how long Close lets what was written leave
	reasons      = 500 * time.Millisecond // how long after a refused send its reason may come
	lastWords    = 2 * time.Second        // how long after a refused send the module may still tell what has come
)

// socket is what a family does its own way with one of its connections.
type socket interface {
	// limit is how many bytes one send takes.
	limit() int
	// send returns once the module has taken p, or errFull if it has taken nothing of it and can later.
	send(ctx context.Context, p []byte, secrets []string) error
	// pull takes what waits in the module, where data does not come by itself; nothing: there is none.
	pull(ctx context.Context) ([]byte, error)
	// close ends the connection and frees its place in the module. lost: there is nobody left to wait for.
	close(ctx context.Context, lost bool) error
}

var (
	errFull = errors.New("the module's send buffer is full")
	// errPeer is what a write is told after the other side has closed. It is no net.ErrClosed, which means that our own
	// side has.
	errPeer = fmt.Errorf("the other side has closed the connection: %w", syscall.EPIPE)
)

// conn is a net.Conn over a socket of a modem. What is written while a send is in progress leaves together in the next
// one; its errors show in later calls.
type conn struct {
	m      *Modem
	socket socket
	free   func() // ends what a connected socket holds on this side
	local  net.Addr
	remote net.Addr

	writing sync.Mutex // one Write at a time, as a whole

	mu       sync.Mutex
	changed  sync.Cond // any of what follows
	hidden   string    // see Hide
	unread   []byte
	unsent   []byte
	ended    error // why no more will come: io.EOF, or what failed
	failed   error // why no more can leave
	closed   bool
	hurry    bool // closed, and out of patience
	waiting  bool // data waits in the module to be pulled
	parted   bool // the other side has closed, and what it sent may still wait in the module
	readBy   deadline
	writeBy  deadline
	finished chan struct{}
	errClose error
}

// newConn makes a connection that can already receive; begin lets it send.
func newConn(m *Modem, host string, port int) *conn {
	c := &conn{m: m, remote: address{host, port}, local: &net.TCPAddr{IP: net.ParseIP(m.Network().Address)}, finished: make(chan struct{})}
	c.changed.L = &c.mu
	return c
}

// begin lets it send. pulled: what comes is announced, and waits in the module.
func (c *conn) begin(s socket, pulled bool, free func()) {
	c.socket, c.free = s, free
	c.m.holds(c, true)
	go c.run()
	if pulled {
		go c.fetch()
	}
	go func() {
		select {
		case <-c.m.Done():
			c.fail(c.m.Err())
		case <-c.finished:
		}
	}()
}

// arrived takes bytes from the other side. It never blocks.
func (c *conn) arrived(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ended != nil {
		return
	}
	if len(c.unread)+len(p) > unreadRoom {
		c.end(fmt.Errorf("%d bytes have come and nobody reads them", len(c.unread)), true)
		return
	}
	c.unread, c.hidden = append(c.unread, p...), ""
	c.changed.Broadcast()
}

// eof: the other side has closed. What it sent before can still be read.
func (c *conn) eof() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(io.EOF, false)
	if c.failed == nil {
		c.failed = errPeer
	}
}

// fail ends the connection for a reason that both directions are told.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err, true)
}

// stop: nothing can leave any more. The module refuses a send when the other side has closed, and may be about to tell
// what had come before.
func (c *conn) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
		c.changed.Broadcast()
	}
}

// end is called with mu held.
func (c *conn) end(err error, both bool) {
	if c.ended == nil {
		c.ended = err
	}
	if both && c.failed == nil {
		c.failed = err
	}
	c.changed.Broadcast()
}

// Read returns what has come, then io.EOF after the other side has closed, or what has ended the connection.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(c.unread) > 0:
			n := copy(p, c.unread)
			if c.unread = c.unread[n:]; len(c.unread) == 0 {
				c.unread = nil
			}
			return n, nil
		case c.ended != nil:
			return 0, c.ended
		}
		c.changed.Wait()
	}
}

// Write returns once all of p has room in the buffer; what becomes of it shows in later calls.
func (c *conn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return n, net.ErrClosed
		case c.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		case c.failed != nil:
			return n, c.failed
		case n == len(p):
			return n, nil
		case len(c.unsent) < unsentRoom:
			part := p[n:min(len(p), n+unsentRoom-len(c.unsent))]
			c.unsent = append(c.unsent, part...)
			n += len(part)
			c.changed.Broadcast()
			continue
		}
		c.changed.Wait()
	}
}

// Close lets what was written leave, for a while, and frees the module's socket. Read and Write end at once.
func (c *conn) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed, c.unread = true, nil
	c.changed.Broadcast()
	c.mu.Unlock()
	if first {
		patience := time.AfterFunc(linger, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.hurry = true
			c.changed.Broadcast()
		})
		defer patience.Stop()
	}
	<-c.finished
	if !first {
		return net.ErrClosed
	}
	return c.errClose
}

// run is the only one that uses the socket: it sends, and in the end closes it.
func (c *conn) run() {
	defer close(c.finished)
	defer c.m.holds(c, false)
	defer c.free()
	for {
		p := c.next()
		if p == nil {
			break
		}
		if err := c.send(p); err != nil {
			if atcmd.Refused(err) { // the URC that says why may be right behind
				c.sleep(reasons)
			}
			c.stop(err)
			defer time.AfterFunc(lastWords, func() { c.fail(err) }).Stop()
		}
	}
	c.mu.Lock()
	lost := c.failed != nil
	c.mu.Unlock()
	if c.m.Err() == nil {
		if err := c.socket.close(context.Background(), lost); err != nil && !lost {
			c.errClose = err
		}
	}
}

// next waits for what has to leave, and takes as much of it as one send holds; nil: close.
func (c *conn) next() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed && (c.hurry || c.failed != nil || len(c.unsent) == 0):
			return nil
		case c.failed == nil && len(c.unsent) > 0:
			n := min(len(c.unsent), c.socket.limit())
			p := c.unsent[:n:n]
			if c.unsent = c.unsent[n:]; len(c.unsent) == 0 {
				c.unsent = nil
			}
			c.changed.Broadcast()
			return p
		}
		c.changed.Wait()
	}
}

// send sends p, again and again while the module is full: it empties its buffer at the network's pace.
func (c *conn) send(p []byte) error {
	wait := 100 * time.Millisecond
	for waited := time.Duration(0); ; waited += wait {
		err := c.socket.send(context.Background(), p, c.secretsIn(p))
		if !errors.Is(err, errFull) {
			return err
		}
		if waited >= sendPatience {
			return fmt.Errorf("%w, and stays so: the network takes nothing", errFull)
		}
		wait = min(2*wait, 2*time.Second)
		if !c.sleep(wait) {
			return err
		}
	}
}

// sleep waits; false: something has ended the connection meanwhile.
func (c *conn) sleep(d time.Duration) bool {
	over := false
	t := time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		over = true
		c.changed.Broadcast()
	})
	defer t.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !over && c.failed == nil && !c.hurry {
		c.changed.Wait()
	}
	return over
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.set(&c.readBy, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(&c.writeBy, t) }

// deadline of one direction. A timer that was replaced changes nothing any more.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func (c *conn) set(d *deadline, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.passed = nil, false
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		d.passed = true
	default:
		var own *time.Timer
		own = time.AfterFunc(left, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if d.timer == own {
				d.passed = true
				c.changed.Broadcast()
			}
		})
		d.timer = own
	}
	c.changed.Broadcast()
	return nil
}

// address of the other side; the module has resolved the name, and does not tell.
type address struct {
	host string
	port int
}

func (address) Network() string  { return "tcp" }
func (a address) String() string { return net.JoinHostPort(a.host, fmt.Sprint(a.port)) }
