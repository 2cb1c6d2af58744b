package modemsim

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// farConn is a connection over a long way: every byte arrives half a round trip after it
// was sent, in order. It delays and does not throttle, unless the air has a rate.
type farConn struct {
	net.Conn
	half    time.Duration
	rate    int
	up      chan parcel
	down    chan parcel
	current parcel
	free    time.Time // of the uplink; belongs to Write
	closing chan struct{}
	late    chan struct{} // a write may wait no longer
	once    sync.Once
	hurry   sync.Once
}

type parcel struct {
	data []byte
	due  time.Time
	err  error
}

// farAway puts the way between the module and conn, and pays for the TCP handshake.
func (s *Sim) farAway(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if !wait(time.Now().Add(s.cfg.RTT), ctx.Done()) {
		conn.Close()
		return nil, ctx.Err()
	}
	c := &farConn{
		Conn: conn, half: s.cfg.RTT / 2, rate: s.faults.linkRate,
		up: make(chan parcel, 4096), down: make(chan parcel, 4096), closing: make(chan struct{}), late: make(chan struct{}),
	}
	s.wg.Go(func() { c.carryUp(s.done) })
	s.wg.Go(c.carryDown)
	return c, nil
}

// wait sleeps until t. It reports false if done came first.
func wait(t time.Time, done <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

// departs puts n bytes on a way that is free from then on, and returns when they have left.
func (c *farConn) departs(free time.Time, n int) time.Time {
	if c.rate == 0 {
		return time.Now()
	}
	return later(free, time.Now()).Add(time.Duration(n) * time.Second / time.Duration(c.rate))
}

func (c *farConn) Write(p []byte) (int, error) {
	c.free = c.departs(c.free, len(p))
	select {
	case <-c.closing:
		return 0, net.ErrClosed
	case c.up <- parcel{data: append([]byte(nil), p...), due: c.free.Add(c.half)}:
	}
	if c.rate > 0 && !wait(c.free, c.late) { // the air takes no more than it carries
		return len(p), os.ErrDeadlineExceeded
	}
	return len(p), nil
}

// SetWriteDeadline is called when the connection is about to be closed, and TLS calls it once more.
func (c *farConn) SetWriteDeadline(t time.Time) error {
	time.AfterFunc(time.Until(t), func() { c.hurry.Do(func() { close(c.late) }) })
	return c.Conn.SetWriteDeadline(t)
}

// carryUp ends when what was written before Close has arrived, or when the module ends.
func (c *farConn) carryUp(done <-chan struct{}) {
	defer c.Conn.Close()
	deliver := func(p parcel) bool {
		if !wait(p.due, done) {
			return false
		}
		_, err := c.Conn.Write(p.data)
		return err == nil
	}
	for {
		select {
		case p := <-c.up:
			if !deliver(p) {
				return
			}
		case <-c.closing:
			for len(c.up) > 0 {
				if !deliver(<-c.up) {
					return
				}
			}
			wait(time.Now().Add(c.half), done) // the FIN travels too
			return
		}
	}
}

func (c *farConn) carryDown() {
	var free time.Time
	for {
		buf := make([]byte, 4096)
		n, err := c.Conn.Read(buf)
		free = c.departs(free, n)
		select {
		case c.down <- parcel{buf[:n], free.Add(c.half), err}:
		case <-c.closing:
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *farConn) Read(p []byte) (int, error) {
	for len(c.current.data) == 0 {
		if c.current.err != nil {
			return 0, c.current.err
		}
		select {
		case c.current = <-c.down:
		case <-c.closing:
			return 0, io.EOF
		}
		if !wait(c.current.due, c.closing) {
			return 0, io.EOF
		}
	}
	n := copy(p, c.current.data)
	c.current.data = c.current.data[n:]
	return n, nil
}

func (c *farConn) Close() error {
	c.once.Do(func() { close(c.closing) })
	return nil
}
