package modemsim

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// arrived prints data as the settings ask, or keeps it until AT+CIPRXGET fetches it.
func (s *luatSockets) arrived(c *luatSocket, p inbound) {
	if s.get > 0 {
		c.unread = append(c.unread, p)
		if s.get == 5 || !c.told {
			c.told = true
			s.urc("+CIPRXGET: " + s.of("1", c))
		}
		return
	}
	p.release()
	if s.source == 1 {
		s.urc("RECV FROM:" + c.host + ":" + c.port)
	}
	s.raw(s.framed(c, p))
}

// framed is data on the line. Where there are several connections a header stands on a line of its own and
// the data ends with its last byte; a single one has no header unless AT+CIPHEAD asked for it.
func (s *luatSockets) framed(c *luatSocket, p inbound) string {
	if s.mux == 1 {
		name := "+RECEIVE"
		if s.f.cutReceive {
			name = name[2:]
		}
		return fmt.Sprintf("\r\n%s,%d,%d:\r\n%s", name, c.n, len(p.data), p.data)
	}
	head, tail := "", "\r\n"
	if s.plain == 1 {
		tail = ""
	}
	switch {
	case s.head == 1 && s.protocol == 1:
		head = fmt.Sprintf("+IPD,%d,%s:", len(p.data), c.kind)
	case s.head == 1:
		head = fmt.Sprintf("+IPD,%d:", len(p.data))
	}
	return "\r\n" + head + string(p.data) + tail
}

// of puts the number of a connection behind a mode, where they have numbers.
func (s *luatSockets) of(mode string, c *luatSocket) string {
	if s.mux == 0 {
		return mode
	}
	return fmt.Sprintf("%s,%d", mode, c.n)
}

// ciprxget switches manual reading on and off (0, 1, 5), reads (2, in hex 3), and tells how much there is (4).
func (s *luatSockets) ciprxget(a *args) reply {
	mode := a.num(0, 5)
	if mode < 2 || mode == 5 {
		if !a.end() {
			return failed
		}
		s.get = mode
		return okay
	}
	c, most := s.which(a), 0
	switch mode {
	case 2:
		most = a.num(1, maxSend)
	case 3:
		most = a.num(1, maxSend/2)
	}
	switch {
	case !a.end():
		return failed
	case s.get == 0 || c.state == sockInitial:
		return cme(3)
	case mode == 4:
		s.info("+CIPRXGET: %s,%d", s.of("4", c), c.unread.size())
		return okay
	}
	c.told = false
	data := c.unread.take(most)
	s.info("+CIPRXGET: %s,%d,%d", s.of(fmt.Sprint(mode), c), len(data), c.unread.size())
	if len(data) > 0 && mode == 3 {
		s.infos = append(s.infos, strings.ToUpper(hex.EncodeToString(data)))
	} else if len(data) > 0 {
		s.infos = append(s.infos, string(data))
	}
	return okay
}
