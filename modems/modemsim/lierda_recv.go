package modemsim

import (
	"fmt"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// arrived takes a packet from the broker. The module acknowledges messages by itself.
func (l *lierda) arrived(k *link, p packets.ControlPacket) {
	if l.link != k || l.hole {
		return
	}
	switch p := p.(type) {
	case *packets.ConnackPacket:
		if l.state != 2 {
			return
		}
		if p.ReturnCode != packets.Accepted {
			l.refused(0, int(p.ReturnCode))
			return
		}
		l.cancel(l.waiting)
		l.state = 3
		l.say("+LMQTTCONN: 0,0,0")
	case *packets.SubackPacket:
		if x := l.inFlight[p.MessageID]; x != nil && len(p.ReturnCodes) > 0 {
			result, extend := 0, byte(1)
			if p.ReturnCodes[0] == 0x80 {
				result, extend = 1, 6
			}
			l.settle(x, result, extend)
		}
	case *packets.UnsubackPacket:
		if x := l.inFlight[p.MessageID]; x != nil {
			l.settle(x, 0)
		}
	case *packets.PubackPacket:
		if x := l.waits(p.MessageID); x != nil && packetQoS(x.packet) == 1 {
			l.settle(x, 0)
		}
	case *packets.PubcompPacket:
		if x := l.waits(p.MessageID); x != nil && packetQoS(x.packet) == 2 {
			l.settle(x, 0)
		}
	case *packets.PubrecPacket:
		if x := l.waits(p.MessageID); x != nil && packetQoS(x.packet) == 2 {
			l.cancel(x.timer)
			release := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
			release.MessageID = p.MessageID
			x.packet = release
			l.begin(x)
		}
	case *packets.PublishPacket:
		l.message(p)
	case *packets.PubrelPacket:
		delete(l.seen, p.MessageID)
		done := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
		done.MessageID = p.MessageID
		l.send(done)
	}
}

// waits returns the publish that waits under an id, nil if its acknowledgement is to be lost this once.
func (l *lierda) waits(id uint16) *exchange {
	x := l.inFlight[id]
	if x == nil || x.name != "+LMQTTPUB" {
		return nil
	}
	if x.deaf {
		x.deaf = false
		return nil
	}
	return x
}

func (l *lierda) message(p *packets.PublishPacket) {
	switch p.Qos {
	case 1:
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		l.send(ack)
	case 2:
		ack := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
		ack.MessageID = p.MessageID
		l.send(ack)
		if l.seen[p.MessageID] {
			return
		}
		l.seen[p.MessageID] = true
	}
	l.sim.count.received.Add(1)
	if l.cfg["cache"][0] == "1" {
		l.kept[p.MessageID] = p
		l.urc(fmt.Sprintf("+LMQTTURC: RECV,0,%d", p.MessageID))
		return
	}
	l.unsolicited("+LMQTTURC: " + l.received(p))
}

// received formats a message: raw, with its length if recv/mode asks for it, and then in quotes with the fault quoted.
func (l *lierda) received(p *packets.PublishPacket) string {
	head := l.space(fmt.Sprintf(`RECV,0,%d,"%s",`, p.MessageID, p.TopicName))
	if l.cfg["recv/mode"][1] == "0" || l.f.noLength {
		return head + string(p.Payload)
	}
	head += l.space(fmt.Sprintf("%d,", len(p.Payload)))
	if l.f.quotedLen {
		return head + `"` + string(p.Payload) + `"`
	}
	return head + string(p.Payload)
}

// readKept is AT+LMQTTREAD, whose answer is not documented: it is that of the URC.
func (l *lierda) readKept(a *args) reply {
	client, id := a.num(0, 4), uint16(a.num(0, 65535))
	p := l.kept[id]
	if !a.end() || client != 0 || p == nil {
		return failed
	}
	delete(l.kept, id)
	l.infos = append(l.infos, "+LMQTTREAD: "+l.received(p))
	return okay
}
