package bridge

import (
	"context"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/atbridge/atbridge/modems"
)

// How a message that accept takes is acknowledged:
//
//  1. The client's reading goroutine offers it to accept and goes on to the next packet. A client that pipelines
//     is thus not slowed down to one message per fsync.
//  2. It puts the message into the client's queue of publishes.
//  3. The client's publisher takes them from there one after the other and waits for done of each: PUBACK and PUBREC
//     go out in the order of the PUBLISH packets [MQTT-4.6.0-2] [MQTT-4.6.0-3].
//  4. After done(nil) it fans out and acknowledges: who subscribes after the PUBACK finds what is retained. After
//     done(err) it disconnects the client, which will publish the message again: MQTT 3.1.1 has no other way to say no.

// publisher acknowledges the publishes of one connection.
type publisher struct {
	l     *Local
	cl    *mqtt.Client
	queue chan *publish
}

// publish is one PUBLISH packet on its way.
type publish struct {
	*offered
	pk     packets.Packet
	staged staged   // for the local subscribers
	first  *publish // QoS 2: this is a repetition of first, which is all that counts

	finished chan struct{} // closed when it is fanned out, or given up for err
}

// packetKey names a packet identifier of a session.
type packetKey struct {
	client string
	id     uint16
}

// maxUnacknowledged is how many publishes of one connection may wait for their fsync: the same as the receive maximum
// that the library announces to MQTT 5 clients.
const maxUnacknowledged = 1024

// publish takes what cl has sent.
func (l *Local) publish(cl *mqtt.Client, pk packets.Packet) {
	p := l.publisher(cl)
	if first := l.received(cl, pk); first != nil { // [MQTT-4.3.3-2]: not a second time
		p.enqueue(&publish{offered: &offered{done: first.finished}, pk: pk, first: first})
		return
	}
	hold, cancel := context.WithTimeout(l.closing, l.cfg.Hold) // meanwhile nothing more is read from it
	defer cancel()
	o, taken, err := offer(hold, l.cfg, l.accept, messageOf(pk))
	switch {
	case err != nil && pk.FixedHeader.Qos == 0:
		l.cfg.Log.Debug("local: a message of QoS 0 was dropped", "client", cl.ID, "topic", pk.TopicName, "why", err)
		return
	case err != nil:
		l.refuse(cl, pk, err)
		return
	case !taken:
		o.settle(nil)
	}
	pub := &publish{offered: o, pk: pk, staged: l.stage(pk), finished: make(chan struct{})}
	if pk.FixedHeader.Qos == 2 {
		l.mu.Lock()
		l.unreleased[packetKey{cl.ID, pk.PacketID}] = pub
		l.mu.Unlock()
	}
	p.enqueue(pub)
}

// received returns the QoS 2 message that pk repeats.
func (l *Local) received(cl *mqtt.Client, pk packets.Packet) *publish {
	if pk.FixedHeader.Qos != 2 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unreleased[packetKey{cl.ID, pk.PacketID}]
}

// refuse disconnects a client whose message is not ours.
func (l *Local) refuse(cl *mqtt.Client, pk packets.Packet, err error) {
	if l.closing.Err() != nil {
		return
	}
	l.cfg.Log.Warn("local: a publisher is disconnected, because its message cannot be stored", "client", cl.ID, "topic", pk.TopicName, "why", err)
	if cl.Properties.ProtocolVersion == 5 {
		_ = l.server.DisconnectClient(cl, packets.ErrQuotaExceeded) // it is gone either way
	}
	cl.Stop(err)
}

// publisher returns the publisher of cl; there is one from its first publish on.
func (l *Local) publisher(cl *mqtt.Client) *publisher {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.publishers[cl]
	if p == nil {
		p = &publisher{l: l, cl: cl, queue: make(chan *publish, maxUnacknowledged)}
		l.publishers[cl] = p
		go p.run()
	}
	return p
}

// leave: cl publishes no more.
func (l *Local) leave(cl *mqtt.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.publishers[cl]; p != nil {
		close(p.queue)
		delete(l.publishers, cl)
	}
}

// release: the client has sent PUBREL for id. The library answers PUBCOMP, without a complaint only if it knows the id.
func (l *Local) release(cl *mqtt.Client, id uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := packetKey{cl.ID, id}
	if l.unreleased[key] != nil {
		delete(l.unreleased, key)
		cl.State.Inflight.Set(acknowledgement(packets.Pubrec, id))
	}
}

func (p *publisher) enqueue(pub *publish) {
	select {
	case p.queue <- pub:
	case <-p.l.closing.Done():
	}
}

// run acknowledges and fans out, in order, until the client has left and nothing is under way any more.
func (p *publisher) run() {
	for pub := range p.queue {
		<-pub.done
		if err := p.finish(pub); err != nil {
			p.l.cfg.Log.Debug("local: a message was not acknowledged", "client", p.cl.ID, "topic", pub.pk.TopicName, "why", err)
		}
	}
}

func (p *publisher) finish(pub *publish) error {
	switch {
	case pub.first != nil:
		pub.err = pub.first.err
	case pub.err != nil:
		pub.staged.undo()
		close(pub.finished)
	default:
		pub.err = p.l.fanOut(pub.pk, pub.staged)
		close(pub.finished)
	}
	qos := pub.pk.FixedHeader.Qos
	switch {
	case pub.err != nil && qos > 0:
		p.l.mu.Lock()
		delete(p.l.unreleased, packetKey{p.cl.ID, pub.pk.PacketID})
		p.l.mu.Unlock()
		p.l.refuse(p.cl, pub.pk, pub.err)
		return pub.err
	case qos == 1:
		return p.cl.WritePacket(acknowledgement(packets.Puback, pub.pk.PacketID))
	case qos == 2:
		return p.cl.WritePacket(acknowledgement(packets.Pubrec, pub.pk.PacketID))
	}
	return pub.err
}

func acknowledgement(kind byte, id uint16) packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, PacketID: id}
}

func messageOf(pk packets.Packet) modems.Message {
	return modems.Message{
		Topic:   pk.TopicName,
		Payload: pk.Payload,
		QoS:     min(pk.FixedHeader.Qos, 1),
		Retain:  pk.FixedHeader.Retain,
	}
}
