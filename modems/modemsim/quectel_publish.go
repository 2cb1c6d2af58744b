package modemsim

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// exchange is a packet that waits for its acknowledgement.
type exchange struct {
	name    string // of the result URC
	id      uint16
	packet  packets.ControlPacket
	retries int
	timer   *timer
	deaf    bool // its first acknowledgement gets lost (fault lose-puback)
}

// begin sends a packet and repeats it until it is acknowledged, as the "timeout" of
// AT+QMTCFG says (MQTT AN V1.0, figure 1).
func (c *client) begin(x *exchange) {
	c.inFlight[x.id] = x
	c.send(x.packet)
	c.await(x)
}

func (c *client) await(x *exchange) {
	x.timer = c.q.after(c.packetTimeout(), func() {
		t := c.ints["timeout"]
		if x.retries == t[1] {
			c.settle(x, 2)
			return
		}
		x.retries++
		if t[2] == 1 {
			c.q.urc(fmt.Sprintf("%s: %d,%d,1,%d", x.name, c.i, x.id, x.retries))
		}
		if p, publish := x.packet.(*packets.PublishPacket); publish {
			p.Dup = true
		}
		c.send(x.packet)
		c.await(x)
	})
}

// settle ends an exchange with its result URC; extra is what follows the result.
func (c *client) settle(x *exchange, result int, extra ...byte) {
	c.q.cancel(x.timer)
	delete(c.inFlight, x.id)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d,%d,%d", x.name, c.i, x.id, result)
	for _, n := range extra {
		fmt.Fprintf(&b, ",%d", n)
	}
	if x.name == c.q.publishes() {
		c.q.published(b.String(), result)
		return
	}
	c.q.result(b.String())
}

// published prints the result of a publish, unless the fault drop-urc swallows it.
func (q *quectel) published(line string, result int) {
	if result == 0 {
		q.sim.count.results.Add(1)
	}
	q.verdicts++
	if q.f.dropURC > 0 && q.verdicts%q.f.dropURC == 0 {
		q.released(line)
		return
	}
	q.result(line)
}

// sorted returns the exchanges by id, for an order that does not change from run to run.
func (c *client) sorted() (all []*exchange) {
	for _, id := range slices.Sorted(maps.Keys(c.inFlight)) {
		all = append(all, c.inFlight[id])
	}
	return all
}

// publishing counts the publishes in the window.
func (c *client) publishing() (n int) {
	for _, x := range c.inFlight {
		if x.name == c.q.publishes() {
			n++
		}
	}
	return n
}

func (q *quectel) qmtsub(a *args) reply {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	c, id := q.clients[a.num(0, 5)], uint16(a.num(1, 65535))
	p.MessageID = id
	for first := true; first || a.more(); first = false {
		p.Topics = append(p.Topics, a.str(1, maxLine))
		p.Qoss = append(p.Qoss, byte(a.num(0, 2)))
	}
	return c.request(a, "+QMTSUB", id, p)
}

func (q *quectel) qmtuns(a *args) reply {
	p := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
	c, id := q.clients[a.num(0, 5)], uint16(a.num(1, 65535))
	p.MessageID = id
	for first := true; first || a.more(); first = false {
		p.Topics = append(p.Topics, a.str(1, maxLine))
	}
	return c.request(a, "+QMTUNS", id, p)
}

// request is the common half of AT+QMTSUB and AT+QMTUNS. The host's message id is the
// packet identifier, so it must not be in use.
func (c *client) request(a *args, name string, id uint16, p packets.ControlPacket) reply {
	if !a.end() || c.state != clientConnected || c.inFlight[id] != nil {
		return failed
	}
	x := &exchange{name: name, id: id, packet: p}
	c.inFlight[id] = x // taken from now on
	return c.begins(fmt.Sprintf("%s: %d,%d,", name, c.i, id), func() {
		c.q.after(c.q.lat.sub, func() {
			if c.inFlight[id] == x {
				c.begin(x)
			}
		})
	})
}

// publishes is the name of the command that publishes, and of its result URC.
func (q *quectel) publishes() string {
	if q.f.noPubex || q.f.pubCtrlZ {
		return "+QMTPUB"
	}
	return "+QMTPUBEX"
}

// publisher is AT+QMTPUBEX or the older AT+QMTPUB. What the test form of that one prints is not known.
func (q *quectel) publisher() map[string]command {
	test := `(0-5),<msgid>,(0-2),(0,1),"topic","length"`
	if q.f.pubCtrlZ {
		test = `(0-5),<msgid>,(0-2),(0,1),"topic","msg"`
	}
	return map[string]command{q.publishes(): {set: q.qmtpub, test: test}}
}

// qmtpub is prompt, payload, OK, and later the result. AT+QMTPUBEX tells the length of its payload;
// AT+QMTPUB may, and else Ctrl-Z ends it and ESC gives it up.
func (q *quectel) qmtpub(a *args) reply {
	c, id, qos, retain := q.clients[a.num(0, 5)], uint16(a.num(0, 65535)), a.num(0, 2), a.num(0, 1)
	topic := a.str(1, maxLine)
	least := 1
	if q.f.emptyOK {
		least = 0
	}
	ask := &phase{want: -1, echo: c.ints["view/mode"][0] == 1, quiet: c.editTimeout()}
	if !q.f.pubCtrlZ && (!q.f.noPubex || a.more()) {
		ask.want = a.num(least, maxPayload)
	}
	switch {
	case !a.end(), c.state != clientConnected:
		return failed
	case c.inFlight[id] != nil:
		return failed
	case qos > 0 && (id == 0 || c.publishing() >= window):
		return failed // the id 0 is for QoS 0 alone
	}
	q.asked++
	if q.f.pubexError > 0 && q.asked%q.f.pubexError == 0 {
		return failed
	}
	l := c.link
	ask.done = func(data []byte) reply {
		if len(data) < least || len(data) > maxPayload {
			return failed
		}
		if c.link != l || c.state != clientConnected {
			return failed // the link was lost during the data phase
		}
		if c.ints["send/mode"][0] == 1 || c.ints["dataformat"][0] == 1 {
			raw, err := hex.DecodeString(string(data))
			if err != nil {
				return failed
			}
			data = raw
		}
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.Qos, p.Retain, p.TopicName, p.MessageID, p.Payload = byte(qos), retain == 1, topic, id, data
		return c.begins(fmt.Sprintf("%s: %d,%d,", q.publishes(), c.i, id), func() { c.publish(p) })
	}
	return q.prompted(ask)
}

// publish sends a message that the module has answered for with OK.
func (c *client) publish(p *packets.PublishPacket) {
	q := c.q
	n := int(q.sim.count.publishes.Add(1))
	x := &exchange{name: q.publishes(), id: p.MessageID, packet: p}
	if q.f.losePuback > 0 && n%q.f.losePuback == 0 {
		x.deaf = true
	}
	switch {
	case c.link == nil: // lost between payload and OK: there will be no result
	case q.f.pubFail > 0 && n%q.f.pubFail == 0:
		c.settle(x, 2)
	case p.Qos == 0:
		l := c.link
		c.send(p)
		q.after(q.lat.sent, func() {
			if c.link == l {
				c.settle(x, 0)
			}
		})
	default:
		c.begin(x)
		q.sim.peak(c.publishing())
	}
	q.strike(c.ints["pdpcid"][0], func(cause int) {
		if c.link != nil {
			c.lost(cause)
		}
	})
}

// strike lets the faults happen that wait for the nth publish or send. It went over the context cid; lost ends the
// connection that carried it.
func (q *quectel) strike(cid int, lost func(cause int)) {
	n := int(q.sim.count.publishes.Load() + q.sim.count.sends.Load())
	switch n {
	case q.f.blackhole:
		for _, c := range q.clients {
			c.hole = c.link != nil
		}
		for _, c := range q.sockets.all {
			c.hole = c.link != nil
		}
	case q.f.pdpDeact:
		q.pdpLost(cid)
	case q.f.wedge:
		q.wedged = true
	case q.f.reboot:
		q.reboot()
	}
	if q.f.stat.set && n == q.f.stat.n[1] {
		lost(q.f.stat.n[0])
	}
}

// peak keeps the largest number of publishes in flight.
func (s *Sim) peak(n int) {
	if int64(n) > s.count.inFlightPeak.Load() {
		s.count.inFlightPeak.Store(int64(n))
	}
}
