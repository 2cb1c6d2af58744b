package bridge

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hook is what mochi-mqtt asks. The library speaks MQTT, knows who subscribes to what and what is retained. Whatever a
// client is sent goes through its session; the library itself sends only $SYS.
type hook struct {
	mqtt.HookBase
	l *Local
}

func (h *hook) ID() string { return "atbridge" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect,
		mqtt.OnClientExpired, mqtt.OnPacketRead, mqtt.OnPacketProcessed, mqtt.OnSubscribe, mqtt.OnSubscribed,
		mqtt.OnUnsubscribed, mqtt.OnPublish, mqtt.OnWillSent, mqtt.OnRetainMessage, mqtt.OnRetainedExpired:
		return true
	}
	return false
}

func (h *hook) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	want := h.l.cfg
	if want.Username == "" && want.Password == "" {
		return true
	}
	user := subtle.ConstantTimeCompare(pk.Connect.Username, []byte(want.Username))
	password := subtle.ConstantTimeCompare(pk.Connect.Password, []byte(want.Password))
	return user&password == 1
}

// OnACLCheck is asked when a client subscribes or publishes, which all may, and before the library sends it a message
// itself, which it may not.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	return write || system(topic) || h.l.session(cl.ID).subscribing()
}

func system(topic string) bool { return strings.HasPrefix(topic, mqtt.SysPrefix) }

// OnSessionEstablish comes before CONNACK.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	h.l.establish(cl, pk.Connect.Clean)
}

// OnSessionEstablished comes after it.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	if s := h.l.session(cl.ID); s != nil {
		s.attach(cl)
	}
}

func (h *hook) OnDisconnect(cl *mqtt.Client, err error, expire bool) {
	if errors.Is(err, packets.ErrPacketTooLarge) { // the library does not say how large
		h.l.cfg.Log.Warn("local: a client is disconnected, because its packet is too large", "client", cl.ID, "most_bytes", maxPacket)
	}
	h.l.leave(cl)
	if s := h.l.session(cl.ID); s != nil && s.detach(cl) && expire {
		h.l.endSession(s)
	}
}

func (h *hook) OnClientExpired(cl *mqtt.Client) {
	if s := h.l.session(cl.ID); s != nil {
		h.l.endSession(s)
	}
}

// OnPacketRead sees every packet of a client before the library does.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	switch pk.FixedHeader.Type {
	case packets.Pubrel:
		h.l.release(cl, pk.PacketID)
	case packets.Puback, packets.Pubrec:
		if s := h.l.session(cl.ID); s != nil {
			s.acknowledged(cl, pk.PacketID)
		}
		if pk.FixedHeader.Type == packets.Pubrec { // the library answers with PUBREL, without a complaint only if it knows the id
			cl.State.Inflight.Set(acknowledgement(packets.Publish, pk.PacketID))
		}
	}
	return pk, nil
}

func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if s := h.l.session(cl.ID); s != nil {
		s.subscribe(cl, pk.Filters)
	}
	return pk
}

// OnSubscribed comes before SUBACK.
func (h *hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	if s := h.l.session(cl.ID); s != nil {
		s.subscribed(pk.Filters, codes)
	}
}

// OnPacketProcessed comes after SUBACK.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	if s := h.l.session(cl.ID); s != nil && pk.FixedHeader.Type == packets.Subscribe {
		s.sendRetained()
	}
}

func (h *hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	for _, sub := range pk.Filters {
		h.l.store.set(subscriptionKey(cl.ID, sub.Filter), nil)
	}
}

// OnPublish is called in the goroutine that reads from the client, before the acknowledgement. After
// ErrRejectPacket, and no other error, the library neither acknowledges nor fans out: then both are ours.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	h.l.publish(cl, pk)
	return pk, packets.ErrRejectPacket
}

// OnWillSent: the library has retained the will, if it says so, past OnPublish. There is nobody to acknowledge it to.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if h.l.closing.Err() != nil {
		return
	}
	h.l.accept(messageOf(pk), func(err error) {
		if err != nil {
			h.l.cfg.Log.Warn("local: a will could not be passed on", "client", cl.ID, "topic", pk.TopicName, "why", err)
		}
	})
	for _, d := range h.l.stage(pk).to {
		d.session.push(d.parcel)
	}
}

// OnRetainMessage is called for wills only.
func (h *hook) OnRetainMessage(_ *mqtt.Client, pk packets.Packet, _ int64) { h.l.storeRetained(pk) }

func (h *hook) OnRetainedExpired(topic string) { h.l.store.set(retainedKey(topic), nil) }

func (l *Local) session(id string) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[id]
}

// establish finds the session of cl, or begins one.
func (l *Local) establish(cl *mqtt.Client, clean bool) {
	props := cl.Properties.Props
	lasting := !clean
	if cl.Properties.ProtocolVersion == 5 {
		lasting = props.SessionExpiryIntervalFlag && props.SessionExpiryInterval > 0
	}
	old := l.session(cl.ID)
	if old != nil && !clean && old.lasting {
		return
	}
	if old != nil { // a clean session knows nothing of the one before it [MQTT-3.1.2-6]
		l.endSession(old)
	}
	if lasting {
		l.makeRoom()
		value := binary.AppendUvarint([]byte{cl.Properties.ProtocolVersion}, uint64(props.SessionExpiryInterval))
		l.store.set(clientKey(cl.ID), value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[cl.ID] = newSession(l, cl.ID, lasting)
}

// makeRoom ends the lasting session whose client has been away for longest, if there are too many.
func (l *Local) makeRoom() {
	var oldest *session
	n := 0
	l.mu.Lock()
	for _, s := range l.sessions {
		s.mu.Lock()
		if s.lasting {
			n++
			if s.client == nil && (oldest == nil || s.left.Before(oldest.left)) {
				oldest = s
			}
		}
		s.mu.Unlock()
	}
	l.mu.Unlock()
	if n < maxSessions || oldest == nil {
		return
	}
	l.cfg.Log.Warn("local: there are too many sessions; the one that was left first is ended", "client", oldest.id, "sessions", n)
	if cl, ok := l.server.Clients.Get(oldest.id); ok {
		l.server.UnsubscribeClient(cl)
		l.server.Clients.Delete(oldest.id)
	}
	l.endSession(oldest)
}

// endSession forgets s and all that is stored of it.
func (l *Local) endSession(s *session) {
	l.mu.Lock()
	if l.sessions[s.id] == s {
		delete(l.sessions, s.id)
	}
	for key := range l.unreleased {
		if key.client == s.id {
			delete(l.unreleased, key)
		}
	}
	l.mu.Unlock()
	s.end()
	if s.lasting {
		for _, key := range l.store.keys(clientKey(s.id), subscriptionKey(s.id, "")) {
			l.store.set(key, nil)
		}
		l.store.flush().wait() // it must not come back; an error has been logged, and the store goes on trying
	}
}
