package modemsim

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const lierdaMaxPayload = 8000 // by prompt

// lierdaPub takes the arguments of AT+LMQTTPUB apart. The message of the inline form stands between the outer quotes as
// it is, quotes among it: the length says where it ends.
var lierdaPub = regexp.MustCompile(`(?s)^ *([0-9]+),([0-9]+),([0-2]),([01]),"([^"]{1,256})",([0-9]+)(?:,"(.*)")?$`)

// pub is AT+LMQTTPUB: with the message in its line, or by prompt.
func (l *lierda) pub(a *args) reply {
	m := lierdaPub.FindStringSubmatch(a.raw)
	if m == nil || m[1] != "0" || l.state != 3 {
		return failed
	}
	id, errID := strconv.ParseUint(m[2], 10, 16)
	n, errN := strconv.Atoi(m[6])
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.MessageID, p.Qos, p.Retain, p.TopicName = uint16(id), m[3][0]-'0', m[4] == "1", m[5]
	inline := len(a.raw) > 0 && a.raw[len(a.raw)-1] == '"'
	switch {
	case errID != nil, errN != nil, (p.Qos == 0) != (id == 0), l.inFlight[p.MessageID] != nil, len(l.inFlight) >= lierdaWindow:
		return failed
	case inline && (n != len(m[7]) || n > cmp.Or(l.f.inlineMax, 1024)), n < 1 && !l.f.emptyOK, n > lierdaMaxPayload:
		return failed
	}
	l.asked++
	if l.f.pubexError > 0 && l.asked%l.f.pubexError == 0 {
		return failed
	}
	k := l.link
	publish := func(data []byte) reply {
		if l.link != k {
			return failed // the link was lost during the data phase
		}
		p.Payload = data
		return l.async(fmt.Sprintf("+LMQTTPUB: 0,%d,", p.MessageID), func() { l.publish(p) })
	}
	if inline {
		return publish([]byte(m[7]))
	}
	return l.ask(n, false, 0, publish)
}

// publish sends a message that the module has answered for with OK.
func (l *lierda) publish(p *packets.PublishPacket) {
	n := int(l.sim.count.publishes.Add(1))
	x := &exchange{name: "+LMQTTPUB", id: p.MessageID, packet: p, deaf: l.f.losePuback > 0 && n%l.f.losePuback == 0}
	switch {
	case l.link == nil: // lost between payload and OK: there will be no result
	case l.f.pubFail > 0 && n%l.f.pubFail == 0:
		l.settle(x, 2)
	case p.Qos == 0:
		k := l.link
		l.send(p)
		l.after(l.lat.sent, func() {
			if l.link == k {
				l.settle(x, 0)
			}
		})
	default:
		l.begin(x)
		l.sim.peak(len(l.inFlight))
	}
	switch n {
	case l.f.blackhole:
		l.hole = true
	case l.f.pdpDeact:
		l.urc("+CGEV: NW PDN DEACT 1")
		delete(l.active, 1)
		l.lost(11)
	case l.f.wedge:
		l.wedged = true
	case l.f.reboot:
		l.reboot()
	case l.f.storm:
		for range 4 {
			l.urc("+LMQTTURC: STATS,0,9")
		}
		l.lost(9)
	}
	if l.f.stat.set && n == l.f.stat.n[1] {
		l.lost(l.f.stat.n[0])
	}
}

// begin sends a packet and repeats it until it is acknowledged, as "timeout" says.
func (l *lierda) begin(x *exchange) {
	l.inFlight[x.id] = x
	l.send(x.packet)
	x.timer = l.after(l.patience(), func() {
		if x.retries == l.number("timeout", 1) {
			l.settle(x, 2)
			return
		}
		x.retries++
		if p, publish := x.packet.(*packets.PublishPacket); publish {
			p.Dup = true
		}
		l.begin(x)
	})
}

// settle ends an exchange with its result URC.
func (l *lierda) settle(x *exchange, result int, extra ...byte) {
	l.cancel(x.timer)
	delete(l.inFlight, x.id)
	line := fmt.Sprintf("%s: 0,%d,%d", x.name, x.id, result)
	for _, n := range extra {
		line += fmt.Sprintf(",%d", n)
	}
	if x.name != "+LMQTTPUB" {
		l.say("%s", line)
		return
	}
	if result == 0 {
		l.sim.count.results.Add(1)
	}
	if l.f.staleID {
		l.urc(fmt.Sprintf("+LMQTTPUB: 0,%d,2", x.id^0x4000))
	}
	l.verdicts++
	switch {
	case l.f.dropURC > 0 && l.verdicts%l.f.dropURC == 0:
		l.released(line)
	case l.f.uncertain > 0 && l.verdicts%l.f.uncertain == 0:
		l.say("+LMQTTPUB: 0,%d,1,6", x.id)
	default:
		l.say("%s", line)
	}
}

// sorted returns the exchanges by id, for an order that does not change from run to run.
func (l *lierda) sorted() (all []*exchange) {
	for _, id := range slices.Sorted(maps.Keys(l.inFlight)) {
		all = append(all, l.inFlight[id])
	}
	return all
}

// subUnsub is AT+LMQTTSUBUNSUB: the flag is 0 to subscribe and 1 to unsubscribe.
func (l *lierda) subUnsub(a *args) reply {
	client, flag, id := a.num(0, 4), a.num(0, 1), uint16(a.num(0, 65535))
	sub := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	for first := true; first || a.more(); first = false {
		sub.Topics = append(sub.Topics, a.str(0, 256))
		if flag == 0 || a.more() {
			sub.Qoss = append(sub.Qoss, byte(a.num(0, 2)))
		}
	}
	if !a.end() || client != 0 || l.state != 3 || l.inFlight[id] != nil {
		return failed
	}
	sub.MessageID = id
	x := &exchange{name: "+LMQTTSUBUNSUB", id: id, packet: sub}
	if flag == 1 {
		p := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
		p.MessageID, p.Topics = id, sub.Topics
		x.packet, x.name = p, "+LMQTT"+cmp.Or(l.f.unsub, "SUBUNSUB")
	}
	l.inFlight[id] = x
	return l.async(fmt.Sprintf("%s: 0,%d,", x.name, id), func() {
		l.after(l.lat.sub, func() {
			if l.inFlight[id] == x {
				l.begin(x)
			}
		})
	})
}
