package modemsim

import (
	"fmt"
	"slices"
	"strings"
)

// The states of a connection where there are several; AT+CIPSTATUS has other words for a single one.
const (
	sockInitial    = "INITIAL"
	sockConnecting = "CONNECTING"
	sockConnected  = "CONNECTED"
	sockClosed     = "CLOSED"
)

// maxSend is the most that one AT+CIPSEND takes.
const maxSend = 1460

// luatSockets are the connections that AT+CIPSTART opens (manual of the Cat.1 modules, chapter TCPIP):
// one, or with AT+CIPMUX=1 six. Transparent mode (AT+CIPMODE=1) is not there.
type luatSockets struct {
	*luat
	all      [6]*luatSocket
	quick    int // AT+CIPQSEND: DATA ACCEPT instead of SEND OK
	prompts  int // AT+CIPSPRT
	get      int // AT+CIPRXGET
	head     int // AT+CIPHEAD: +IPD before data
	protocol int // AT+CIPSHOWTP: and which protocol it came by
	source   int // AT+CIPSRIP: and where from
	plain    int // AT+CIPRXF=1: no CR LF after data
	secure   int // AT+CIPSSL
	hole     bool
	asked    int // AT+CIPSEND, for the fault send-fail
}

type luatSocket struct {
	n                int
	kind, host, port string
	state            string
	link             *link
	unread           inbox
	told             bool // a +CIPRXGET: 1 is out and nothing was read since
	sent, arrived    int  // bytes
}

func (s *luatSockets) init(l *luat) {
	s.luat, s.prompts = l, 1
	for n := range s.all {
		s.all[n] = &luatSocket{n: n, state: sockInitial}
	}
}

func (s *luatSockets) commands() map[string]command {
	t := map[string]command{
		"+CIPSTART": {set: s.cipstart, test: noText},
		"+CIPSEND":  {exec: func() reply { return s.cipsend(&args{}) }, set: s.cipsend, read: s.sendable, test: noText},
		"+CIPCLOSE": {exec: func() reply { return s.cipclose(&args{}) }, set: s.cipclose, test: noText},
		"+CIPRXGET": {read: func() reply { s.info("+CIPRXGET: %d", s.get); return okay }, set: s.ciprxget, test: "(0-5)"},
		"+CIPACK":   {exec: func() reply { return s.cipack(&args{}) }, set: s.cipack, test: noText},
		"+CIPMODE": {
			read: func() reply { s.info("+CIPMODE: 0"); return okay },
			set: func(a *args) reply {
				if a.num(0, 0); !a.end() {
					return failed
				}
				return okay
			},
			test: "(0-NORMAL MODE,1-TRANSPARENT MODE)",
		},
		"+CIPQSEND":  s.number("+CIPQSEND", &s.quick, 1),
		"+CIPSPRT":   s.number("+CIPSPRT", &s.prompts, 2),
		"+CIPHEAD":   s.number("+CIPHEAD", &s.head, 1),
		"+CIPSHOWTP": s.number("+CIPSHOWTP", &s.protocol, 1),
		"+CIPSRIP":   s.number("+CIPSRIP", &s.source, 1),
		"+CIPRXF":    s.number("+CIPRXF", &s.plain, 1),
		"+CIPSSL":    s.number("+CIPSSL", &s.secure, 1),
		"+CIPMUX":    s.number("+CIPMUX", &s.mux, 1),
	}
	mux := t["+CIPMUX"]
	change := mux.set
	mux.set = func(a *args) reply {
		if s.ip != ipInitial {
			return cme(3)
		}
		return change(a)
	}
	t["+CIPMUX"] = mux
	return t
}

// status is what AT+CIPSTATUS prints after OK.
func (s *luatSockets) status() []string {
	one := s.all[0]
	switch {
	case s.mux == 1:
		lines := []string{s.stateLine(s.ip)}
		for _, c := range s.all {
			if c.state == sockInitial {
				lines = append(lines, fmt.Sprintf(`C: %d,,"","","","%s"`, c.n, c.state))
				continue
			}
			lines = append(lines, fmt.Sprintf(`C: %d,0,"%s","%s","%s","%s"`, c.n, c.kind, c.host, c.port, c.state))
		}
		return lines
	case s.ip == ipDeact || one.state == sockInitial:
		return []string{s.stateLine(s.ip)}
	case one.state == sockConnected:
		return []string{s.stateLine("CONNECT OK")}
	}
	return []string{s.stateLine(one.kind + " " + one.state)}
}

// line is how a result of a connection is told: with its number where there are several.
func (s *luatSockets) line(c *luatSocket, text string) string {
	if s.mux == 0 {
		return text
	}
	return fmt.Sprintf("%d,%s", c.n, text)
}

// which reads the number of a connection, where they have numbers.
func (s *luatSockets) which(a *args) *luatSocket {
	if s.mux == 0 {
		return s.all[0]
	}
	return s.all[a.num(0, len(s.all)-1)]
}

// cipstart opens a connection. Several of them need the bearer first; a single one brings it up.
func (s *luatSockets) cipstart(a *args) reply {
	c := s.which(a)
	kind, host, port := strings.ToUpper(a.str(3, 3)), a.str(1, 128), a.port()
	switch {
	case !a.end() || kind != "TCP" && kind != "UDP":
		return cme(3)
	case s.mux == 1 && s.ip != ipStatus && s.ip != ipMany:
		return cme(3)
	case c.state == sockConnecting:
		return cme(3)
	case c.state == sockConnected:
		return s.accepted(func() { s.outcome(s.line(c, "ALREADY CONNECT")) })
	}
	s.forgetAll(c)
	*c = luatSocket{n: c.n, kind: kind, host: host, port: fmt.Sprint(port), state: sockConnecting}
	l := newLink(s.sim)
	l.network = strings.ToLower(kind)
	c.link = l
	return s.accepted(func() {
		s.after(s.between(s.lat.open, s.lat.open*16/10), func() {
			if c.link == l {
				s.dial(c, l, port)
			}
		})
	})
}

func (s *luatSockets) dial(c *luatSocket, l *link, port int) {
	config, err := s.tlsOf(c.n, c.host)
	if s.secure == 0 || c.kind == "UDP" {
		config, err = nil, nil
	}
	switch {
	case err != nil || !s.usable():
		s.refused(c)
		return
	case s.mux == 1:
		s.ip = ipMany
	default:
		s.ip = ipStatus
	}
	l.dial(c.host, port, config, func(err error) {
		switch {
		case c.link != l && err == nil: // AT+CIPCLOSE was faster
			l.conn.Close()
		case c.link != l:
		case err != nil:
			s.refused(c)
		default:
			c.state = sockConnected
			s.outcome(s.line(c, "CONNECT OK"))
			l.stream(maxSend, func(p inbound) {
				if c.link == l && !s.hole {
					s.arrived(c, p)
				}
			}, func(error) {
				if c.link == l && !s.hole {
					s.ended(c)
				}
			})
		}
	})
}

// refused says which state the stack is in, and that it did not work (log of an Air780EPV).
func (s *luatSockets) refused(c *luatSocket) {
	s.forgetAll(c)
	c.state = sockInitial
	if s.mux == 1 {
		s.outcome(s.line(c, "CONNECT FAIL"))
		return
	}
	s.outcome(s.stateLine(s.ip), "CONNECT FAIL")
}

// ended is the other side closing. What was received can still be read.
func (s *luatSockets) ended(c *luatSocket) {
	c.link.close()
	c.link, c.state = nil, sockClosed
	switch {
	case s.f.noClosed:
	case s.mux == 0:
		s.urc("CLOSED")
	default:
		s.urc(fmt.Sprintf("%d, CLOSED", c.n))
	}
}

// lost ends every connection as if the other sides had.
func (s *luatSockets) lost() {
	for _, c := range s.all {
		if c.state == sockConnected {
			s.ended(c)
		}
	}
}

// drop forgets every connection without a word.
func (s *luatSockets) drop() {
	for _, c := range s.all {
		s.forgetAll(c)
		c.state = sockInitial
	}
	s.hole = false
}

// forgetAll lets go of a connection and of what it has received.
func (s *luatSockets) forgetAll(c *luatSocket) {
	if c.link != nil {
		c.link.close()
	}
	for _, p := range c.unread {
		p.release()
	}
	c.link, c.unread, c.told = nil, nil, false
}

// cipclose answers with a result of its own, and no OK.
func (s *luatSockets) cipclose(a *args) reply {
	c := s.which(a)
	if a.more() {
		a.num(0, 1) // how slowly
	}
	if !a.end() || c.link == nil {
		return failed
	}
	c.link.close()
	c.link, c.state = nil, sockClosed
	return reply{code: s.line(c, "CLOSE OK")}
}

func (s *luatSockets) sendable() reply {
	s.info("+CIPSEND: %d", maxSend)
	return okay
}

// cipsend takes so many bytes at a prompt or, without a length, all until Ctrl-Z.
func (s *luatSockets) cipsend(a *args) reply {
	c, n := s.which(a), -1
	if a.more() {
		n = a.num(1, maxSend)
	}
	switch {
	case !a.end():
		return failed
	case c.state != sockConnected:
		return cme(3)
	}
	s.asked++
	fail := s.f.sendFail > 0 && s.asked%s.f.sendFail == 0
	l := c.link
	return s.prompted(&phase{
		want: n, mute: s.prompts != 1, echo: s.profile.echo || s.f.viewMode,
		done: func(p []byte) reply {
			if fail || c.link != l || len(p) > maxSend || !s.hole && !l.push(slices.Clone(p)) {
				return reply{code: s.line(c, "SEND FAIL")}
			}
			return s.sentAll(c, len(p))
		},
	})
}

// sentAll answers for n bytes that have been taken.
func (s *luatSockets) sentAll(c *luatSocket, n int) reply {
	c.sent += n
	if !s.hole && !c.link.path.dead.Load() {
		c.arrived += n
	}
	r := reply{code: s.line(c, "SEND OK"), then: func() {
		s.sim.count.sends.Add(1)
		s.strike()
	}}
	switch {
	case s.prompts == 2:
		r.code = noText
	case s.quick == 1 && s.mux == 0:
		r.code = fmt.Sprintf("DATA ACCEPT:%d", n)
	case s.quick == 1:
		r.code = fmt.Sprintf("DATA ACCEPT:%d,%d", c.n, n)
	}
	return r
}

func (s *luatSockets) cipack(a *args) reply {
	c := s.which(a)
	if !a.end() || c.state == sockInitial {
		return failed
	}
	s.info("+CIPACK: %d,%d,%d", c.sent, c.arrived, c.sent-c.arrived)
	return okay
}
