package modems

import (
	"context"
	"io"
	"time"
)

const (
	// pullRoom is how much may wait on this side before the rest is left to wait in the module, and in the network.
	pullRoom = 16 << 10
	// pullEvery is how often data is asked for that nobody has announced: the announcement may have been lost, and no
	// other comes until the module is empty.
	pullEvery = 20 * time.Second
)

// announced: data waits in the module.
func (c *conn) announced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = true
	c.changed.Broadcast()
}

// part is eof for a connection whose data waits in the module.
func (c *conn) part() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.parted = true, true
	if c.failed == nil {
		c.failed = errPeer
	}
	c.changed.Broadcast()
}

// fetch pulls what waits in the module, as long as there is room for it here, until the connection ends.
func (c *conn) fetch() {
	often := time.NewTicker(pullEvery)
	defer often.Stop()
	go func() {
		for {
			select {
			case <-often.C:
				c.announced()
			case <-c.finished:
				return
			}
		}
	}()
	for c.wanted() {
		p, err := c.socket.pull(context.Background())
		switch {
		case err != nil:
			c.fail(err)
			return
		case len(p) > 0:
			c.arrived(p)
			c.announced() // there may be more
		case c.drained():
			return
		}
	}
}

// wanted waits until there is something to pull, and room for it; false: the connection has ended.
func (c *conn) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && c.ended == nil && (!c.waiting || len(c.unread) >= pullRoom) {
		c.changed.Wait()
	}
	c.waiting = false // before it is asked: what is announced meanwhile is asked for again
	return !c.closed && c.ended == nil
}

// drained ends a connection that the other side has closed, after the last byte.
func (c *conn) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parted && !c.waiting {
		c.end(io.EOF, false)
	}
	return c.ended != nil
}
