package modemsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// The states of a connection as AT+QISTATE tells them (TCP/IP AN V1.2).
const (
	qsockInitial   = 0
	qsockOpening   = 1
	qsockConnected = 2
	qsockClosing   = 4
)

// More errors of the TCP/IP stack (TCP/IP AN V1.2).
const (
	tcpUnsupported = 555
	tcpInUse       = 563
	tcpTimeout     = 569
	tcpNotAllowed  = 572
)

// sendBuffer is what the module keeps for the network. The manual of the Unisoc modules tells how large it may be.
const sendBuffer = 10240

// qsockets are the connections that AT+QIOPEN opens: TCP clients, in buffer and in direct push mode. Servers, UDP and
// transparent mode are not there.
type qsockets struct {
	*quectel
	all   [12]*qsocket
	hole  bool
	asked int // AT+QISEND, for the fault send-fail
}

type qsocket struct {
	id, ctx, port, local, mode int
	host                       string
	state                      int
	link                       *link
	unread                     []inbound
	told                       bool // a +QIURC: "recv" is out, and not everything has been read since
	sent, arrived              int  // bytes handed over; what a black hole swallows does not arrive
	came, read                 int
}

func newQsockets(q *quectel) *qsockets {
	s := &qsockets{quectel: q}
	for i := range s.all {
		s.all[i] = &qsocket{id: i}
	}
	return s
}

func (s *qsockets) commands() map[string]command {
	return map[string]command{
		"+QIOPEN":  {set: s.qiopen, test: `(1-15),(0-11),"TCP/UDP/TCP LISTENER/UDP SERVICE","<IP_address>/<domain_name>",<remote_port>,<local_port>,(0-2)`},
		"+QISEND":  {set: s.qisend, test: "(0-11),(0-1460)"},
		"+QIRD":    {set: s.qird, test: "(0-11),(0-1500)"},
		"+QICLOSE": {set: s.qiclose, test: "(0-11),(0-65535)"},
		"+QISTATE": {exec: func() reply { return s.states(func(*qsocket) bool { return true }) }, set: s.qistate, test: "(0,1)",
			read: func() reply { return s.states(func(*qsocket) bool { return true }) }},
	}
}

// qiopen answers OK, and with the outcome later. A number stays taken, whatever the outcome, until AT+QICLOSE.
func (s *qsockets) qiopen(a *args) reply {
	ctx, id, kind, host, port := a.num(1, 15), a.num(0, len(s.all)-1), a.str(3, 12), a.str(1, 150), a.num(1, 65535)
	fresh := qsocket{ctx: ctx, host: host, port: port}
	if a.more() {
		fresh.local = a.num(0, 65535)
	}
	if a.more() {
		fresh.mode = a.num(0, 2)
	}
	switch {
	case !a.end():
		return s.tcp(tcpInvalid)
	case strings.ToUpper(kind) != "TCP" || fresh.mode == 2:
		return s.tcp(tcpUnsupported)
	}
	c := s.all[id]
	return s.async(fmt.Sprintf("+QIOPEN: %d,", id), func() {
		if c.state != qsockInitial {
			s.opened(c, tcpInUse)
			return
		}
		*c = fresh
		c.id, c.state = id, qsockOpening
		l := newLink(s.sim)
		c.link = l
		s.after(s.lat.open, func() {
			if c.link == l {
				s.dial(c, l)
			}
		})
	})
}

func (s *qsockets) dial(c *qsocket, l *link) {
	if !s.pdp[c.ctx] || s.f.pdpDrift {
		s.refused(c, tcpPDPOpen)
		return
	}
	l.dial(c.host, c.port, nil, func(err error) {
		var dns *net.DNSError
		switch {
		case c.link != l && err == nil: // AT+QICLOSE was faster
			l.conn.Close()
		case c.link != l:
		case errors.As(err, &dns):
			s.refused(c, tcpDNS)
		case errors.Is(err, context.DeadlineExceeded):
			s.refused(c, tcpTimeout)
		case err != nil:
			s.refused(c, tcpConnect)
		default:
			c.state = qsockConnected
			s.opened(c, tcpOK)
			l.stream(func(p inbound) {
				if c.link == l && !s.hole {
					s.received(c, p)
				}
			}, func(error) {
				if c.link == l && !s.hole {
					s.ended(c)
				}
			})
		}
	})
}

func (s *qsockets) opened(c *qsocket, code int) {
	s.lastErr = code
	s.result(fmt.Sprintf("+QIOPEN: %d,%d", c.id, code))
}

func (s *qsockets) refused(c *qsocket, code int) {
	c.link.close()
	c.link, c.state = nil, qsockClosing
	s.opened(c, code)
}

// ended is the other side closing. What was received can still be read.
func (s *qsockets) ended(c *qsocket) {
	c.link.close()
	c.link, c.state = nil, qsockClosing
	s.urc(fmt.Sprintf(`+QIURC: "closed",%d`, c.id))
}

// contextLost ends the connections of a context; the context's own URC says it all.
func (s *qsockets) contextLost(ctx int) {
	for _, c := range s.all {
		if c.link != nil && c.ctx == ctx {
			c.link.close()
			c.link, c.state = nil, qsockClosing
		}
	}
}

// drop forgets every connection without a word.
func (s *qsockets) drop() {
	for _, c := range s.all {
		s.free(c)
	}
	s.hole = false
}

func (s *qsockets) free(c *qsocket) {
	if c.link != nil {
		c.link.close()
	}
	for _, p := range c.unread {
		p.release()
	}
	*c = qsocket{id: c.id}
}

// qiclose answers OK for a number that is free, too (log of a BG96).
func (s *qsockets) qiclose(a *args) reply {
	c := s.all[a.num(0, len(s.all)-1)]
	if a.more() {
		a.num(0, 65535) // s to wait for the other side
	}
	if !a.end() {
		return s.tcp(tcpInvalid)
	}
	s.free(c)
	return s.tcp(tcpOK)
}

func (s *qsockets) qistate(a *args) reply {
	kind, n := a.num(0, 1), a.num(0, 15)
	if !a.end() {
		return s.tcp(tcpInvalid)
	}
	return s.states(func(c *qsocket) bool { return kind == 0 && c.ctx == n || kind == 1 && c.id == n })
}

func (s *qsockets) states(wanted func(*qsocket) bool) reply {
	for _, c := range s.all {
		if c.state != qsockInitial && wanted(c) {
			s.info(`+QISTATE: %d,"TCP","%s",%d,%d,%d,%d,0,%d,"uart1"`, c.id, c.host, c.port, c.local, c.state, c.ctx, c.mode)
		}
	}
	return s.tcp(tcpOK)
}

// qisend takes so many bytes at a prompt or, without a length, all until Ctrl-Z; the length 0 asks what became of those
// before. SEND OK says that the module has them, SEND FAIL that its buffer is full.
func (s *qsockets) qisend(a *args) reply {
	c, n := s.all[a.num(0, len(s.all)-1)], -1
	if a.more() {
		n = a.num(0, maxSend)
	}
	switch {
	case !a.end():
		return s.tcp(tcpInvalid)
	case c.state != qsockConnected:
		return s.tcp(tcpNotAllowed)
	case n == 0:
		s.info("+QISEND: %d,%d,%d", c.sent, c.arrived-c.waiting(), c.sent-c.arrived+c.waiting())
		return s.tcp(tcpOK)
	}
	s.asked++
	fail := s.f.sendFail > 0 && s.asked%s.f.sendFail == 0
	l := c.link
	return s.prompted(&phase{want: n, echo: s.qisde == 1 || s.f.viewMode, done: func(p []byte) reply {
		if fail || c.link != l || len(p) > maxSend || c.waiting()+len(p) > sendBuffer || !s.hole && !l.push(slices.Clone(p)) {
			return reply{code: "SEND FAIL"}
		}
		c.sent += len(p)
		if !s.hole {
			c.arrived += len(p)
		}
		s.lastErr = tcpOK
		return reply{code: "SEND OK", then: func() {
			s.sim.count.sends.Add(1)
			s.strike(c)
		}}
	}})
}

// waiting is how much the network has not taken yet.
func (c *qsocket) waiting() int {
	if c.link == nil {
		return 0
	}
	return c.arrived - int(c.link.written.Load())
}

// strike lets the faults happen that wait for the nth publish.
func (s *qsockets) strike(c *qsocket) {
	n := int(s.sim.count.publishes.Load() + s.sim.count.sends.Load())
	switch n {
	case s.f.blackhole:
		s.hole = true
	case s.f.pdpDeact:
		s.pdpLost(c.ctx)
	case s.f.wedge:
		s.wedged = true
	case s.f.reboot:
		s.reboot()
	}
	if s.f.stat.set && n == s.f.stat.n[1] && c.link != nil {
		s.ended(c)
	}
}

// received prints data in push mode, and keeps it in buffer mode.
func (s *qsockets) received(c *qsocket, p inbound) {
	if c.mode == 0 {
		c.unread = append(c.unread, p)
		c.came += len(p.data)
		if !c.told {
			c.told = true
			s.urc(fmt.Sprintf(`+QIURC: "recv",%d`, c.id))
		}
		return
	}
	p.release()
	s.unsolicited(s.space(fmt.Sprintf(`+QIURC: "recv",%d,%d`, c.id, len(p.data))) + "\r\n" + string(p.data))
}

// qird reads what is buffered; the length 0 asks how much there is. The next announcement comes after a read that found
// nothing.
func (s *qsockets) qird(a *args) reply {
	c, most := s.all[a.num(0, len(s.all)-1)], 1500
	ask := false
	if a.more() {
		most = a.num(0, 1500)
		ask = most == 0
	}
	switch {
	case !a.end():
		return s.tcp(tcpInvalid)
	case c.state == qsockInitial || c.mode != 0:
		return s.tcp(tcpNotAllowed)
	case ask:
		s.info("+QIRD: %d,%d,%d", c.came, c.read, c.came-c.read)
		return s.tcp(tcpOK)
	}
	data := fetch(&c.unread, most)
	c.read += len(data)
	if len(data) == 0 {
		c.told = false
		s.info("+QIRD: 0")
		return s.tcp(tcpOK)
	}
	s.infos = append(s.infos, fmt.Sprintf("+QIRD: %d\r\n%s", len(data), data))
	return s.tcp(tcpOK)
}
