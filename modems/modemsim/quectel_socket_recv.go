package modemsim

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// maxRead is the most that one AT+QIRD or one "recv" URC carries.
const maxRead = 1500

// arrived pushes data to the host, or announces it.
func (c *socket) arrived(p inbound) {
	if c.state != socketConnected {
		p.release()
		return
	}
	c.got += len(p.data)
	if c.mode == buffered {
		c.unread = append(c.unread, p)
		c.announce()
		return
	}
	p.release()
	c.push(p.data)
}

// push prints data behind the URC that tells its length. The CR LF after it is not counted (log L4).
func (c *socket) push(data []byte) {
	c.read += len(data)
	text := c.shown(data)
	line := fmt.Sprintf(`+QIURC: "recv",%d,%d`, c.id, len(text))
	if c.muteURC != nil && c.muteURC(line) {
		return
	}
	tail := "\r\n"
	if c.f.pushBare {
		tail = ""
	}
	c.raw(c.headed(line, text) + tail)
}

// announce says once that there is something to read.
func (c *socket) announce() {
	if c.told {
		return
	}
	c.told = true
	c.announced++
	if c.f.dropRecv > 0 && c.announced%c.f.dropRecv == 0 {
		return
	}
	if c.cfg["recvind"][0] == 1 {
		c.urc(fmt.Sprintf(`+QIURC: "recv",%d,%d`, c.id, c.unread.size()))
		return
	}
	c.urc(fmt.Sprintf(`+QIURC: "recv",%d`, c.id))
}

// qird is AT+QIRD: data, or with a length of 0 how much there was.
func (s *sockets) qird(a *args) reply {
	c, most := s.all[a.num(0, len(s.all)-1)], maxRead
	asks := false
	if a.more() {
		most = a.num(0, maxRead)
		asks = most == 0
	}
	switch {
	case !a.end():
		return s.tcp(tcpInvalid)
	case c.state != socketConnected && c.state != socketClosing:
		return s.tcp(tcpClosed)
	case asks:
		s.info("+QIRD: %d,%d,%d", c.got, c.read, c.got-c.read)
		return s.tcp(tcpOK)
	}
	data := c.fetch(most)
	if len(data) == 0 {
		s.info("+QIRD: 0")
		return s.tcp(tcpOK)
	}
	text := s.shown(data)
	s.print(s.headed(fmt.Sprintf("+QIRD: %d", len(text)), text))
	if s.f.qirdTail || !s.profile.verbose {
		s.print("\r\n")
	}
	s.unsolicitedInside()
	return s.tcp(tcpOK)
}

// fetch takes data out of the buffer. While some is left, no "recv" tells of more.
func (c *socket) fetch(most int) []byte {
	if c.cfg["dataformat"][1] == 1 {
		most = max(1, most/2)
	}
	if c.service == "UDP" && c.cfg["udp/readmode"][0] == 0 && len(c.unread) > 0 {
		most = min(most, len(c.unread[0].data)) // one datagram at a time
	}
	data := c.unread.take(most)
	c.read += len(data)
	c.told = len(c.unread) > 0 || c.f.recvZero && len(data) > 0
	return data
}

// shown is data as the second number of dataformat wants it.
func (s *sockets) shown(data []byte) string {
	if s.cfg["dataformat"][1] == 1 {
		return strings.ToUpper(hex.EncodeToString(data))
	}
	return string(data)
}

// headed puts a header before data, as viewmode asks.
func (s *sockets) headed(line, text string) string {
	if s.cfg["viewmode"][0] == 1 {
		return strings.TrimSuffix(s.frame(s.space(line)), "\r\n") + "," + text
	}
	return s.frame(s.space(line)) + text
}

// qiswtmd changes the access mode. What has not been read by then is pushed.
func (s *sockets) qiswtmd(a *args) reply {
	c, mode := s.all[a.num(0, len(s.all)-1)], a.num(0, 2)
	switch {
	case !a.end():
		return s.tcp(tcpInvalid)
	case mode > pushed:
		return s.tcp(tcpNotSupported)
	case c.state != socketConnected:
		return s.tcp(tcpClosed)
	}
	c.mode = mode
	r := s.tcp(tcpOK)
	r.then = func() {
		for mode == pushed && len(c.unread) > 0 {
			c.push(c.unread.take(maxRead))
		}
		c.told = false
	}
	return r
}
