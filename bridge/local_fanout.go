package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// staged is a message with all who get it. A lasting session has it on the disk when disk, unless nil, is done.
type staged struct {
	to   []delivery
	disk *commit
}

type delivery struct {
	session *session
	parcel  *parcel
}

// subscribers are the sessions that get what is published as pk.
func (l *Local) subscribers(pk packets.Packet) map[*session]packets.Subscription {
	subs := l.server.Topics.Subscribers(pk.TopicName)
	if len(subs.Shared) > 0 {
		subs.SelectShared()
		subs.MergeSharedSelected()
	}
	to := make(map[*session]packets.Subscription, len(subs.Subscriptions))
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, sub := range subs.Subscriptions {
		if s := l.sessions[id]; s != nil && !(sub.NoLocal && pk.Origin == id) { // [MQTT-3.8.3-3] of MQTT 5
			to[s] = sub
		}
	}
	return to
}

// stage finds all who get pk, and begins to write for those who need it on the disk.
func (l *Local) stage(pk packets.Packet) staged {
	var st staged
	lasting := false
	for s, sub := range l.subscribers(pk) {
		p := s.stage(outgoing(pk, sub, false))
		st.to = append(st.to, delivery{s, p})
		lasting = lasting || s.lasting && p.pk.FixedHeader.Qos > 0
	}
	if lasting {
		st.disk = l.store.flush()
	}
	return st
}

// fanOut lets pk be sent once it is on the disk where it must be, and retains it if it says so. If it fails, it was
// for nobody.
func (l *Local) fanOut(pk packets.Packet, st staged) error {
	if st.disk != nil {
		if err := st.disk.wait(); err != nil {
			st.undo()
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
	}
	for _, d := range st.to {
		d.session.push(d.parcel)
	}
	l.relieve()
	if !pk.FixedHeader.Retain {
		return nil
	}
	l.retaining.Lock()
	l.server.Topics.RetainMessage(pk.Copy(false))
	l.storeRetained(pk)
	l.retaining.Unlock()
	if pk.FixedHeader.Qos == 0 { // nobody was promised anything
		return nil
	}
	if err := l.store.flush().wait(); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

func (st staged) undo() {
	for _, d := range st.to {
		d.session.forget(d.parcel)
	}
}

func (l *Local) storeRetained(pk packets.Packet) {
	if len(pk.Payload) == 0 { // [MQTT-3.3.1-10]
		l.store.set(retainedKey(pk.TopicName), nil)
		return
	}
	l.store.set(retainedKey(pk.TopicName), encodePublish(pk))
}

// relieve keeps all sessions together within their bounds, at the cost of the one that holds most.
func (l *Local) relieve() {
	for l.held.Load() > allBytes {
		var fullest *session
		most := 0
		l.mu.Lock()
		for _, s := range l.sessions {
			if _, n := s.load(); n > most {
				fullest, most = s, n
			}
		}
		l.mu.Unlock()
		if fullest == nil {
			return
		}
		fullest.mu.Lock()
		lost := fullest.lose()
		fullest.mu.Unlock()
		if !lost {
			return
		}
	}
}

// hold waits, for a while, until a subscriber that is connected and has too much to take has taken some of it.
func (l *Local) hold(ctx context.Context, pk packets.Packet) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Hold)
	defer cancel()
	for s := range l.subscribers(pk) {
		for {
			room := s.crowded()
			if room == nil {
				break
			}
			select {
			case <-room:
			case <-l.closing.Done():
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// checkTopic says what is wrong with a topic to publish to at the embedded broker, which takes control characters.
func checkTopic(topic string) error {
	if strings.ContainsAny(topic, "+#") { // [MQTT-3.3.2-2]
		return errors.New("a topic to publish to has no + or #")
	}
	return checkGrammar(topic)
}

// outgoing is pk as a subscriber gets it.
func outgoing(pk packets.Packet, sub packets.Subscription, retained bool) packets.Packet {
	pk.Connect = packets.ConnectParams{}
	pk.PacketID = 0
	pk.FixedHeader.Dup = false
	pk.FixedHeader.Qos = min(pk.FixedHeader.Qos, sub.Qos)
	pk.FixedHeader.Retain = retained || pk.FixedHeader.Retain && sub.RetainAsPublished // [MQTT-3.3.1-9], [MQTT-3.3.1-13] of MQTT 5
	pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 0, false
	pk.Properties.SubscriptionIdentifier = nil
	if sub.Identifier > 0 && len(sub.Identifiers) == 0 {
		pk.Properties.SubscriptionIdentifier = []int{sub.Identifier}
	}
	for _, id := range sub.Identifiers {
		if id > 0 {
			pk.Properties.SubscriptionIdentifier = append(pk.Properties.SubscriptionIdentifier, id)
		}
	}
	sort.Ints(pk.Properties.SubscriptionIdentifier)
	return pk
}

// encodePublish is how a message stands on the disk. The payload is the end of it.
func encodePublish(pk packets.Packet) []byte {
	pk.ProtocolVersion = 5 // whose properties are to survive
	pk.PacketID = 1        // any will do
	pk.Mods.AllowResponseInfo = true
	var b bytes.Buffer
	if err := pk.PublishEncode(&b); err != nil {
		panic(err) // only for want of a packet identifier
	}
	return b.Bytes()
}

// decodePublish refers to b.
func decodePublish(b []byte) (pk packets.Packet, err error) {
	if len(b) == 0 {
		return pk, errRecord
	}
	if err := pk.FixedHeader.Decode(b[0]); err != nil {
		return pk, err
	}
	body := bytes.NewReader(b[1:])
	n, _, err := packets.DecodeLength(body)
	if err != nil || n != body.Len() || pk.FixedHeader.Type != packets.Publish {
		return pk, errRecord
	}
	pk.ProtocolVersion = 5
	if err := pk.PublishDecode(b[len(b)-n:]); err != nil {
		return pk, err
	}
	pk.PacketID = 0
	pk.Created = time.Now().Unix()
	if rest := pk.Properties.MessageExpiryInterval; rest > 0 {
		pk.Expiry = pk.Created + int64(rest)
	}
	return pk, nil
}

// restore takes over what the store knows, before anybody is served.
func (l *Local) restore() {
	var broken []string
	for _, key := range l.store.keys() {
		if err := l.restoreKey(key, l.store.values[key]); err != nil {
			broken = append(broken, key)
			l.cfg.Log.Error("local: what was stored of a session cannot be used and is left out", "of", strings.ReplaceAll(key[1:], "\x00", " "), "why", err)
		}
	}
	for _, key := range broken {
		l.store.set(key, nil)
	}
}

// restoreKey is called in the order of the keys: a client comes before what is for it, and messages in their order.
func (l *Local) restoreKey(key string, value []byte) error {
	id, rest, _ := strings.Cut(key[1:], "\x00")
	s := l.sessions[id]
	d := decoder{b: value}
	switch {
	case key[0] == 'c':
		cl := l.server.NewClient(nil, "", id, false)
		cl.Properties.ProtocolVersion = d.byte()
		expiry := d.number()
		cl.Properties.Props.SessionExpiryInterval, cl.Properties.Props.SessionExpiryIntervalFlag = uint32(expiry), expiry > 0
		cl.Stop(packets.ErrServerShuttingDown)
		l.server.Clients.Add(cl)
		l.sessions[id] = newSession(l, id, true)
		return d.err
	case key[0] == 'r':
		pk, err := decodePublish(value)
		if err == nil {
			l.server.Topics.RetainMessage(pk)
		}
		return err
	case s == nil:
		return fmt.Errorf("%w: no such session", errRecord)
	case key[0] == 's':
		sub := packets.Subscription{Filter: rest}
		decodeOptions(&sub, d.byte())
		sub.Identifier = int(d.number())
		if d.err == nil && mqtt.IsValidFilter(rest, false) {
			l.server.Topics.Subscribe(id, sub)
			if cl, ok := l.server.Clients.Get(id); ok {
				cl.State.Subscriptions.Add(rest, sub)
			}
		}
		return d.err
	case key[0] == 'q':
		return s.restore(rest, value)
	}
	return errRecord
}

// The options of a subscription, as in MQTT 5, section 3.8.3.1.
func encodeOptions(sub packets.Subscription) byte {
	b := sub.Qos | sub.RetainHandling<<4
	if sub.NoLocal {
		b |= 1 << 2
	}
	if sub.RetainAsPublished {
		b |= 1 << 3
	}
	return b
}

func decodeOptions(sub *packets.Subscription, b byte) {
	sub.Qos, sub.RetainHandling = min(b&3, 2), b>>4&3
	sub.NoLocal, sub.RetainAsPublished = b&(1<<2) > 0, b&(1<<3) > 0
}
