package bridge

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// session is what the broker keeps for one client, so that it gets its messages in their order: the library has no
// order beyond the second, loses what it cannot write at once, and knows nothing of a disk.
//
//   - What is waiting stands in queue; the first of them are in flight: sent, and not yet acknowledged.
//   - One goroutine, while a client is connected, sends: up to window ahead of the acknowledgements. A client that
//     does not read blocks it, and nobody else.
//   - A lasting session (clean session 0) has its messages of QoS 1 and 2 on the disk before their publisher gets its
//     acknowledgement, or the broker in the cloud gets ours.
type session struct {
	l       *Local
	id      string
	lasting bool

	mu      sync.Mutex
	changed sync.Cond // on mu
	client  *mqtt.Client
	window  int
	queue   []*parcel
	sent    int // the first of queue, which are in flight
	bytes   int
	nextSeq uint64
	ended   bool
	left    time.Time // when the last client did
	room    signal
	dropped int // since the log said so
	said    time.Time

	asked   []grant // by a SUBSCRIBE that the library looks at; nil: there is none
	granted []grant // by it
}

// parcel is one message for one session. Its packet identifier follows from its number, so that it is the same after
// a restart.
type parcel struct {
	seq   uint64
	pk    packets.Packet
	tried bool // it may have been sent before
}

func (p *parcel) size() int  { return parcelCost + len(p.pk.TopicName) + len(p.pk.Payload) }
func (p *parcel) id() uint16 { return uint16(p.seq%0xffff) + 1 }

const (
	parcelCost      = 1 << 10 // about what a parcel takes in memory besides
	sessionWindow   = 32
	sessionMessages = 10_000   // that may wait for one session
	sessionBytes    = 16 << 20 // and what they may hold
	allBytes        = 64 << 20 // and those of all sessions together
	maxSessions     = 1000     // lasting ones
)

func newSession(l *Local, id string, lasting bool) *session {
	s := &session{l: l, id: id, lasting: lasting, window: sessionWindow, left: time.Now()}
	s.changed.L = &s.mu
	return s
}

// attach lets cl have what waits. What was in flight goes first, again.
func (s *session) attach(cl *mqtt.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.sent, s.window = cl, 0, sessionWindow
	if limit := int(cl.Properties.Props.ReceiveMaximum); limit > 0 { // MQTT 5, section 3.1.2.11.3
		s.window = min(s.window, limit)
	}
	s.changed.Broadcast()
	go s.send(cl)
}

// detach: cl is gone. It reports whether cl was the session's client.
func (s *session) detach(cl *mqtt.Client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != cl {
		return false
	}
	s.client, s.sent, s.left = nil, 0, time.Now()
	for i := len(s.queue) - 1; i >= 0; i-- {
		if s.queue[i].pk.FixedHeader.Qos == 0 {
			s.remove(i)
		}
	}
	s.changed.Broadcast()
	s.room.fire()
	return true
}

// send writes to cl until it is gone.
func (s *session) send(cl *mqtt.Client) {
	for {
		p, again := s.next(cl)
		if p == nil {
			return
		}
		pk := p.pk
		pk.FixedHeader.Dup = again
		if pk.FixedHeader.Qos > 0 {
			pk.PacketID = p.id()
		}
		var err error
		if pk.Expiry == 0 || time.Now().Unix() < pk.Expiry { // MQTT 5, section 3.3.2.3.3
			err = cl.WritePacket(pk)
		} else {
			s.acknowledged(cl, pk.PacketID)
		}
		switch {
		case errors.Is(err, packets.ErrPacketTooLarge): // as if it had been sent [MQTT-3.1.2-25]
			s.acknowledged(cl, pk.PacketID)
		case err != nil: // the connection is closed, and the reading goroutine ends what there is to end
			return
		}
	}
}

// next waits for what may be sent to cl; nil: cl is gone.
func (s *session) next(cl *mqtt.Client) (p *parcel, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.client == cl && (s.sent == len(s.queue) || s.sent >= s.window) {
		s.changed.Wait()
	}
	if s.client != cl {
		return nil, false
	}
	p = s.queue[s.sent]
	if p.pk.FixedHeader.Qos == 0 {
		s.remove(s.sent)
		return p, false
	}
	s.sent++
	again, p.tried = p.tried, true
	return p, again
}

// acknowledged: cl has the message with this packet identifier.
func (s *session) acknowledged(cl *mqtt.Client, id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != cl {
		return
	}
	for i, p := range s.queue[:s.sent] {
		if p.id() == id {
			s.remove(i)
			return
		}
	}
}

// remove takes the i-th message out of the queue. The caller holds mu.
func (s *session) remove(i int) {
	p := s.queue[i]
	s.forget(p)
	s.hold(-p.size())
	if i == 0 {
		s.queue[0] = nil
		s.queue = s.queue[1:]
	} else {
		s.queue = slices.Delete(s.queue, i, i+1)
	}
	if i < s.sent {
		s.sent--
	}
	s.room.fire()
	s.changed.Broadcast()
}

// stage makes the message a parcel; a lasting session puts it on the disk, without waiting.
func (s *session) stage(pk packets.Packet) *parcel {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &parcel{seq: s.nextSeq, pk: pk}
	if s.lasting && pk.FixedHeader.Qos > 0 {
		value := encodePublish(pk)
		p.pk.Payload = value[len(value)-len(pk.Payload):] // held once
		s.l.store.set(parcelKey(s.id, p.seq), value)
	}
	s.nextSeq++
	return p
}

// forget takes p off the disk.
func (s *session) forget(p *parcel) {
	if s.lasting && p.pk.FixedHeader.Qos > 0 {
		s.l.store.set(parcelKey(s.id, p.seq), nil)
	}
}

// push lets p be sent. A queue that is full loses its oldest message: see Local.hold for who waits before that.
func (s *session) push(p *parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.client == nil && (!s.lasting || p.pk.FixedHeader.Qos == 0) {
		s.forget(p)
		return
	}
	s.queue = append(s.queue, p)
	s.hold(p.size())
	for (len(s.queue) > sessionMessages || s.bytes > sessionBytes) && s.lose() {
	}
	s.changed.Broadcast()
}

// hold counts n bytes that are held more. The caller holds mu.
func (s *session) hold(n int) {
	s.bytes += n
	s.l.held.Add(int64(n))
}

// lose drops the oldest message that is not in flight, and says so now and then. The caller holds mu.
func (s *session) lose() bool {
	if s.sent >= len(s.queue)-1 {
		return false
	}
	s.remove(s.sent)
	s.l.dropped.Add(1)
	s.dropped++
	if time.Since(s.said) >= 10*time.Second {
		s.l.cfg.Log.Warn("local: a subscriber takes too little, its oldest messages are dropped", "client", s.id, "messages", s.dropped)
		s.dropped, s.said = 0, time.Now()
	}
	return true
}

// crowded returns what to wait for before another message is pushed; nil: there is room, or nobody there to make any.
func (s *session) crowded() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || len(s.queue) < sessionMessages && s.bytes < sessionBytes {
		return nil
	}
	return s.room.wait()
}

// end: the session is over, and so is what waits in it.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.client = true, nil
	for _, p := range s.queue {
		s.forget(p)
	}
	s.hold(-s.bytes)
	s.queue, s.sent = nil, 0
	s.room.fire()
	s.changed.Broadcast()
}

// load is how many messages wait, and their bytes.
func (s *session) load() (messages, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue), s.bytes
}

// What the store knows: keys and values. Neither a client identifier nor a topic holds a zero byte [MQTT-1.5.3-2].
//
//	c id               a lasting session: version of MQTT, seconds until it expires
//	s id 0 filter      its subscription: options as in a SUBSCRIBE of MQTT 5, identifier
//	q id 0 number      a message for it: a PUBLISH of MQTT 5, whatever it will be sent as
//	r topic            a retained message, likewise
func clientKey(id string) string               { return "c" + id }
func subscriptionKey(id, filter string) string { return "s" + id + "\x00" + filter }
func parcelKey(id string, seq uint64) string {
	return "q" + id + "\x00" + string(binary.BigEndian.AppendUint64(nil, seq))
}
func retainedKey(topic string) string { return "r" + topic }

// restore takes a message over from the disk.
func (s *session) restore(number string, value []byte) error {
	if len(number) != 8 {
		return errRecord
	}
	pk, err := decodePublish(value)
	if err != nil {
		return err
	}
	p := &parcel{seq: binary.BigEndian.Uint64([]byte(number)), pk: pk, tried: len(s.queue) < sessionWindow}
	s.queue = append(s.queue, p)
	s.hold(p.size())
	s.nextSeq = p.seq + 1
	return nil
}
