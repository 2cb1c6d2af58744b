package modemsim

import (
	"fmt"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// mqttLink is the number of MQTT's link where AT+CIPMUX=1 numbers them.
const mqttLink = 7

// What AT+MQTTSTATU tells.
const (
	mqttOffline = 0
	mqttOnline  = 1
	mqttTCP     = 2 // connected, AT+MCONNECT is missing
)

// opFailed is the answer to what cannot be done now: "operation failed".
var opFailed = cme(767)

// luatMQTT is the one MQTT client (manual of the Cat.1 modules, chapter MQTT). Its answers bear no ids,
// so that at most one operation of a kind can wait.
type luatMQTT struct {
	*luat

	// AT+MCONFIG; not stored.
	configured     bool
	id, user, pass *string
	will           *packets.ConnectPacket // only its will

	hex      int // AT+MQTTMODE
	buffered int // AT+MQTTMSGSET

	status     int // as AT+MQTTSTATU tells it
	dialling   bool
	connecting bool
	leaving    bool // AT+MDISCONNECT has been said: the server's close is no news
	orphan     bool // the link went without CLOSED, and AT+MIPCLOSE has not been said
	hole       bool // nothing passes any more (fault blackhole)
	link       *link
	impatience *timer // the server waits for CONNECT
	keepAlive  time.Duration
	pinging    *timer
	lastID     uint16
	unacked    *unacked
	subscribed []time.Time // when what waits for SUBACK or UNSUBACK was accepted
	inbox      [4]*packets.PublishPacket
	slot       int             // of the next message
	seen       map[uint16]bool // QoS 2 messages received and not yet released
	asked      int             // for the fault pubex-error
	verdicts   int             // for the fault drop-urc
}

func (m *luatMQTT) commands() map[string]command {
	mode := m.number("+MQTTMODE", &m.hex, 1)
	mode.test = "(0,1)"
	t := map[string]command{
		"+MCONFIG":     {set: m.mconfig, test: "<clientid>[,<username>,<password>[,(0-2),(0,1),<will_topic>,<will_message>]]"},
		"+MIPSTART":    {set: func(a *args) reply { return m.mipstart(a, false) }, test: `"(0,255)",(1-65535)`},
		"+SSLMIPSTART": {set: func(a *args) reply { return m.mipstart(a, true) }, test: `"(0,255)",(1-65535)`},
		"+MCONNECT":    {set: m.mconnect, test: "(0,1),(1-65535)"},
		"+MDISCONNECT": {exec: m.mdisconnect, test: noText},
		"+MIPCLOSE":    {exec: m.mipclose, test: noText},
		"+MQTTSTATU":   {exec: m.mqttstatu, test: noText},
		"+MQTTMODE":    mode,
		"+MSUB":        {set: m.msub, list: func() reply { m.info("+MSUB:<topic>,(0-2)"); return okay }},
		"+MUNSUB":      {set: m.munsub, test: "<topic>"},
		"+MPUB":        {set: m.mpub, list: func() reply { m.info("+MPUB:<topic>,(0-2),(0-1),<message>"); return okay }},
		"+MPUBEX":      {set: m.mpubex, list: m.mpubexTest},
		"+MQTTMSGSET":  m.msgset(),
		"+MQTTMSGGET":  {exec: m.msgget, read: m.msgstate, test: noText},
	}
	if m.f.noMPUBEX {
		delete(t, "+MPUBEX")
	}
	return t
}

// text reads a string that the manual wants in quotes.
func (a *args) text(lo, hi int) string {
	p := a.next()
	if !p.quoted || len(p.text) < lo || len(p.text) > hi {
		a.bad = true
	}
	return p.text
}

// port reads a port, with or without quotes.
func (a *args) port() int {
	if a.more() {
		a.list[0].quoted = false
	}
	return a.num(1, 65535)
}

// mconfig says who the client is. The will's topic and message must be quoted.
func (m *luatMQTT) mconfig(a *args) reply {
	id := a.str(1, 256)
	var user, pass *string
	var will *packets.ConnectPacket
	if a.more() {
		u, p := a.str(0, 256), a.str(0, 256)
		if u != "" || p != "" { // "","" is: none
			user, pass = &u, &p
		}
	}
	if a.more() {
		will = packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
		will.WillFlag, will.WillQos, will.WillRetain = true, byte(a.num(0, 2)), a.num(0, 1) == 1
		will.WillTopic, will.WillMessage = unescape(a.text(1, 256)), []byte(unescape(a.text(0, 1360)))
	}
	if !a.end() {
		return failed
	}
	m.configured, m.id, m.user, m.pass, m.will = true, &id, user, pass, will
	return okay
}

// numbered is how a line tells that it is MQTT's, where links have numbers.
func (m *luatMQTT) numbered(line string) string {
	if m.mux == 0 {
		return line
	}
	return fmt.Sprintf("%d,%s", mqttLink, line)
}

// mipstart connects to the broker, with TLS or without. It needs no AT+CIICR: the default bearer does.
func (m *luatMQTT) mipstart(a *args, secure bool) reply {
	host, port := a.str(1, 255), a.port()
	if !a.end() {
		return failed
	}
	scripted := 0
	if m.f.open.take() {
		scripted = m.f.open.n[0]
		if scripted == 767 {
			return opFailed
		}
	}
	switch {
	case m.dialling:
		return opFailed
	case m.link != nil || scripted == 2:
		return m.accepted(func() { m.outcome("ALREADY CONNECT") })
	}
	m.dialling, m.orphan, m.leaving = true, false, false
	l := newLink(m.sim)
	m.link = l
	return m.accepted(func() {
		m.after(m.between(m.lat.open, m.lat.open*16/10), func() {
			if m.link == l {
				m.dial(l, host, port, secure, scripted != 0)
			}
		})
	})
}

// accepted shadows luat's for a stack that may hang: it accepts, and does nothing.
func (m *luatMQTT) accepted(start func()) reply {
	if m.stuck {
		return okay
	}
	return m.luat.accepted(start)
}

func (m *luatMQTT) dial(l *link, host string, port int, secure, fail bool) {
	config, err := m.tlsOf(sslMQTT, host)
	if !secure {
		config, err = nil, nil
	}
	if err != nil || fail || !m.usable() {
		m.unlink()
		m.outcome(m.stateLine(m.ip), m.numbered("CONNECT FAIL"))
		return
	}
	l.dial(host, port, config, func(err error) {
		switch {
		case m.link != l && err == nil: // AT+MIPCLOSE was faster
			l.conn.Close()
		case m.link != l:
		case err != nil:
			m.unlink()
			m.outcome(m.stateLine(m.ip), m.numbered("CONNECT FAIL"))
		default:
			m.opened(l)
		}
	})
}

func (m *luatMQTT) opened(l *link) {
	m.dialling, m.status = false, mqttTCP
	m.seen, m.subscribed = map[uint16]bool{}, nil
	l.start(func(p packets.ControlPacket) {
		if m.link == l && !m.hole {
			m.arrived(p)
		}
	}, func(error) {
		if m.link == l && !m.hole {
			m.lost()
		}
	})
	m.impatience = m.after(m.f.patience, m.lost) // servers do not wait long for CONNECT
	m.outcome(m.numbered("CONNECT OK"))
}

// mconnect opens the session.
func (m *luatMQTT) mconnect(a *args) reply {
	clean, keepAlive := a.num(0, 1), a.num(1, 65535)
	switch {
	case !a.end():
		return failed
	case m.status != mqttTCP || m.connecting || m.leaving || !m.configured:
		return opFailed
	case m.f.conn.set && m.f.conn.n[0] == 767:
		m.f.conn.take()
		return opFailed
	}
	m.cancel(m.impatience)
	m.connecting = true
	l := m.link
	return m.accepted(func() {
		m.after(m.lat.conn, func() {
			if m.link == l && m.connecting {
				m.hello(clean == 1, keepAlive)
			}
		})
	})
}

func (m *luatMQTT) hello(clean bool, keepAlive int) {
	if m.f.conn.take() {
		m.connecting = false
		if m.f.conn.n[0] == 1 {
			m.lost()
			return
		}
		m.outcome("ERROR")
		return
	}
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	if m.will != nil {
		*p = *m.will
	}
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	p.CleanSession, p.Keepalive, p.ClientIdentifier = clean, uint16(keepAlive), *m.id
	if m.user != nil {
		p.UsernameFlag, p.Username, p.PasswordFlag, p.Password = true, *m.user, true, []byte(*m.pass)
	}
	m.keepAlive = time.Duration(keepAlive) * time.Second
	m.send(p)
}

// greeted takes the CONNACK. Its code is not told, nor is there another word than ERROR.
func (m *luatMQTT) greeted(p *packets.ConnackPacket) {
	if !m.connecting {
		return
	}
	m.connecting = false
	if p.ReturnCode != packets.Accepted {
		m.outcome("ERROR")
		return
	}
	m.status = mqttOnline
	m.outcome("CONNACK OK")
	m.alive()
}

// alive puts the next PINGREQ off: it is due when nothing was sent for the keep-alive time. The host
// hears nothing of it.
func (m *luatMQTT) alive() {
	if m.status != mqttOnline {
		return
	}
	m.cancel(m.pinging)
	m.pinging = m.after(m.keepAlive, func() { m.send(packets.NewControlPacket(packets.Pingreq)) })
}

func (m *luatMQTT) mqttstatu() reply {
	m.info("+MQTTSTATU :%d", m.status)
	return okay
}

func (m *luatMQTT) mdisconnect() reply {
	switch {
	case m.status != mqttOnline:
		return failed
	case m.stuck:
		return opFailed
	}
	m.send(packets.NewControlPacket(packets.Disconnect))
	m.cancel(m.pinging)
	m.status, m.leaving, m.unacked = mqttTCP, true, nil
	return okay
}

// mipclose answers OK where there was a link, if only until the bearer went (log of an Air780EP).
func (m *luatMQTT) mipclose() reply {
	r := okay
	switch {
	case m.stuck:
		return opFailed
	case m.link != nil && m.f.ownClosed:
		r.then = func() { m.urc(m.closedLine()) }
	case m.link != nil, m.orphan, m.f.closeIdle == "0":
	case m.f.closeIdle == "-1":
		r = failed
	default:
		r = opFailed
	}
	m.unlink()
	return r
}

func (m *luatMQTT) closedLine() string {
	if m.mux == 0 {
		return "CLOSED"
	}
	return fmt.Sprintf("%d, CLOSED", mqttLink)
}

// lost ends a link that the host did not want to end.
func (m *luatMQTT) lost() {
	if m.link == nil || m.stuck {
		return
	}
	wanted := m.leaving
	m.unlink()
	m.orphan = wanted
	if !wanted && !m.f.noClosed {
		m.urc(m.closedLine())
	}
	m.release()
}

// unlink frees the client, whatever it was doing.
func (m *luatMQTT) unlink() {
	if m.link != nil {
		m.link.close()
	}
	m.cancel(m.impatience)
	m.cancel(m.pinging)
	m.link, m.status, m.unacked = nil, mqttOffline, nil
	m.dialling, m.connecting, m.leaving, m.orphan, m.hole = false, false, false, false, false
}

// send writes a packet, unless the air has a hole. Every packet counts as a sign of life.
func (m *luatMQTT) send(p packets.ControlPacket) {
	l := m.link
	if l == nil {
		return
	}
	if !m.hole && !l.send(p) {
		m.after(0, func() {
			if m.link == l {
				m.lost()
			}
		})
		return
	}
	m.alive()
}
