package modems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// China Mobile's (OneMO) ML307 and relatives, LTE Cat.1. Sources, named below by these keys:
//
//	MQTT   China Mobile IoT MQTT User Manual V6.8.5 (2025-03-26)
//	EXT    China Mobile IoT Extended AT User Manual, 4G series, V1.7.4 (2025-03-26)
//	field  open drivers of products with ML307R and ML307C
//
// The MN316 and its relatives speak alike, but take no payload behind a prompt (MQTT 3.5).
func init() {
	Register(&Driver{
		Name:     "ml307",
		Title:    "China Mobile ML307 (A, R, C and others), ML302A, ML302S, ML305A, ML305M",
		TLS:      "no",
		Checked:  "documentation, and the manual's session as a transcript; no simulator, no module of our own yet",
		Models:   []string{"ML307", "ML302A", "ML302S", "ML305A", "ML305M"},
		Messages: `+MQTTURC: "publish"`,
		Grammar: atcmd.Grammar{
			// +MQTTPUB and the two behind it answer their commands. As URCs they come in order with the results that
			// bear the identifiers which they tell.
			URCs: []string{"+CREG:", "+CGREG:", "+CEREG:", "+CGEV:", "+CPIN:", "+CFUN:", "+CMTI:", "+CMT:", "+CDS:",
				"+MATREADY", "+MIPCALL:", "+MQTTURC:", "+MQTTPUB:", "+MQTTSUB:", "+MQTTUNSUB:"},
			Reboot: ml307Reboot,
			Block:  ml307Block,
			Whole:  wholeMessage,
		},
		Attach: func(ctx context.Context, m *Modem) error { // bare AT+CGSN: a serial number on an ML307C (field)
			r, err := m.Do(ctx, atcmd.Set("+CGSN", 1))
			if imei := bare(r, "+CGSN"); imei != "" {
				m.learn(func(id *Identity, _ *Network) { id.IMEI = imei })
			}
			if atcmd.Refused(err) {
				return nil
			}
			return err
		},
		Activate: func(ctx context.Context, m *Modem, pdp PDPConfig) (string, error) {
			address, err := activate27007(ctx, m, pdp)
			if err != nil {
				return "", err
			}
			return address, m.try(ctx, atcmd.Set("+MIPCALL", 1, 1)) // OK if its own connection stands already (EXT 4.17)
		},
		ICCID: func(ctx context.Context, c atcmd.Commander) (string, error) {
			r, err := c.Do(ctx, atcmd.Exec("+MCCID")) // EXT 4.6
			return bare(r, "+MCCID"), err
		},
		HasMQTT:    atcmd.Test("+MQTTCONN"), // MQTT 3.2
		MQTT:       ml307MQTT{},
		Disruptive: []string{"+MIPCALL", "+MREBOOT", "+MPOF", "+MQTTCFG", "+MQTTCONN", "+MQTTDISC", "+MQTTSUB", "+MQTTUNSUB", "+MQTTPUB", "+MQTTREAD"},
		Commands:   ml307Commands,
		Results:    ml307Results,
		Secretive:  []Secretive{{"+MQTTCONN", 2, false}},
	})
}

const (
	ml307Retrans = 20               // seconds until +MQTTURC: "timeout", the least (MQTT 3.1)
	ml307Result  = 30 * time.Second // and a margin; no maximum is documented for anything else
	ml307Connect = 60 * time.Second
	ml307Publish = 10 * time.Second
	ml307Ended   = 5 * time.Second
)

var ml307Reboot = []string{"+MATREADY", "REBOOTING", "POWER OFF"} // EXT 3.1 to 3.3

var ml307ConnWords = map[string]string{ // MQTT 3.9
	"1": "the connection to the broker was lost",
	"2": "the module disconnected",
	"3": "the broker refused the connection: protocol version, client identifier, user name or password",
	"4": ErrByBroker.Error(),
	"5": "the broker did not answer PINGREQ",
	"6": "the network failed",
}

// ml307Published begins a message (MQTT 3.9): client, identifier, topic, bytes of the payload and of this part of it.
var ml307Published = regexp.MustCompile(`^\+MQTTURC: "publish",(\d+),(\d+),(".+"|[^",]+),(\d+),(\d+),$`)

func ml307Block(head []byte) (skip, n int, ok bool) {
	f := ml307Published.FindSubmatch(head)
	if f == nil {
		return 0, 0, false
	}
	n, err := strconv.Atoi(string(f[5]))
	return 0, n, err == nil && n <= 64<<10
}

// ml307MQTT drives client 0. The manual names no bound of the publishes in flight.
type ml307MQTT struct{}

// Limits of AT+MQTTPUB (MQTT 3.5).
func (ml307MQTT) Limits() Limits { return Limits{Topic: 256, Payload: 1024, Window: 4} }

type ml307Session struct {
	nativeSession
	ids     map[int]uint16 // the module's packet identifiers of our publishes; only the router touches it
	part    Message        // of a message that comes in parts, and its identifier; only the router touches them
	partID  string
	up      atomic.Bool // connected, and not closing
	sending sync.Mutex  // the module chooses the identifiers: who waits for one must be alone
	asking  sync.Mutex
}

func (q ml307MQTT) DialMQTT(ctx context.Context, m *Modem, cfg MQTTConfig) (Session, error) {
	if cfg.TLS != nil {
		return nil, fmt.Errorf("%w: mqtts on the module's own stack: this driver writes no certificates; let the host do it (path.mode: tcp or host), or use mqtt://", ErrUnsupported)
	}
	will := Message{}
	if cfg.Will != nil {
		will = *cfg.Will
	}
	if err := (textLimits{host: 128, name: 128, password: 256, topic: 256, will: 256}).suits(cfg); err != nil {
		return nil, err
	}
	m.opts.Progress("opening the MQTT session")
	s := &ml307Session{ids: map[int]uint16{}}
	s.begin(m, nativeSpec{
		limits:      q.Limits(),
		command:     "AT+MQTTPUB",
		result:      ml307Result,
		send:        s.send,
		stands:      s.stands,
		subscribe:   s.subscribe,
		unsubscribe: s.unsubscribe,
		cleanUp:     s.cleanUp,
		within:      2 * ml307Ended,
	}, cfg.Window)
	s.listen(s.handle, append([]string{"+MQTTURC:", "+MIPCALL:"}, ml307Reboot...)...)
	if err := s.dial(ctx, cfg, will); err != nil {
		return nil, s.undo(ctx, err)
	}
	go s.watch()
	return s, nil
}

// dial disconnects what an earlier run has left, because settings are refused while it stands, writes them, and connects.
func (s *ml307Session) dial(ctx context.Context, cfg MQTTConfig, will Message) error {
	if err := s.cleanUp(ctx); err != nil {
		return fmt.Errorf("ending an earlier session: %w", err)
	}
	alive := 0 // seconds, or never (MQTT 3.1)
	if cfg.KeepAlive > 0 {
		alive = min(max(int(cfg.KeepAlive/time.Second), 60), 65535)
	}
	set := func(key string, values ...any) atcmd.Command {
		return atcmd.Set("+MQTTCFG", append([]any{key, 0}, values...)...)
	}
	settings := []atcmd.Command{
		set("version", 4), set("clean", cfg.CleanSession), set("keepalive", alive), set("pingreq", max(alive, 60)), set("retrans", ml307Retrans, 0),
		set("encoding", 0, 0), set("cached", 0), set("reconn", 0), // as it is, at once, and a loss is a loss
		set("willoption", cfg.Will != nil, min(will.QoS, 2), will.Retain),
	}
	if cfg.Will != nil {
		settings = append(settings, set("willpayload", will.Topic, string(will.Payload)))
	}
	if err := s.m.try(ctx, set("ssl", 0)); err != nil { // not every model has it
		return err
	}
	for _, c := range settings {
		if _, err := s.m.Do(ctx, c); err != nil {
			return fmt.Errorf("configuring MQTT: %w", err)
		}
	}
	connect := atcmd.Set("+MQTTCONN", 0, cfg.Host, cfg.Port, cfg.ClientID, cfg.Username, cfg.Password).WithSecret(cfg.Password)
	l, err := s.exchange(ctx, connect, ml307Connect, "+MQTTURC:", func(l atcmd.Line) bool {
		p := ml307Event(l)
		return p.Text(0) == "conn" && p.Text(2) != "2" // that is of the session before
	})
	if state := ml307Event(l).Text(2); err == nil && state != "0" {
		err = errors.New(ml307Words(state))
	}
	if err != nil {
		return fmt.Errorf("the modem cannot reach %s port %d: %w", cfg.Host, cfg.Port, err)
	}
	return nil
}

func ml307Words(state string) string { return cmp.Or(ml307ConnWords[state], "state "+state) }

// cleanUp disconnects. Mostly there is nothing to end, and the module says so.
func (s *ml307Session) cleanUp(ctx context.Context) error {
	s.up.Store(false)
	_, err := s.exchange(ctx, atcmd.Set("+MQTTDISC", 0), ml307Ended, "+MQTTURC:", func(l atcmd.Line) bool { return ml307Event(l).Text(0) == "conn" })
	if atcmd.Refused(err) || s.m.Err() == nil && ctx.Err() == nil && !errors.Is(err, atcmd.ErrReboot) {
		return nil
	}
	return err
}

// ml307Event is a +MQTTURC about our client: what, client, and what belongs to it; else nothing.
func ml307Event(l atcmd.Line) atcmd.Params {
	name, p, err := atcmd.ParseParams(l.Head)
	if err != nil || name != "+MQTTURC" || p.Text(1) != "0" {
		return nil
	}
	return p
}

// send publishes behind a prompt, where every byte passes. The module says which identifier the message has got.
func (s *ml307Session) send(ctx context.Context, id uint16, msg Message) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	c := atcmd.Set("+MQTTPUB", 0, msg.Topic, msg.QoS, msg.Retain, 0, len(msg.Payload)).WithTimeout(ml307Publish)
	c.Payload = msg.Payload
	_, err := s.exchange(ctx, c, ml307Ended, "+MQTTPUB:", func(l atcmd.Line) bool {
		_, p, err := atcmd.ParseParams(l.Head)
		own, errOwn := p.Int(1)
		if err != nil || errOwn != nil || p.Text(0) != "0" {
			return false
		}
		if msg.QoS > 0 {
			s.ids[own] = id
		}
		return true
	})
	if err == nil && msg.QoS == 0 { // nothing more is told of it (MQTT 3.5)
		s.settle(id, Acked)
	}
	return err
}

// stands asks for the state; 2 is connected (MQTT 3.7).
func (s *ml307Session) stands(ctx context.Context) (bool, error) {
	r, err := s.m.Do(ctx, atcmd.Set("+MQTTSTATE", 0))
	return bare(r, "+MQTTSTATE") == "2", err
}

func (s *ml307Session) subscribe(ctx context.Context, filter string, qos byte) error {
	code, err := s.ask(ctx, "+MQTTSUB", filter, qos)
	if err == nil && code == "128" {
		err = errNotGranted
	}
	return err
}

func (s *ml307Session) unsubscribe(ctx context.Context, filter string) error {
	_, err := s.ask(ctx, "+MQTTUNSUB", filter)
	return err
}

// ask sends a packet and returns the code in the broker's answer, which bears the identifier that the module has told.
func (s *ml307Session) ask(ctx context.Context, name string, args ...any) (code string, err error) {
	s.asking.Lock()
	defer s.asking.Unlock()
	own := ""
	l, err := s.exchange(ctx, atcmd.Set(name, append([]any{0}, args...)...), ml307Result, "+MQTT", func(l atcmd.Line) bool {
		if n, p, err := atcmd.ParseParams(l.Head); err == nil && n == name {
			own = p.Text(1)
		}
		return own != "" && ml307Event(l).Text(2) == own && ml307Event(l).Text(0) != "publish"
	})
	p := ml307Event(l)
	if p.Text(0) == "timeout" {
		err = fmt.Errorf("the broker did not answer: %w", atcmd.ErrTimeout)
	}
	return p.Text(3), err
}

// handle takes one URC. It runs on the router and never blocks.
func (s *ml307Session) handle(l atcmd.Line) {
	p := ml307Event(l)
	name, call, _ := atcmd.ParseParams(l.Head)
	switch {
	case slices.Contains(ml307Reboot, l.Head):
		s.end(fmt.Errorf("%w (%s)", atcmd.ErrReboot, l.Head))
	case name == "+MIPCALL" && call.Text(0) == "1" && call.Text(1) == "0":
		s.end(errors.New("the network ended the data connection (+MIPCALL: 1,0)"))
	case strings.HasPrefix(l.Head, `+MQTTURC: "publish"`):
		s.received(l)
	case p.Text(0) == "conn":
		if s.up.Swap(p.Text(2) == "0") && p.Text(2) != "0" {
			s.end(sessionLost(ml307Words(p.Text(2)), l.Head))
		}
	case p.Text(0) == "puback", p.Text(0) == "pubcomp":
		s.published(p, Acked)
	case p.Text(0) == "timeout": // the broker may have it
		s.published(p, Unknown)
	case p.Text(0) == "pubnmi", p.Text(0) == "drop":
		s.end(fmt.Errorf("the module keeps messages back, or has lost one (%s)", l.Head))
	}
}

func (s *ml307Session) published(p atcmd.Params, outcome Outcome) {
	own, _ := p.Int(2)
	if id, ok := s.ids[own]; ok {
		delete(s.ids, own)
		s.settle(id, outcome)
	}
}

// received puts a message together: of more than 512 bytes it comes in parts (MQTT 3.9).
func (s *ml307Session) received(l atcmd.Line) {
	f := ml307Published.FindStringSubmatch(l.Head)
	if f == nil || l.Tail != "" || strconv.Itoa(len(l.Block)) != f[5] {
		s.unreadable(l, errors.New("it does not end where its length says"))
		return
	}
	if f[1] != "0" {
		return
	}
	topic, _ := unquote(f[3])
	total, _ := strconv.Atoi(f[4])
	if s.part.Topic != "" && (s.part.Topic != topic || s.partID != f[2]) {
		s.unreadable(l, errors.New("parts of the one before it are missing"))
		s.part = Message{}
	}
	s.part.Topic, s.part.QoS, s.partID = topic, 1, f[2] // its QoS is not told
	s.part.Payload = append(s.part.Payload, l.Block...)
	switch n := len(s.part.Payload); {
	case n < total:
		return
	case n == total:
		s.deliver(s.part)
	default:
		s.unreadable(l, errors.New("its parts are more than it says"))
	}
	s.part = Message{}
}
