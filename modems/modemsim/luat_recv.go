package modemsim

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// arrived takes a packet from the broker. The module acknowledges messages by itself, as soon as it
// has them: what the host does with them comes too late to matter.
func (m *luatMQTT) arrived(p packets.ControlPacket) {
	switch p := p.(type) {
	case *packets.ConnackPacket:
		m.greeted(p)
	case *packets.SubackPacket:
		m.subAnswered("SUBACK")
	case *packets.UnsubackPacket:
		m.subAnswered("UNSUBACK")
	case *packets.PubackPacket:
		m.acknowledged(p.MessageID, 1, "PUBACK")
	case *packets.PubrecPacket:
		m.halfway(p.MessageID)
	case *packets.PubcompPacket:
		m.acknowledged(p.MessageID, 2, "PUBCOMP")
	case *packets.PublishPacket:
		m.message(p)
	case *packets.PubrelPacket:
		delete(m.seen, p.MessageID)
		done := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
		done.MessageID = p.MessageID
		m.send(done)
	}
}

func (m *luatMQTT) message(p *packets.PublishPacket) {
	switch p.Qos {
	case 1:
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		m.send(ack)
	case 2:
		ack := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
		ack.MessageID = p.MessageID
		m.send(ack)
		if m.seen[p.MessageID] {
			return
		}
		m.seen[p.MessageID] = true
	}
	m.sim.count.received.Add(1)
	if m.buffered == 0 {
		m.unsolicited(m.spelled(`"`+p.TopicName+`"`, p.Payload))
		return
	}
	m.inbox[m.slot] = p // the oldest of four is overwritten
	m.urc(fmt.Sprintf("+MSUB: %d", m.slot))
	m.slot = (m.slot + 1) % len(m.inbox)
}

// spelled is a message as AT+MQTTMSGGET and the direct URC print it: the payload stands as it is, and
// only its length tells where it ends.
func (m *luatMQTT) spelled(topic string, payload []byte) string {
	text, unit, blank := string(payload), " byte", " "
	if m.hex == 1 && strings.HasPrefix(m.f.msub, "hex") {
		text = strings.ToUpper(hex.EncodeToString(payload))
	}
	length := len(text)
	if m.hex == 1 && m.f.msub == "hexquoted" {
		text = `"` + text + `"`
	}
	if m.f.msub == "nobyte" {
		unit = ""
	}
	if m.f.noSpace {
		blank = ""
	}
	// No blank is put after the last comma: it would be the payload's first byte.
	return m.space(fmt.Sprintf("+MSUB:%s%s,%d%s", blank, topic, length, unit)) + "," + text
}

func (m *luatMQTT) msgset() command {
	c := m.number("+MQTTMSGSET", &m.buffered, 1)
	c.read = func() reply { m.info("+MQTTMSGSET:%d", m.buffered); return okay }
	c.test, c.list = "", func() reply { m.info("+MQTTMSGSET:(0,1)"); return okay }
	return c
}

// inOrder lists the slots, the oldest message first.
func (m *luatMQTT) inOrder() (slots []int) {
	for i := range m.inbox {
		slots = append(slots, (m.slot+i)%len(m.inbox))
	}
	return slots
}

// msgget prints what is kept, and forgets it. The topic has no quotes here.
func (m *luatMQTT) msgget() reply {
	for _, slot := range m.inOrder() {
		if p := m.inbox[slot]; p != nil {
			m.infos = append(m.infos, m.spelled(p.TopicName, p.Payload))
			m.inbox[slot] = nil
		}
	}
	return okay
}

func (m *luatMQTT) msgstate() reply {
	for slot, p := range m.inbox {
		state := "INVALID"
		if p != nil {
			state = "VALID"
		}
		m.info("+MQTTMSGGET: %d,%s", slot, state)
	}
	return okay
}
