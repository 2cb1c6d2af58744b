package modems

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// luatSession is the module's one MQTT session. Its results bear no packet identifier, so that one thing is on its way at
// a time: a publish until PUBACK, a subscription until SUBACK (FAQ).
type luatSession struct {
	nativeSession
	q        luatMQTT
	extended bool // AT+MPUBEX is there
}

// newLuatSession listens before the connection is there. counted is how many bytes AT+MPUBEX takes; 0: there is none.
func newLuatSession(m *Modem, q luatMQTT, counted, window int) *luatSession {
	s := &luatSession{q: q, extended: counted > 0}
	limits, command := q.Limits(), "AT+MPUBEX"
	limits.Payload = counted
	if !s.extended {
		limits.Payload, command = q.text, "AT+MPUB"
	}
	s.begin(m, nativeSpec{
		limits:      limits,
		command:     command,
		result:      luatResult,
		send:        s.send,
		subscribe:   s.subscribe,
		unsubscribe: s.unsubscribe,
		cleanUp:     func(ctx context.Context) error { return luatCleanUp(ctx, m) },
		within:      luatConnectTimeout,
		stands: func(ctx context.Context) (bool, error) {
			state, err := luatState(ctx, m)
			return state == "1", err
		},
	}, window)
	s.zero = s.window // QoS 0 waits its turn like everything else
	s.listen(s.handle, "")
	return s
}

// connect sends CONNECT. The module does not say why a broker refuses.
func (s *luatSession) connect(ctx context.Context, cfg MQTTConfig) error {
	keepAlive := int(cfg.KeepAlive / time.Second)
	if keepAlive <= 0 || keepAlive > 65535 {
		keepAlive = 65535 // the longest that there is (MQTT, MCONNECT); it has no "never"
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.done:
			cancel(s.err)
		case <-ctx.Done():
		}
	}()
	c := atcmd.Set("+MCONNECT", cfg.CleanSession, keepAlive).WithTimeout(luatConnectTimeout)
	c.Until = "CONNACK OK"
	_, err := s.m.Do(ctx, c)
	switch {
	case err == nil:
		return nil
	case s.Err() != nil:
		err = s.Err()
	case errors.Is(err, atcmd.ErrTimeout):
		return fmt.Errorf("the broker did not answer CONNECT: %w", err)
	case !atcmd.Refused(err):
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoReason, err)
}

// send publishes with AT+MPUBEX, whose data is counted and may hold anything, or with AT+MPUB.
func (s *luatSession) send(ctx context.Context, id uint16, msg Message) error {
	var err error
	if s.extended {
		c := atcmd.Set("+MPUBEX", msg.Topic, msg.QoS, msg.Retain, len(msg.Payload)).WithTimeout(qmtPublishTimeout)
		c.Payload = msg.Payload
		_, err = s.m.Do(ctx, c)
	} else {
		err = s.sendText(ctx, msg)
	}
	if err == nil && msg.QoS == 0 {
		s.settle(id, Acked) // OK is all there is
	}
	return err
}

// sendText publishes with AT+MPUB: as text with the documented escapes where they suffice, and in hex where the payload
// holds what has none. What comes in while hex is set may be printed in hex (not documented), so it is set for the one
// command only, and nothing can come between.
func (s *luatSession) sendText(ctx context.Context, msg Message) error {
	text, ok := luatEscape(msg.Payload)
	if !ok {
		text = hex.EncodeToString(msg.Payload)
	}
	if len(text) > s.q.text {
		return fmt.Errorf("%w: %d bytes of payload are %d in AT+MPUB, which takes %d", ErrMessage, len(msg.Payload), len(text), s.q.text)
	}
	publish := atcmd.Set("+MPUB", msg.Topic, msg.QoS, msg.Retain, text).WithTimeout(qmtPublishTimeout)
	if ok {
		_, err := s.m.Do(ctx, publish)
		return err
	}
	return s.m.engine.Exclusive(ctx, func(c atcmd.Commander) error {
		if _, err := c.Do(ctx, atcmd.Set("+MQTTMODE", 1)); err != nil {
			return err
		}
		_, err := c.Do(ctx, publish)
		_, errBack := c.Do(ctx, atcmd.Set("+MQTTMODE", 0))
		return errors.Join(err, errBack)
	})
}

// luatEscape writes p as the message of AT+MPUB (MQTT, MPUB). False: it holds control characters that have no escape.
func luatEscape(p []byte) (string, bool) {
	var b strings.Builder
	for _, c := range p {
		switch {
		case c == '"' || c == '\\' || c == '\r' || c == '\n':
			fmt.Fprintf(&b, `\%02X`, c)
		case c < ' ' || c == 0x7f:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

func (s *luatSession) subscribe(ctx context.Context, filter string, qos byte) error {
	return s.inTurn(ctx, atcmd.Set("+MSUB", filter, qos), "SUBACK")
}

func (s *luatSession) unsubscribe(ctx context.Context, filter string) error {
	return s.inTurn(ctx, atcmd.Set("+MUNSUB", filter), "UNSUBACK")
}

// inTurn waits until nothing else is on its way, sends c, and waits for its result.
func (s *luatSession) inTurn(ctx context.Context, c atcmd.Command, result string) error {
	select {
	case s.window <- struct{}{}:
		defer func() { <-s.window }()
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := s.exchange(ctx, c, luatResult, result, nil)
	return err
}

// handle takes one URC. It runs on the router and never blocks.
func (s *luatSession) handle(l atcmd.Line) {
	line := luatBare(luatMQTTLink, l.Head)
	switch {
	case strings.HasPrefix(line, "+MSUB:"):
		s.received(l)
	case line == "PUBACK" || line == "PUBCOMP":
		s.settleOnly(Acked)
	case line == "CLOSED":
		s.end(sessionLost(ErrByBroker.Error(), "CLOSED"))
	case strings.HasPrefix(line, "+PDP"), strings.HasPrefix(line, "+CGEV: NW PDN DEACT"), strings.HasPrefix(line, "+CGEV: ME PDN DEACT"):
		s.end(fmt.Errorf("the network ended the data connection (%s)", line))
	case line == "RDY" || line == "UART Boot Completed" || line == "NORMAL POWER DOWN" || strings.HasPrefix(line, "^boot.rom"):
		s.end(fmt.Errorf("%w (%s)", atcmd.ErrReboot, line))
	}
}

func (s *luatSession) received(l atcmd.Line) {
	msg, err := luatMessage(l)
	if err != nil {
		s.unreadable(l, err)
		return
	}
	s.deliver(msg)
}

// settleOnly settles the one publish of QoS 1 or 2 that is on its way.
func (s *luatSession) settleOnly(outcome Outcome) {
	s.mu.Lock()
	only := uint16(0)
	for id := range s.pending {
		only = max(only, id)
	}
	s.mu.Unlock()
	if only > 0 {
		s.settle(only, outcome)
	}
}
