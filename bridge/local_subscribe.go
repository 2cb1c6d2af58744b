package bridge

import (
	"encoding/binary"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// grant is a filter of a SUBSCRIBE that is being processed.
type grant struct {
	sub     packets.Subscription
	existed bool
	ok      bool
}

// subscribe notes what cl asks for. Until subscribed is called the library may do as it likes.
func (s *session) subscribe(cl *mqtt.Client, filters packets.Subscriptions) {
	grants := make([]grant, 0, len(filters)+1) // not nil, whatever cl asks for
	for _, sub := range filters {
		_, existed := cl.State.Subscriptions.Get(sub.Filter)
		grants = append(grants, grant{sub: sub, existed: existed})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = grants
}

func (s *session) subscribing() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked != nil
}

// subscribed keeps what has been granted; of a lasting session on the disk, if it can be had.
func (s *session) subscribed(filters packets.Subscriptions, codes []byte) {
	s.mu.Lock()
	s.granted, s.asked = s.asked, nil
	for i := range s.granted {
		s.granted[i].ok = codes[i] <= packets.CodeGrantedQos2.Code
	}
	granted := s.granted
	s.mu.Unlock()
	if !s.lasting {
		return
	}
	for _, g := range granted {
		if g.ok {
			value := binary.AppendUvarint([]byte{encodeOptions(g.sub)}, uint64(g.sub.Identifier))
			s.l.store.set(subscriptionKey(s.id, g.sub.Filter), value)
		}
	}
	s.l.store.flush().wait() // an error has been logged; the store goes on trying
}

// sendRetained sends what is retained for the filters that have just been granted.
func (s *session) sendRetained() {
	s.mu.Lock()
	granted := s.granted
	s.granted = nil
	s.mu.Unlock()
	for _, g := range granted {
		if !g.ok || mqtt.IsSharedFilter(g.sub.Filter) || g.sub.RetainHandling == 2 || g.sub.RetainHandling == 1 && g.existed {
			continue // MQTT 5, sections 3.8.3.1 and 4.8.2
		}
		for _, pk := range s.l.server.Topics.Messages(g.sub.Filter) {
			if !system(pk.TopicName) { // those the library sends itself
				s.push(s.stage(outgoing(pk, g.sub, true)))
			}
		}
	}
	s.l.relieve()
}
