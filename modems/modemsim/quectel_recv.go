package modemsim

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// arrived takes a packet from the broker. The module acknowledges messages by itself, as
// soon as it has them: what the host does with them comes too late to matter.
func (c *client) arrived(l *link, p packets.ControlPacket) {
	if c.link != l || c.hole {
		return
	}
	switch p := p.(type) {
	case *packets.ConnackPacket:
		c.connected(p)
	case *packets.PingrespPacket:
		if !c.q.f.noPing {
			c.q.cancel(c.ponging)
			c.ponging = nil
		}
	case *packets.SubackPacket:
		if x := c.inFlight[p.MessageID]; x != nil && x.name == "+QMTSUB" {
			c.settle(x, 0, c.granted(p.ReturnCodes)...)
		}
	case *packets.UnsubackPacket:
		if x := c.inFlight[p.MessageID]; x != nil && x.name == "+QMTUNS" {
			c.settle(x, 0)
		}
	case *packets.PubackPacket:
		c.acknowledged(p.MessageID, 1)
	case *packets.PubcompPacket:
		c.acknowledged(p.MessageID, 2)
	case *packets.PubrecPacket:
		c.halfway(p.MessageID)
	case *packets.PublishPacket:
		c.message(p)
	case *packets.PubrelPacket:
		delete(c.seen, p.MessageID)
		done := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
		done.MessageID = p.MessageID
		c.send(done)
	}
}

func (c *client) granted(codes []byte) []byte {
	if c.q.f.granted >= 0 {
		for i := range codes {
			codes[i] = byte(c.q.f.granted)
		}
	}
	return codes
}

// waits returns the publish that waits under an id, nil if there is none or if its
// acknowledgement is to be lost this once.
func (c *client) waits(id uint16) *exchange {
	x := c.inFlight[id]
	if x == nil || x.name != c.q.publishes() {
		return nil
	}
	if x.deaf {
		x.deaf = false
		return nil
	}
	return x
}

func (c *client) acknowledged(id uint16, qos byte) {
	if x := c.waits(id); x != nil && packetQoS(x.packet) == qos {
		c.settle(x, 0)
	}
}

// packetQoS is 2 for what waits for PUBCOMP.
func packetQoS(p packets.ControlPacket) byte {
	if publish, is := p.(*packets.PublishPacket); is {
		return publish.Qos
	}
	return 2 // PUBREL
}

// halfway answers PUBREC with PUBREL, which from then on is what gets repeated.
func (c *client) halfway(id uint16) {
	x := c.waits(id)
	if x == nil || packetQoS(x.packet) != 2 {
		return
	}
	c.q.cancel(x.timer)
	release := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	release.MessageID = id
	x.packet = release
	c.begin(x)
}

func (c *client) message(p *packets.PublishPacket) {
	switch p.Qos {
	case 1:
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		c.send(ack)
	case 2:
		ack := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
		ack.MessageID = p.MessageID
		c.send(ack)
		if c.seen[p.MessageID] {
			return
		}
		c.seen[p.MessageID] = true
	}
	c.q.sim.count.received.Add(1)
	if c.ints["recv/mode"][0] == 0 {
		c.q.unsolicited(c.received(p))
		return
	}
	c.store(p)
}

// store keeps a message until AT+QMTRECV fetches it. What a sixth one does is not
// documented: it is dropped, or replaces the oldest with the fault buffer=overwrite.
func (c *client) store(p *packets.PublishPacket) {
	if len(c.order) == len(c.inbox) {
		if c.q.f.buffer == "drop" {
			return
		}
		c.inbox[c.order[0]] = nil
		c.order = c.order[1:]
	}
	for slot := range c.inbox {
		if c.inbox[slot] == nil {
			c.inbox[slot] = p
			c.order = append(c.order, slot)
			c.q.urc(fmt.Sprintf("+QMTRECV: %d,%d", c.i, slot))
			return
		}
	}
}

// received formats a message (log L1): the payload stands between quotes as it is, and
// the length counts the bytes between them.
func (c *client) received(p *packets.PublishPacket) string {
	payload := string(p.Payload)
	if c.ints["dataformat"][1] == 1 {
		payload = strings.ToUpper(hex.EncodeToString(p.Payload))
	}
	head := fmt.Sprintf(`+QMTRECV: %d,%d,"%s",`, c.i, p.MessageID, p.TopicName)
	if c.ints["recv/mode"][1] == 1 && !c.q.f.noLength {
		head += fmt.Sprintf("%d,", len(payload))
	}
	head = c.q.space(head)
	if c.q.f.unquoted {
		return head + payload
	}
	return head + `"` + payload + `"`
}

func (q *quectel) qmtrecvRead() reply {
	for _, c := range q.clients {
		if c.state < clientOpen {
			continue
		}
		var full [5]int
		for _, slot := range c.order {
			full[slot] = 1
		}
		q.info("+QMTRECV: %d,%d,%d,%d,%d,%d", c.i, full[0], full[1], full[2], full[3], full[4])
	}
	return okay
}

func (q *quectel) qmtrecv(a *args) reply {
	c, only := q.clients[a.num(0, 5)], -1
	if a.more() {
		only = a.num(0, 4)
	}
	if !a.end() || c.state < clientOpen {
		return failed
	}
	var left []int
	for _, slot := range c.order {
		if only >= 0 && slot != only {
			left = append(left, slot)
			continue
		}
		q.infos = append(q.infos, c.received(c.inbox[slot]))
		c.inbox[slot] = nil
	}
	c.order = left
	return okay
}
