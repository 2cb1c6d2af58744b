package modemsim

import (
	"encoding/hex"
	"net"
	"slices"
	"time"
)

// sendBuffer is how much may be unacknowledged: the free space that an EC200U tells at most (TCP/IP AN of the
// EC200U V1.1, "sendinfo"). The EC600S says nothing of its own.
const sendBuffer = 10240

// maxHex is the longest string of AT+QISENDEX, in characters.
const maxHex = 512

// qisend is AT+QISEND: so many bytes at a prompt, or all until Ctrl-Z; a length of 0 asks what became of the rest.
func (s *sockets) qisend(a *args) reply {
	c, n := s.all[a.num(0, len(s.all)-1)], -1
	if a.more() {
		n = a.num(0, maxSend)
	}
	switch {
	case !a.end():
		return s.tcp(tcpInvalid)
	case c.link == nil || c.state == socketListening || c.state == socketOpening:
		return s.tcp(tcpClosed)
	case n == 0:
		s.info("+QISEND: %d,%d,%d", c.total, c.acked, c.total-c.acked)
		return s.tcp(tcpOK)
	case c.state != socketConnected:
		return s.tcp(tcpClosed)
	}
	l := c.link
	s.lastErr = tcpCancelled // what ESC leads to, and nothing else
	return s.prompted(&phase{
		want: n, echo: s.qisde == 1 || s.f.viewMode,
		done: func(p []byte) reply {
			if len(p) > maxSend {
				return s.tcp(tcpInvalid)
			}
			if s.cfg["dataformat"][0] == 1 {
				raw, err := hex.DecodeString(string(p))
				if err != nil {
					return s.tcp(tcpInvalid)
				}
				p = raw
			}
			return s.transmit(c, l, p)
		},
	})
}

func (s *sockets) qisendex(a *args) reply {
	c, text := s.all[a.num(0, len(s.all)-1)], a.str(1, maxHex)
	data, err := hex.DecodeString(text)
	if !a.end() || err != nil {
		return s.tcp(tcpInvalid)
	}
	return s.transmit(c, c.link, data)
}

// transmit puts data into the send buffer. SEND OK says no more than that.
func (s *sockets) transmit(c *socket, l *link, data []byte) reply {
	if l == nil || c.link != l || c.state != socketConnected {
		return s.tcp(tcpClosed)
	}
	s.offered++
	room := sendBuffer
	if s.f.sendBuffer > 0 {
		room = s.f.sendBuffer
	}
	refused := s.f.sendFail > 0 && s.offered%s.f.sendFail == 0
	if refused || c.total-c.acked+len(data) > room || !c.hole && !l.push(slices.Clone(data)) {
		s.lastErr = tcpWrite
		return reply{code: "SEND FAIL"}
	}
	c.total += len(data)
	s.lastErr = tcpOK
	return reply{code: "SEND OK", then: func() {
		s.sim.count.sends.Add(1)
		s.strike(c.ctx, func(int) { c.ended() })
	}}
}

// acknowledged is news of the other side. An AT+QICLOSE that waited for it has only the FIN to wait for now.
func (c *socket) acknowledged(n int) {
	c.acked += n
	if c.closing != nil && c.acked == c.total {
		if fin := c.now.Add(c.sim.cfg.RTT); fin.Before(c.closing.at) {
			c.closing.at = fin
		}
	}
}

// acked is a connection that tells the module when the other side must have what was written.
type acked struct {
	net.Conn
	far  *farConn // nil: it is near
	link *link
	told func(n int)
}

// narrow is the kernel's share of what waits to be sent: little, so that the module's buffer is what fills.
const narrow = 4096

func newAcked(l *link, told func(n int)) *acked {
	a := &acked{Conn: l.conn, link: l, told: told}
	switch way := l.path.Conn.(type) {
	case *net.TCPConn:
		way.SetWriteBuffer(narrow) // without it the module only seems to have more room
	case *farConn:
		a.far = way
	}
	return a
}

func (a *acked) Write(p []byte) (int, error) {
	n, err := a.Conn.Write(p)
	at := time.Now()
	if a.far != nil {
		at = a.far.free.Add(2 * a.far.half)
	}
	s := a.link.sim
	s.post(s.events, func(d *dce) {
		if d.now.Before(at) {
			d.after(at.Sub(d.now), func() { a.told(n) })
			return
		}
		a.told(n)
	})
	return n, err
}
