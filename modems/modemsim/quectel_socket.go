package modemsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// The states of a socket as +QISTATE tells them (TCP/IP AN V1.2, 2.2.6).
const (
	socketInitial   = 0
	socketOpening   = 1
	socketConnected = 2
	socketListening = 3
	socketClosing   = 4
)

// The access modes of AT+QIOPEN. The third, transparent, is refused.
const (
	buffered = 0
	pushed   = 1
)

// sockets is the TCP/IP stack behind AT+QIOPEN: twelve ids.
type sockets struct {
	*quectel
	all       [12]*socket
	cfg       map[string][]int // AT+QICFG
	offered   int              // sends, for the fault send-fail
	announced int              // "recv" URCs of buffered sockets, for the fault drop-recv
	port      int              // the local one of the last socket
}

// socket is one id. It is free while it has no service.
type socket struct {
	*sockets
	id           int
	service      string // TCP, UDP, TCP LISTENER, TCP INCOMING
	ctx          int
	host, ip     string
	rport, lport int
	mode         int
	server       int // the listener that it came by
	state        int
	link         *link
	listener     net.Listener
	unread       inbox
	told         bool // a "recv" is out, and there is still something to read
	hole         bool // nothing passes any more (fault blackhole)
	total, acked int  // bytes sent
	got, read    int  // bytes received
	closing      *timer
}

func (s *sockets) init(q *quectel) {
	s.quectel, s.cfg, s.port = q, map[string][]int{}, 65515
	for id := range s.all {
		s.all[id] = &socket{sockets: s, id: id}
	}
	for _, k := range socketKeys {
		s.cfg[k.name] = k.values
	}
}

func (s *sockets) commands() map[string]command {
	return map[string]command{
		"+QIOPEN":   {set: s.qiopen, test: `(1-15),(0-11),"TCP/UDP/TCP LISTENER/UDP SERVICE","<IP_address>/<domain_name>",<remote_port>,<local_port>,(0-2)`},
		"+QICLOSE":  {set: s.qiclose, test: "(0-11),(0-65535)"},
		"+QISTATE":  {exec: func() reply { return s.qistate(&args{}) }, read: func() reply { return s.qistate(&args{}) }, set: s.qistate, test: noText},
		"+QISEND":   {set: s.qisend, test: "(0-11),(0-1460)"},
		"+QISENDEX": {set: s.qisendex, test: `(0-11),"<hex_string>"`},
		"+QIRD":     {set: s.qird, test: "(0-11),(0-1500)"},
		"+QISWTMD":  {set: s.qiswtmd, test: "(0-11),(0-2)"},
		"+QICFG":    {set: s.qicfg, test: noText},
		"+QIDNSGIP": {set: s.qidnsgip, test: noText},
		"+QPING":    {set: s.qping, test: noText},
	}
}

// qiopen is AT+QIOPEN. What is wrong with the line is ERROR; what fails later, +QIOPEN tells.
func (s *sockets) qiopen(a *args) reply {
	n := socket{sockets: s, ctx: a.num(1, 15), state: socketOpening}
	c := s.all[a.num(0, len(s.all)-1)]
	n.id, n.service, n.host, n.rport = c.id, strings.ToUpper(a.str(1, 16)), a.str(1, 150), a.num(0, 65535)
	if a.more() {
		n.lport = a.num(0, 65535)
	}
	if a.more() {
		n.mode = a.num(0, 2)
	}
	switch {
	case !a.end():
		return s.tcp(tcpInvalid)
	case n.service == "UDP SERVICE" || n.mode > pushed:
		return s.tcp(tcpNotSupported) // not simulated: UDP SERVICE and transparent mode
	case n.service != "TCP" && n.service != "UDP" && n.service != "TCP LISTENER":
		return s.tcp(tcpInvalid)
	}
	s.lastErr = tcpOK
	return s.async(fmt.Sprintf("+QIOPEN: %d,", c.id), func() {
		if c.service != "" {
			s.opened(c, tcpUsed)
			return
		}
		if n.lport == 0 {
			s.port--
			n.lport = s.port
		}
		n.server = n.id
		if n.service != "TCP LISTENER" {
			n.server = 0
		}
		*c = n
		l := newLink(s.sim)
		c.link = l
		s.after(s.between(s.lat.open, 5*s.lat.open), func() {
			if c.link == l {
				s.open(c, l)
			}
		})
	})
}

// open tries; the context must be up (TCP/IP AN V1.2, figure 1: AT+QIACT comes before AT+QIOPEN).
func (s *sockets) open(c *socket, l *link) {
	switch {
	case s.f.qiopen.take():
		if s.f.qiopen.n[0] >= 0 {
			s.opened(c, s.f.qiopen.n[0])
			return
		}
		s.released(fmt.Sprintf("+QIOPEN: %d,", c.id)) // and nothing is ever said
	case !s.registered() || !s.pdp[c.ctx]:
		s.opened(c, tcpPDPOpen)
	case s.drifted():
		s.opened(c, tcpConnect)
	case c.service == "TCP LISTENER":
		s.listen(c, l)
	default:
		s.dial(c, l)
	}
}

// drifted reports whether the context is up in name only.
func (q *quectel) drifted() bool { return q.stale || q.f.pdpDrift && q.sim.count.reboots.Load() == 0 }

func (s *sockets) dial(c *socket, l *link) {
	l.network = strings.ToLower(c.service)
	l.dial(s.nameOf(c.host), c.rport, nil, func(err error) {
		if c.link != l { // AT+QICLOSE was faster
			if err == nil {
				l.conn.Close()
			}
			return
		}
		if err == nil {
			c.ip = s.addressOf(c.host)
			if c.ip == "" {
				c.ip, _, _ = net.SplitHostPort(l.conn.RemoteAddr().String())
			}
		}
		s.opened(c, dialResult(err))
		if err == nil {
			s.converse(c, l)
		}
	})
}

// dialResult turns what Go says into what the module would.
func dialResult(err error) int {
	var dns *net.DNSError
	switch {
	case err == nil:
		return tcpOK
	case errors.As(err, &dns):
		return tcpDNS
	case errors.Is(err, context.DeadlineExceeded):
		return tcpTimeout
	}
	return tcpConnect
}

// opened tells how AT+QIOPEN went. An id that failed stays taken until AT+QICLOSE: drivers in the field close it.
func (s *sockets) opened(c *socket, err int) {
	s.lastErr = err
	switch {
	case err == tcpUsed: // by the one that was there before
	case err != tcpOK:
		c.state = socketInitial
		c.link.close()
		c.link = nil
	case c.service == "TCP LISTENER":
		c.state = socketListening
	default:
		c.state = socketConnected
	}
	s.result(fmt.Sprintf("+QIOPEN: %d,%d", c.id, err))
}

// converse lets data pass on a connection that is there.
func (s *sockets) converse(c *socket, l *link) {
	l.conn = newAcked(l, func(n int) {
		if c.link == l && !c.hole {
			c.acknowledged(n)
		}
	})
	l.stream(maxRead, func(p inbound) {
		if c.link == l && !c.hole {
			c.arrived(p)
		}
	}, func(error) {
		if c.link == l && !c.hole && c.service != "UDP" {
			c.ended()
		}
	})
}

// ended is the other side closing. The module's side stays open until AT+QICLOSE, and what was received can
// still be read, unless passiveclosed tidies up at once.
func (c *socket) ended() {
	if c.state != socketConnected {
		return
	}
	c.state = socketClosing
	c.urc(fmt.Sprintf(`+QIURC: "closed",%d`, c.id))
	if c.cfg["passiveclosed"][0] == 1 {
		c.free()
	}
}

// free lets go of an id, of its connection and of what was received.
func (c *socket) free() {
	if c.link != nil {
		c.link.close()
	}
	if c.listener != nil {
		c.listener.Close()
	}
	for _, p := range c.unread {
		p.release()
	}
	*c = socket{sockets: c.sockets, id: c.id}
}

// drop is a power failure: nothing is said.
func (s *sockets) drop() {
	for _, c := range s.all {
		c.free()
	}
}

// contextLost resets every socket of a context. What was being opened is told so; of the others
// nothing is known to be said.
func (s *sockets) contextLost(cid int) {
	for _, c := range s.all {
		if c.service == "" || c.ctx != cid {
			continue
		}
		opening := c.state == socketOpening
		c.free()
		if opening {
			s.result(fmt.Sprintf("+QIOPEN: %d,%d", c.id, tcpPDPBroken))
		}
	}
}

// qiclose is AT+QICLOSE. It holds the AT channel until the other side has acknowledged all, FIN included,
// or the time is over. An id that is not in use is closed already (log L7).
func (s *sockets) qiclose(a *args) reply {
	c, timeout := s.all[a.num(0, len(s.all)-1)], 10*time.Second
	if a.more() {
		timeout = time.Duration(a.num(0, 65535)) * time.Second
	}
	if !a.end() {
		return s.tcp(tcpInvalid)
	}
	wait := timeout
	if c.state != socketConnected {
		wait = 0
	} else if c.acked == c.total && !c.hole {
		wait = min(timeout, s.sim.cfg.RTT)
	}
	if wait == 0 {
		c.free()
		return s.tcp(tcpOK)
	}
	c.state = socketClosing
	c.link.close()
	c.closing = s.after(wait, func() {
		c.free()
		s.finish(s.tcp(tcpOK))
	})
	return pending
}

// qistate lists all sockets, those of a context or a single one.
func (s *sockets) qistate(a *args) reply {
	wanted := func(*socket) bool { return true }
	if a.more() {
		if kind := a.num(0, 1); kind == 0 {
			ctx := a.num(1, 15)
			wanted = func(c *socket) bool { return c.ctx == ctx }
		} else {
			id := a.num(0, len(s.all)-1)
			wanted = func(c *socket) bool { return c.id == id }
		}
	}
	if !a.end() {
		return s.tcp(tcpInvalid)
	}
	for _, c := range s.all {
		if c.service != "" && wanted(c) {
			ip := c.ip
			if ip == "" {
				ip = c.host
			}
			s.info(`+QISTATE: %d,"%s","%s",%d,%d,%d,%d,%d,%d,"uart1"`, c.id, c.service, ip, c.rport, c.lport, c.state, c.ctx, c.server, c.mode)
		}
	}
	return s.tcp(tcpOK)
}
