package modemsim

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	maxTopic  = 256
	maxMPUB   = 2384            // of what is typed between the quotes (changelog, V838)
	maxMPUBEX = 4100            // manual of the Cat.1 modules
	textGap   = 5 * time.Second // of silence ends an AT+MPUBEX that told no length
)

// unacked is the publish that waits for its acknowledgement. There is one at most: the next may be
// sent only after PUBACK, which bears no id (tutorial for Aliyun).
type unacked struct {
	id   uint16
	qos  byte
	due  time.Time // no answer is printed earlier
	deaf bool      // its acknowledgement gets lost (fault lose-puback)
}

var escapes = strings.NewReplacer(`\22`, `"`, `\0D`, "\r", `\0A`, "\n", `\5C`, `\`)

// unescape reads the four escapes that the manual knows; whether there are more is not documented.
func unescape(s string) string { return escapes.Replace(s) }

func (m *luatMQTT) msub(a *args) reply {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.Topics, p.Qoss = []string{unescape(a.str(1, maxTopic))}, []byte{byte(a.num(0, 2))}
	return m.request(a, p, &p.MessageID)
}

func (m *luatMQTT) munsub(a *args) reply {
	p := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
	p.Topics = []string{unescape(a.str(1, maxTopic))}
	return m.request(a, p, &p.MessageID)
}

func (m *luatMQTT) request(a *args, p packets.ControlPacket, id *uint16) reply {
	switch {
	case !a.end():
		return failed
	case m.status != mqttOnline:
		return opFailed
	}
	*id = m.nextID()
	l := m.link
	return m.accepted(func() {
		if m.link == l {
			m.subscribed = append(m.subscribed, m.now.Add(m.lat.sub))
			m.send(p)
		}
	})
}

func (m *luatMQTT) nextID() uint16 {
	if m.lastID++; m.lastID == 0 {
		m.lastID = 1
	}
	return m.lastID
}

// notBefore prints a result at due, if the link lives so long.
func (m *luatMQTT) notBefore(due time.Time, print func()) {
	l := m.link
	if !due.After(m.now) {
		print()
		return
	}
	m.after(due.Sub(m.now), func() {
		if m.link == l {
			print()
		}
	})
}

// subAnswered prints SUBACK or UNSUBACK. What the broker granted is not told.
func (m *luatMQTT) subAnswered(line string) {
	if len(m.subscribed) == 0 {
		return
	}
	due := m.subscribed[0]
	m.subscribed = m.subscribed[1:]
	m.notBefore(due, func() { m.outcome(line) })
}

// head reads what AT+MPUB and AT+MPUBEX have in common.
func (m *luatMQTT) head(a *args) *packets.PublishPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.Retain = unescape(a.str(1, maxTopic)), byte(a.num(0, 2)), a.num(0, 1) == 1
	return p
}

// refuses is why a publish cannot begin; an empty reply is: it can.
func (m *luatMQTT) refuses(p *packets.PublishPacket) reply {
	m.asked++
	switch {
	case m.status != mqttOnline, p.Qos > 0 && m.unacked != nil:
		return opFailed
	case m.f.pubexError > 0 && m.asked%m.f.pubexError == 0:
		return opFailed
	}
	return reply{}
}

// least is the shortest payload.
func (m *luatMQTT) least() int {
	if m.f.emptyOK {
		return 0
	}
	return 1
}

// most is the longest payload of AT+MPUBEX.
func (m *luatMQTT) most() int {
	if m.f.mpubexMax > 0 {
		return m.f.mpubexMax
	}
	return maxMPUBEX
}

func (m *luatMQTT) mpubexTest() reply {
	length := "<len>"
	if m.f.mpubexMax > 0 {
		length = fmt.Sprintf("(1-%d)", m.f.mpubexMax)
	}
	m.info("+MPUBEX:<topic>,(0-2),(0-1),%s", length)
	return okay
}

// mpub has its message in the command line, quoted, with escapes or, after AT+MQTTMODE=1, in hex.
func (m *luatMQTT) mpub(a *args) reply {
	p, message := m.head(a), a.text(m.least(), maxMPUB)
	if !a.end() {
		return failed
	}
	p.Payload = []byte(unescape(message))
	if m.hex == 1 {
		raw, err := hex.DecodeString(message)
		if err != nil {
			return failed
		}
		p.Payload = raw
	}
	if r := m.refuses(p); r.code != "" {
		return r
	}
	return m.publish(p)
}

// mpubex asks for the message: so many bytes or, without a length, until Ctrl-Z or a silence.
func (m *luatMQTT) mpubex(a *args) reply {
	p := m.head(a)
	ask := &phase{want: -1, echo: m.profile.echo || m.f.viewMode, quiet: textGap}
	if a.more() {
		ask.want, ask.quiet = a.num(m.least(), m.most()), 0
	}
	if !a.end() {
		return failed
	}
	if r := m.refuses(p); r.code != "" {
		return r
	}
	l := m.link
	ask.done = func(data []byte) reply {
		switch {
		case len(data) < m.least() || len(data) > m.most():
			return failed
		case m.link != l || m.status != mqttOnline:
			return opFailed // the link was lost during the data phase
		}
		p.Payload = data
		return m.publish(p)
	}
	ask.lapse = ask.done
	return m.prompted(ask)
}

// publish answers for a message with OK and sends it.
func (m *luatMQTT) publish(p *packets.PublishPacket) reply {
	n := int(m.sim.count.publishes.Load()) + 1
	if m.f.pubFail > 0 && n%m.f.pubFail == 0 {
		m.sim.count.publishes.Add(1)
		return reply{code: opFailed.code, cme: opFailed.cme, then: m.strike}
	}
	l := m.link
	start := func() {
		m.sim.count.publishes.Add(1)
		if m.link == l {
			m.transmit(p, m.f.losePuback > 0 && n%m.f.losePuback == 0)
		}
		m.strike()
	}
	if p.Qos == 0 { // OK is all there is
		return reply{code: "OK", then: start}
	}
	p.MessageID = m.nextID()
	m.unacked = &unacked{id: p.MessageID, qos: p.Qos}
	return m.accepted(start)
}

func (m *luatMQTT) transmit(p *packets.PublishPacket, deaf bool) {
	if p.Qos > 0 {
		m.unacked.due, m.unacked.deaf = m.now.Add(m.lat.sub), deaf
		m.sim.peak(1)
	}
	m.send(p)
}

// acknowledged ends the publish that waits: PUBACK for QoS 1, PUBCOMP for QoS 2.
func (m *luatMQTT) acknowledged(id uint16, qos byte, line string) {
	w := m.unacked
	if w == nil || w.id != id || w.qos != qos || w.deaf {
		return
	}
	m.unacked = nil
	m.sim.count.results.Add(1)
	m.verdicts++
	if m.f.dropURC > 0 && m.verdicts%m.f.dropURC == 0 {
		m.release()
		return
	}
	m.notBefore(w.due, func() { m.outcome(line) })
}

// halfway answers PUBREC with PUBREL, and tells.
func (m *luatMQTT) halfway(id uint16) {
	w := m.unacked
	if w == nil || w.id != id || w.qos != 2 || w.deaf {
		return
	}
	m.notBefore(w.due, func() { m.urc("PUBREC") })
	release := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	release.MessageID = id
	m.send(release)
}
