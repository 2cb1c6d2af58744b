package modemsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// The states of a client; from clientOpen on they are those that AT+QMTCONN? prints.
const (
	clientClosed    = -1
	clientOpening   = 0
	clientOpen      = 1
	clientConnect   = 2
	clientConnected = 3
)

// window is how many publishes may wait for their acknowledgement; the next one is
// refused with ERROR (MQTT AN V1.0, AT+QMTPUBEX).
const window = 5

// maxPayload is the most that one AT+QMTPUBEX takes (MQTT AN V1.0).
const maxPayload = 1500

// client is one of the six MQTT clients of the module.
type client struct {
	q       *quectel
	i       int
	ints    map[string][]int    // AT+QMTCFG
	strings map[string][]string // the same
	will    will

	state    int
	host     string
	port     int
	link     *link // nil while there is no connection
	waiting  *timer
	inFlight map[uint16]*exchange
	pinging  *timer // next PINGREQ
	ponging  *timer // the latest moment for PINGRESP
	hole     bool   // nothing passes any more (fault blackhole)
	inbox    [5]*packets.PublishPacket
	order    []int           // slots of inbox, oldest first
	seen     map[uint16]bool // QoS 2 messages received and not yet released
}

func newClient(q *quectel, i int) *client {
	c := &client{q: q, i: i, ints: map[string][]int{}, strings: map[string][]string{}, state: clientClosed}
	for _, k := range mqttKeys {
		if k.ranges != nil {
			c.ints[k.name] = slices.Clone(k.values)
		}
	}
	if q.f.viewMode {
		c.ints["view/mode"][0] = 1
	}
	return c
}

func (c *client) editTimeout() time.Duration {
	if e := c.ints["edit/timeout"]; e[0] == 1 {
		return time.Duration(e[1]) * time.Second
	}
	return 0
}

func (c *client) packetTimeout() time.Duration {
	return time.Duration(c.ints["timeout"][0]) * time.Second
}

// qmtopen is AT+QMTOPEN. It needs no AT+QIACT: the client activates its own context.
func (q *quectel) qmtopen(a *args) reply {
	c, host, port := q.clients[a.num(0, 5)], a.str(1, 100), a.num(1, 65535)
	if !a.end() {
		return failed
	}
	return c.begins(fmt.Sprintf("+QMTOPEN: %d,", c.i), func() {
		if c.state != clientClosed {
			q.result(fmt.Sprintf("+QMTOPEN: %d,2", c.i)) // occupied (seen after a host restarted)
			return
		}
		c.state, c.host, c.port = clientOpening, host, port
		q.after(q.between(q.lat.open, 5*q.lat.open), c.dial)
	})
}

// begins is async for a stack that may hang: it accepts, and does nothing.
func (c *client) begins(prefix string, start func()) reply {
	if c.q.stuck {
		return okay
	}
	return c.q.async(prefix, start)
}

func (c *client) dial() {
	q := c.q
	if c.state != clientOpening {
		return
	}
	cid := c.ints["pdpcid"][0]
	switch {
	case q.f.open.take():
		c.opened(q.f.open.n[0])
		return
	case !q.registered() || q.f.qiactError || q.nvm.contexts[cid] == nil:
		c.opened(3)
		return
	case q.drifted():
		c.opened(-1)
		return
	}
	q.pdp[cid] = true
	l := newLink(q.sim)
	c.link = l
	config, err := q.tlsConfig(c)
	if err != nil {
		c.opened(-1)
		return
	}
	l.patience = q.negotiation(c)
	l.dial(c.host, c.port, config, func(err error) {
		if c.link != l { // AT+QMTCLOSE was faster
			if err == nil {
				l.conn.Close()
			}
			return
		}
		c.opened(openResult(err))
		if err == nil {
			l.start(func(p packets.ControlPacket) { c.arrived(l, p) }, func(error) { c.broken(l) })
		}
	})
}

// openResult turns what Go says into what the module would (MQTT AN V1.0, AT+QMTOPEN).
// A TLS failure is -1, whatever is wrong.
func openResult(err error) int {
	var dns *net.DNSError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errHandshake):
		return -1
	case errors.As(err, &dns):
		return 4
	case errors.Is(err, context.DeadlineExceeded):
		return 5
	}
	return -1
}

func (c *client) opened(result int) {
	c.state = clientOpen
	c.inFlight, c.seen = map[uint16]*exchange{}, map[uint16]bool{}
	c.inbox, c.order = [5]*packets.PublishPacket{}, nil
	if result != 0 {
		c.unlink()
	}
	c.q.result(fmt.Sprintf("+QMTOPEN: %d,%d", c.i, result))
}

func (q *quectel) qmtopenRead() reply {
	for _, c := range q.clients {
		if c.state >= clientOpen {
			q.info(`+QMTOPEN: %d,"%s",%d`, c.i, c.host, c.port)
		}
	}
	return okay
}

func (q *quectel) qmtclose(a *args) reply {
	c := q.clients[a.num(0, 5)]
	if !a.end() || c.state == clientClosed && q.f.closeIdle == "error" {
		return failed
	}
	result := "0"
	if c.state == clientClosed {
		result = q.f.closeIdle
	}
	return c.begins(fmt.Sprintf("+QMTCLOSE: %d,", c.i), func() {
		c.unlink()
		q.after(q.f.lateClose, func() { q.result(fmt.Sprintf("+QMTCLOSE: %d,%s", c.i, result)) })
	})
}

func (q *quectel) qmtconnRead() reply {
	for _, c := range q.clients {
		if c.state >= clientOpen {
			q.info("+QMTCONN: %d,%d", c.i, c.state)
		}
	}
	return okay
}

func (q *quectel) qmtconn(a *args) reply {
	c, id := q.clients[a.num(0, 5)], a.str(0, 256)
	var user, pass *string
	if a.more() {
		u := a.str(0, 512)
		user = &u
	}
	if a.more() {
		p := a.str(0, 512)
		pass = &p
	}
	if !a.end() || c.state != clientOpen {
		return failed
	}
	c.state = clientConnect
	return c.begins(fmt.Sprintf("+QMTCONN: %d,", c.i), func() {
		q.after(q.lat.conn, func() { c.connect(id, user, pass) })
	})
}

func (c *client) connect(id string, user, pass *string) {
	if c.state != clientConnect {
		return
	}
	if c.q.f.conn.take() {
		c.refused(c.q.f.conn.n[0], c.q.f.conn.n[1])
		return
	}
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	if c.ints["version"][0] == 3 {
		p.ProtocolName, p.ProtocolVersion = "MQIsdp", 3
	}
	p.CleanSession = c.ints["session"][0] == 1
	p.Keepalive = uint16(c.ints["keepalive"][0])
	p.ClientIdentifier = id
	if ali := c.strings["aliauth"]; ali != nil && user == nil {
		p.ClientIdentifier, user, pass = aliyun(id, ali, c.ints["ssl"][0] == 1)
	}
	if user != nil {
		p.UsernameFlag, p.Username = true, *user
	}
	if pass != nil {
		p.PasswordFlag, p.Password = true, []byte(*pass)
	}
	if w := c.will; w.on {
		p.WillFlag, p.WillQos, p.WillRetain = true, byte(w.qos), w.retain == 1
		p.WillTopic, p.WillMessage = w.topic, w.message
	}
	c.send(p)
	c.waiting = c.q.after(c.packetTimeout(), func() {
		c.q.result(fmt.Sprintf("+QMTCONN: %d,2", c.i))
		c.lost(4) // CONNACK timeout
	})
}

// refused ends an AT+QMTCONN that did not succeed. The TCP connection is the broker's to close.
func (c *client) refused(result, code int) {
	c.q.cancel(c.waiting)
	c.state = clientOpen
	if result != 0 {
		c.q.result(fmt.Sprintf("+QMTCONN: %d,%d", c.i, result))
		return
	}
	c.q.result(fmt.Sprintf("+QMTCONN: %d,0,%d", c.i, code))
}

func (c *client) connected(p *packets.ConnackPacket) {
	if c.state != clientConnect {
		return
	}
	if p.ReturnCode != packets.Accepted {
		c.refused(0, int(p.ReturnCode))
		return
	}
	c.q.cancel(c.waiting)
	c.state = clientConnected
	c.q.result(fmt.Sprintf("+QMTCONN: %d,0,0", c.i))
	c.alive()
}

func (q *quectel) qmtdisc(a *args) reply {
	c := q.clients[a.num(0, 5)]
	if !a.end() || c.state != clientConnected {
		return failed
	}
	return c.begins(fmt.Sprintf("+QMTDISC: %d,", c.i), func() {
		c.send(packets.NewControlPacket(packets.Disconnect))
		c.unlink()
		q.result(fmt.Sprintf("+QMTDISC: %d,0", c.i))
	})
}

// alive puts the next PINGREQ off: it is due when nothing was sent for the keep-alive time.
func (c *client) alive() {
	every := time.Duration(c.ints["keepalive"][0]) * time.Second
	if c.state != clientConnected || every == 0 {
		return
	}
	if c.pinging != nil {
		c.pinging.at = c.q.now.Add(every)
		return
	}
	c.pinging = c.q.after(every, func() {
		c.pinging = nil
		if c.ponging == nil {
			c.ponging = c.q.after(time.Duration(c.ints["qmtping"][0])*time.Second, func() {
				c.ponging = nil
				c.q.urc(fmt.Sprintf("+QMTPING: %d,1", c.i))
				c.lost(2)
			})
		}
		c.send(packets.NewControlPacket(packets.Pingreq))
	})
}

// lost ends a connection that the host did not want to end.
func (c *client) lost(cause int) {
	q := c.q
	if q.stuck {
		return
	}
	if q.f.failInflight {
		for _, x := range c.sorted() {
			if x.name == q.publishes() {
				c.settle(x, 2)
			}
		}
	}
	c.unlink()
	q.urc(fmt.Sprintf("+QMTSTAT: %d,%d", c.i, cause))
	if q.early != "" { // the result that an OK waits for will not come
		q.early = ""
		q.finish(okay)
	}
}

func (c *client) broken(l *link) {
	if c.link == l && !c.hole {
		c.lost(1) // closed or reset by the server
	}
}

// unlink frees the client, whatever it was doing.
func (c *client) unlink() {
	if c.link != nil {
		c.link.close()
	}
	for _, t := range []*timer{c.waiting, c.pinging, c.ponging} {
		c.q.cancel(t)
	}
	for _, x := range c.inFlight {
		c.q.cancel(x.timer)
	}
	c.link, c.waiting, c.pinging, c.ponging, c.inFlight = nil, nil, nil, nil, nil
	c.state, c.hole = clientClosed, false
}

// send writes a packet, unless the air has a hole. Every packet counts as a sign of life.
func (c *client) send(p packets.ControlPacket) {
	if c.link == nil {
		return
	}
	if !c.hole && !c.link.send(p) {
		l := c.link
		c.q.after(0, func() {
			if c.link == l {
				c.lost(6) // sends keep failing
			}
		})
		return
	}
	c.alive()
}
