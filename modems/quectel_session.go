package modems

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	// The line of a QMTPUBEX; EC200x&EC600S manuals give no maximum, and 512 is what the family has been seen to take.
	quectelMaxTopic = 480

	// The manual's 300 ms and the 96 ms seen on an EC800M are for an idle module. It may be busy with the radio.
	qmtPublishTimeout = 10 * time.Second

	deliveryQueue = 256 // messages from the broker that wait to be taken
)

var qmtStatWords = map[int]string{ // MQTT 3.3.2
	1: "the broker closed the connection",
	2: "the broker did not answer PINGREQ",
	3: "the CONNECT packet could not be sent",
	4: "the broker did not answer CONNECT",
	5: "the broker closed the connection after DISCONNECT",
	6: "the module closed the connection because sending kept failing",
	7: "the link is down or the broker is unavailable",
	8: "the module closed the connection",
}

// quectelSession is one connected client of the module. Publishes are matched to their results by message id; the
// module acknowledges what it receives by itself.
type quectelSession struct {
	m    *Modem
	q    quectelMQTT
	stop func() // ends the routing of URCs to this session; until Close the module may push messages

	window  chan struct{} // a token for each unsettled publish
	zero    chan struct{} // a token while a QoS 0 publish, whose id is always 0, is unsettled
	inbound chan Delivery

	mu      sync.Mutex
	pending map[uint16]*quectelReceipt
	nextID  uint16

	done chan struct{}
	once sync.Once
	err  error
}

func newQuectelSession(m *Modem, q quectelMQTT, window int) *quectelSession {
	if window <= 0 || window > q.window {
		window = q.window
	}
	s := &quectelSession{
		m: m, q: q,
		window:  make(chan struct{}, window),
		zero:    make(chan struct{}, 1),
		inbound: make(chan Delivery, deliveryQueue),
		pending: map[uint16]*quectelReceipt{},
		done:    make(chan struct{}),
	}
	s.stop = m.router.on(s.handle, "+QMTPUBEX:", "+QMTPUB:", "+QMTRECV:", "+QMTSTAT:", "+QMTPING:", "+QIURC:",
		"RDY", "POWERED DOWN")
	for _, l := range m.takeEarly() {
		s.received(l)
	}
	return s
}

// Limits of QMTPUBEX.
func (s *quectelSession) Limits() Limits {
	return Limits{Topic: quectelMaxTopic, Payload: s.q.payload, Window: cap(s.window)}
}

// quectelReceipt settles when +QMTPUBEX has come with its id, or never will.
type quectelReceipt struct {
	settled chan struct{}
	outcome Outcome
	overdue *time.Timer // from OK on; guarded by the session's mutex
	free    func()
}

func (r *quectelReceipt) settle(outcome Outcome) {
	if r.overdue != nil {
		r.overdue.Stop()
	}
	r.outcome = outcome
	close(r.settled)
	r.free()
}

// Wait returns the outcome once it is known.
func (r *quectelReceipt) Wait(ctx context.Context) Outcome {
	select {
	case <-r.settled:
		return r.outcome
	case <-ctx.Done():
		return Unknown
	}
}

// Publish sends one QMTPUBEX: OK means that the module has the message, the result URC that the broker has it.
func (s *quectelSession) Publish(ctx context.Context, msg Message) (Receipt, error) {
	if err := s.fits(msg); err != nil {
		return nil, err
	}
	slot := s.window
	if msg.QoS == 0 {
		slot = s.zero
	}
	select {
	case slot <- struct{}{}:
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	id, r, ok := s.register(msg.QoS, func() { <-slot })
	if !ok {
		<-slot
		return nil, s.err
	}
	c := atcmd.Set("+QMTPUBEX", quectelClient, id, min(msg.QoS, 1), msg.Retain, msg.Topic, len(msg.Payload)).
		WithTimeout(qmtPublishTimeout)
	c.Payload = msg.Payload
	// From here on the caller's patience must not cut a payload short: it would be completed by the next command.
	_, err := s.m.Do(context.WithoutCancel(ctx), c)
	if err == nil {
		s.expect(id, r)
		return r, nil
	}
	s.settle(id, Failed)
	if !atcmd.Refused(err) {
		s.end(fmt.Errorf("publish: %w", err))
		return nil, s.err
	}
	stands, errState := quectelStands(context.WithoutCancel(ctx), s.m, "+QMTCONN")
	if errState != nil || !stands {
		s.end(fmt.Errorf("publish: %w", err))
		return nil, s.err
	}
	return nil, fmt.Errorf("%w: %w", ErrRefused, err)
}

// fits refuses what can never pass, before a byte is sent.
func (s *quectelSession) fits(msg Message) error {
	_, err := atcmd.Quote(msg.Topic)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the topic holds what may not stand in an AT command: %w", ErrMessage, err)
	case msg.Topic == "" || strings.ContainsAny(msg.Topic, "+#"):
		return fmt.Errorf("%w: %q is no topic to publish to", ErrMessage, msg.Topic)
	case len(msg.Topic) > quectelMaxTopic:
		return fmt.Errorf("%w: a topic of %d bytes; the module takes %d", ErrMessage, len(msg.Topic), quectelMaxTopic)
	case len(msg.Payload) > s.q.payload:
		return fmt.Errorf("%w: %d bytes of payload; AT+QMTPUBEX takes %d", ErrMessage, len(msg.Payload), s.q.payload)
	case len(msg.Payload) == 0:
		return fmt.Errorf("%w: an empty payload, of which the manual of AT+QMTPUBEX does not say that it works", ErrMessage)
	}
	return nil
}

// register takes a free message id (1 to 65535; 0 for QoS 0 only) before the command is written; false: the session
// has ended, and nothing would settle the receipt.
func (s *quectelSession) register(qos byte, free func()) (uint16, *quectelReceipt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err() != nil {
		return 0, nil, false
	}
	r := &quectelReceipt{settled: make(chan struct{}), free: free}
	id := uint16(0)
	if qos > 0 {
		id = s.takeID()
	}
	s.pending[id] = r
	return id, r, true
}

// takeID finds an id that is not in flight. The caller holds the mutex; the window leaves most of them free.
func (s *quectelSession) takeID() uint16 {
	for {
		if s.nextID++; s.nextID == 0 {
			s.nextID = 1
		}
		if _, taken := s.pending[s.nextID]; !taken {
			return s.nextID
		}
	}
}

// expect starts the time in which the result must come, unless it has come before OK.
func (s *quectelSession) expect(id uint16, r *quectelReceipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[id] == r {
		r.overdue = time.AfterFunc(qmtResult, func() {
			s.end(fmt.Errorf("the result of publish %d did not come: %w", id, atcmd.ErrTimeout))
		})
	}
}

// settle ends the publish with this id, if it has not ended yet. A late or repeated result settles nothing.
func (s *quectelSession) settle(id uint16, outcome Outcome) {
	s.mu.Lock()
	r, ok := s.pending[id]
	delete(s.pending, id)
	s.mu.Unlock()
	if ok {
		r.settle(outcome)
	}
}

// Subscribe waits for SUBACK. A lower granted QoS is no failure (seen: asked 2, granted 1).
func (s *quectelSession) Subscribe(ctx context.Context, filter string, qos byte) error {
	value, err := s.packet(ctx, "+QMTSUB", filter, min(qos, 1))
	if err == nil && value == "128" {
		err = errors.New("the broker refused it")
	}
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	return nil
}

// Unsubscribe waits for UNSUBACK.
func (s *quectelSession) Unsubscribe(ctx context.Context, filter string) error {
	if _, err := s.packet(ctx, "+QMTUNS", filter); err != nil {
		return fmt.Errorf("unsubscribe from %s: %w", filter, err)
	}
	return nil
}

// packet sends +QMTSUB or +QMTUNS and returns the value behind a good result.
func (s *quectelSession) packet(ctx context.Context, name string, args ...any) (value string, err error) {
	s.mu.Lock()
	id := s.takeID()
	s.mu.Unlock()
	w := s.m.await(name+":", func(l atcmd.Line) bool {
		_, p, err := atcmd.ParseParams(l.Head)
		msgid, errID := p.Int(1)
		return err == nil && errID == nil && msgid == int(id) && p.Text(2) != "1" // 1 tells of a retransmission
	})
	defer w.stop()
	if _, err := s.m.Do(ctx, atcmd.Set(name, append([]any{quectelClient, id}, args...)...)); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, qmtResult)
	defer cancel()
	select {
	case l := <-w.found:
		_, p, err := atcmd.ParseParams(l.Head)
		if err == nil && p.Text(2) != "0" {
			err = fmt.Errorf("it could not be sent (%s)", l.Head)
		}
		return p.Text(3), err
	case <-s.done:
		return "", s.err
	case <-ctx.Done():
		return "", atcmd.ErrTimeout
	}
}

// Receive returns what the module has pushed, also after the session's end until all is taken.
func (s *quectelSession) Receive(ctx context.Context) (Delivery, error) {
	select {
	case d := <-s.inbound:
		return d, nil
	case <-s.done:
		select {
		case d := <-s.inbound:
			return d, nil
		default:
			return nil, s.err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// acknowledged is a message that the module has acknowledged by itself.
type acknowledged Message

func (a acknowledged) Message() Message { return Message(a) }
func (a acknowledged) Ack() error       { return nil }

// handle takes one URC. It runs on the router and never blocks.
func (s *quectelSession) handle(l atcmd.Line) {
	if strings.HasPrefix(l.Head, "+QMTRECV:") {
		s.received(l)
		return
	}
	name, p, err := atcmd.ParseParams(l.Head)
	client, errClient := p.Int(0)
	switch {
	case l.Head == "RDY" || l.Head == "POWERED DOWN":
		s.end(fmt.Errorf("%w (%s)", atcmd.ErrReboot, l.Head))
	case name == "+QIURC":
		if err == nil && p.Text(0) == "pdpdeact" && p.Text(1) == strconv.Itoa(quectelContext) {
			s.end(errors.New("the network ended the data connection (+QIURC: \"pdpdeact\")"))
		}
	case err != nil || errClient != nil || client != quectelClient:
		// another client's, or garbled: the result that is missed is missed in time
	case name == "+QMTSTAT":
		code, _ := p.Int(1)
		s.end(fmt.Errorf("%s (%s)", words(qmtStatWords, code), l.Head))
	case name == "+QMTPING":
		s.end(fmt.Errorf("the broker does not answer any more (%s)", l.Head))
	default:
		s.published(p)
	}
}

// published takes +QMTPUBEX: <client>,<msgid>,<result>[,<value>]; result 1 tells of a retransmission.
func (s *quectelSession) published(p atcmd.Params) {
	id, errID := p.Int(1)
	result, errResult := p.Int(2)
	if errID != nil || errResult != nil || id < 0 || id > 65535 {
		return
	}
	switch result {
	case 0:
		s.settle(uint16(id), Acked)
	case 2:
		s.settle(uint16(id), Failed)
	}
}

func (s *quectelSession) received(l atcmd.Line) {
	client, msg, err := receivedMessage(l)
	if err != nil {
		s.end(fmt.Errorf("a message from the broker cannot be read: %w", err))
		return
	}
	if client != quectelClient {
		return
	}
	msg.QoS = 1 // the module does not tell
	select {
	case s.inbound <- acknowledged(msg):
	default:
		s.end(ErrOverrun)
	}
}

// watch ends the session when the line is lost.
func (s *quectelSession) watch() {
	select {
	case <-s.done:
	case <-s.m.Done():
		s.end(s.m.Err())
	}
}

// Done is closed when the session has ended.
func (s *quectelSession) Done() <-chan struct{} { return s.done }

// Err is why it ended.
func (s *quectelSession) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// end ends the session for the first reason given. What is unsettled is unknown: the broker may have it.
func (s *quectelSession) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
		s.mu.Lock()
		left := s.pending
		s.pending = map[uint16]*quectelReceipt{}
		s.mu.Unlock()
		for _, r := range left {
			r.settle(Unknown)
		}
	})
}

// Close disconnects in order. What the module pushes until it has disconnected can still be received: it has
// acknowledged it.
func (s *quectelSession) Close(ctx context.Context) error {
	defer s.stop()
	defer s.end(ErrSessionClosed)
	if s.m.Err() != nil {
		return nil // the line is gone, and the module's session with it or not: the next dial cleans up
	}
	return quectelCleanUp(ctx, s.m, false)
}
