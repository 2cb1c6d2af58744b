package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// stallTimeout is the write deadline of one chunk. At 4800 baud a chunk takes 9 s.
	stallTimeout = 30 * time.Second
	chunk        = 4 << 10
	// maxUnsent is how much may lie in the buffer before the next publish waits.
	maxUnsent = 64 << 10
)

var (
	errStalled = fmt.Errorf("the line took nothing for %v: %w", stallTimeout, os.ErrDeadlineExceeded)
	errLost    = errors.New("the line was closed from under the session")
)

// link is the connection as paho sees it. Write copies into a buffer and never blocks; one goroutine writes it out,
// several packets at a time where they have gathered. Close lets that goroutine finish first; abort does not.
type link struct {
	net.Conn
	in     inbound
	inErr  error         // what the next Read returns; only accessed from Read
	wake   chan struct{} // capacity 1: there is something for the writer to look at
	gone   chan struct{} // closed when the writer has ended and Conn is closed
	onFail func(error)   // told once, from any goroutine, why the link has failed

	mu      sync.Mutex
	unsent  []byte
	room    chan struct{} // closed when unsent has shrunk; nil while nobody waits
	closing bool
	failed  error
}

func newLink(conn net.Conn, onFail func(error)) *link {
	l := &link{Conn: conn, wake: make(chan struct{}, 1), gone: make(chan struct{}), onFail: onFail}
	go l.writer()
	return l
}

// Read passes on what the broker sends, up to the first packet that paho must not see.
func (l *link) Read(p []byte) (int, error) {
	if l.inErr != nil {
		return 0, l.inErr
	}
	n, err := l.Conn.Read(p)
	n, badPacket := l.in.check(p[:n])
	if badPacket != nil {
		err = badPacket
	}
	if err != nil {
		l.inErr = l.fail(err)
	}
	if n > 0 {
		return n, nil // the error is for the next call: what came before it counts
	}
	return 0, l.inErr
}

func (l *link) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failed != nil:
		return 0, l.failed
	case l.closing:
		return 0, errLost
	}
	l.unsent = append(l.unsent, p...)
	l.poke()
	return len(p), nil
}

// wait returns when the buffer has room for another message, or why it never will.
func (l *link) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.failed != nil || len(l.unsent) < maxUnsent {
			defer l.mu.Unlock()
			return l.failed
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the link once everything written has left; it does not wait for that.
func (l *link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	l.poke()
	return nil
}

// abort ends the link at once.
func (l *link) abort() { l.fail(errLost) }

// fail ends the link for the reason err, unless it has one already, and returns the reason. A net.ErrClosed is
// never returned: paho would take it for a close of its own and keep silent.
func (l *link) fail(err error) error {
	if errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "use of closed network connection") {
		err = errLost
	}
	l.mu.Lock()
	first := l.failed == nil
	if first {
		l.failed = err
		l.signalRoom()
		l.poke()
	}
	err = l.failed
	l.mu.Unlock()
	if first {
		l.Conn.Close() // unblocks Read and Write; the error of a dead line says nothing new
		l.onFail(err)
	}
	return err
}

func (l *link) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// poke and signalRoom are called with mu held.
func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) signalRoom() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// writer is the only goroutine that writes to Conn. It closes Conn when it ends.
func (l *link) writer() {
	defer close(l.gone)
	stall := time.AfterFunc(stallTimeout, func() { l.fail(errStalled) })
	stall.Stop()
	for range l.wake {
		for {
			out, end := l.next()
			if end {
				l.Conn.Close()
				return
			}
			if len(out) == 0 {
				break
			}
			stall.Reset(stallTimeout)
			_, err := l.Conn.Write(out)
			stall.Stop()
			if err != nil {
				l.fail(err)
			}
		}
	}
}

// next takes the next chunk out of the buffer. end: there will be no more.
func (l *link) next() (out []byte, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil || l.closing && len(l.unsent) == 0 {
		return nil, true
	}
	n := min(len(l.unsent), chunk)
	out = l.unsent[:n:n]
	if l.unsent = l.unsent[n:]; len(l.unsent) == 0 {
		l.unsent = nil // a burst's buffer is not kept
	}
	if len(l.unsent) < maxUnsent {
		l.signalRoom()
	}
	return out, false
}

// paho sets deadlines around each packet. They are meaningless for a buffer; the writer and the contexts have their own.
func (l *link) SetDeadline(time.Time) error      { return nil }
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// busy reports whether something is still to be written.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unsent) > 0
}
