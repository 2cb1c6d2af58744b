package cloudtest

import (
	"errors"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hook is what mochi-mqtt asks.
type hook struct {
	mqtt.HookBase
	c *Cloud
}

func (h *hook) ID() string { return "cloudtest" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnPublish:
		return true
	}
	return false
}

var errRefused = errors.New("refused")

// OnConnect answers a bad login by itself: the library has one code for all of them.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := connect{
		clientID: pk.Connect.ClientIdentifier, username: string(pk.Connect.Username), password: string(pk.Connect.Password),
		keepalive: pk.Connect.Keepalive, will: pk.Connect.WillFlag, secure: cl.Net.Listener == "secure",
	}
	d, no := h.c.platform.login(c, time.Now())
	if no != nil {
		h.c.note("CONNECT of %q: %s", c.clientID, no.why)
		return errors.Join(errRefused, h.c.server.SendConnack(cl, packets.Code{Code: no.code}, false, nil))
	}
	older := h.c.enter(cl, d, Login{d.name, c.clientID, c.username, c.password, c.secure, d.push != nil})
	if older != nil {
		older.Stop(errKicked)
	}
	return nil
}

// enter notes a session and returns the one that its device had.
func (c *Cloud) enter(cl *mqtt.Client, d device, l Login) (older *mqtt.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.push == nil { // to register is no session of the device
		for other, o := range c.sessions {
			if o.name == d.name && o.push == nil {
				older = other
				delete(c.sessions, other)
				c.kicked++
			}
		}
	}
	c.sessions[cl] = d
	c.logins = append(c.logins, l)
	return older
}

func (h *hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnSessionEstablished pushes what registration hands out, which nobody has subscribed to, and ends sessions in time.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	d := h.c.device(cl)
	if !d.ends.IsZero() {
		time.AfterFunc(time.Until(d.ends), func() { cl.Stop(errKicked) })
	}
	if d.push == nil {
		return
	}
	err := cl.WritePacket(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: d.push.topic, Payload: d.push.payload,
	})
	if err != nil {
		h.c.note("the answer to a registration could not be sent: %v", err)
	}
	time.AfterFunc(d.pushEnd, func() {
		if !cl.Closed() {
			h.c.note("a session for registration was not ended within %v", d.pushEnd)
			cl.Stop(errKicked)
		}
	})
}

func (c *Cloud) device(cl *mqtt.Client) device {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[cl]
}

func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	delete(h.c.sessions, cl)
}

// OnACLCheck: what a device may not subscribe to is answered with 0x80. Publishing is OnPublish's.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, publish bool) bool {
	d := h.c.device(cl)
	if publish || d.uses == nil || d.uses(topic) {
		return true
	}
	h.c.note("%s may not subscribe to %s", d.name, topic)
	return false
}

func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	d := h.c.device(cl)
	switch {
	case d.push != nil:
		h.c.note("%s published in a session for registration", d.name)
		return pk, packets.CodeSuccessIgnore
	case d.strict && (pk.FixedHeader.Qos == 2 || pk.FixedHeader.Retain):
		h.c.note("%s published with QoS %d, retain %v", d.name, pk.FixedHeader.Qos, pk.FixedHeader.Retain)
		cl.Stop(errKicked)
		return pk, packets.ErrRejectPacket
	case d.uses != nil && !d.uses(pk.TopicName):
		h.c.note("%s may not publish to %s", d.name, pk.TopicName)
		return pk, packets.CodeSuccessIgnore
	}
	h.c.mu.Lock()
	watchers := h.c.watchers
	h.c.mu.Unlock()
	for _, got := range watchers {
		got(Message{d.name, pk.TopicName, append([]byte(nil), pk.Payload...), pk.FixedHeader.Qos})
	}
	return pk, nil
}
