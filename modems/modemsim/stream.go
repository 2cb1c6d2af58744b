package modemsim

import (
	"context"
	"time"
)

// inbound is what one read of a socket returned. The reader goes on once enough of them were released,
// so that a host that does not fetch its data is felt by the other side.
type inbound struct {
	data   []byte
	window chan struct{}
}

func (p inbound) release() { <-p.window }

// inbox is what has arrived and was not fetched.
type inbox []inbound

func (b inbox) size() (n int) {
	for _, p := range b {
		n += len(p.data)
	}
	return n
}

// take fetches up to most bytes.
func (b *inbox) take(most int) (data []byte) {
	for len(*b) > 0 && len(data) < most {
		p := &(*b)[0]
		n := min(most-len(data), len(p.data))
		data = append(data, p.data[:n]...)
		p.data = p.data[n:]
		if len(p.data) == 0 {
			p.release()
			*b = (*b)[1:]
		}
	}
	return data
}

// inboundWindow is how many reads may wait to be fetched.
const inboundWindow = 8

// stream is start for a socket: bytes, no packets, and at most so many of them at once.
func (l *link) stream(most int, arrived func(inbound), broken func(error)) {
	s := l.sim
	context.AfterFunc(l.ctx, func() { l.conn.SetWriteDeadline(time.Now().Add(farewell)) })
	s.wg.Go(l.write)
	s.wg.Go(func() { // reader
		window := make(chan struct{}, inboundWindow)
		for {
			select {
			case window <- struct{}{}:
			case <-l.ctx.Done():
				return
			}
			buf := make([]byte, most)
			n, err := l.conn.Read(buf)
			if n > 0 && !s.post(s.events, func(*dce) { arrived(inbound{buf[:n], window}) }) {
				return
			}
			if err != nil {
				s.log.Debug("socket", "error", err)
				s.post(s.events, func(*dce) { broken(err) })
				return
			}
			if n == 0 {
				<-window
			}
		}
	})
}
