package atcmd

import "strings"

// Monitor cuts and masks what passes between a host and a modem that are both somebody else's, as the tap of an Engine
// does for its own line. Its methods are called from one goroutine, in the order in which the bytes passed.
type Monitor struct {
	tap     tapper
	secrets func(line string) Command
	cmd     Command // the last command line
	host    []byte  // what the host has sent of a command line or a payload
	data    bool    // the modem has asked for data
}

// NewMonitor tells tap. secrets makes a Command of a command line, so that its Secret and Private are known.
func NewMonitor(tap Tap, secrets func(line string) Command) *Monitor {
	return &Monitor{tap: tapper{tap: tap}, secrets: secrets}
}

// FromHost is told what the host sent. Who types sends a key at a time: a command line is held until its CR.
func (m *Monitor) FromHost(p []byte) {
	if m.tap.pending() == ">" {
		m.data = true
		m.tap.flush(&m.cmd)
	}
	for _, b := range p {
		m.host = append(m.host, b)
		if b == '\r' && !m.data || len(m.host) >= maxLine {
			m.sent()
		}
	}
}

// FromModem is told what the modem sent.
func (m *Monitor) FromModem(p []byte) {
	for _, b := range p {
		if !m.tap.add(b) {
			continue
		}
		if m.data || !isCommandLine(m.host) {
			m.sent() // a payload has no end of its own
		}
		text := strings.TrimSpace(m.tap.pending())
		m.data = text == ">" || text == "DOWNLOAD" || text == "CONNECT"
		m.tap.flush(&m.cmd)
	}
}

// Flush tells what is left at the end.
func (m *Monitor) Flush() {
	m.sent()
	m.tap.flush(&m.cmd)
}

func (m *Monitor) sent() {
	if len(m.host) == 0 {
		return
	}
	if isCommandLine(m.host) && !m.data {
		if !strings.HasPrefix(string(m.host), m.tap.pending()) { // more than the echo of the line itself
			m.tap.flush(&m.cmd)
		}
		m.cmd = m.secrets(strings.TrimSpace(string(m.host)))
		m.tap.learn(m.cmd.Secret)
	}
	m.tap.sent(m.host, m.cmd.Secret, &m.cmd)
	m.host = m.host[:0]
}

// isCommandLine reports whether p is a command line, or may become one.
func isCommandLine(p []byte) bool {
	s := strings.TrimLeft(string(p), " \r\n")
	n := min(len(s), 2)
	return strings.EqualFold(s[:n], "AT"[:n])
}
