package modems

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// deliveryQueue is how many messages from the broker may wait to be taken.
const deliveryQueue = 256

var errNotGranted = errors.New("the broker refused it") // SUBACK code 128

// nativeSession is what every session of a module's own MQTT stack shares: the publishes in flight, each matched to
// its result by packet identifier, the messages that have come, and the end. A family embeds it, hands it what it does
// its own way, and feeds it settle, deliver and end from the URCs it reads.
type nativeSession struct {
	m    *Modem
	spec nativeSpec
	stop func() // ends the routing of URCs to this session; until Close the module may push messages

	window  chan struct{} // a token for each unsettled publish
	zero    chan struct{} // a token while a QoS 0 publish, whose id is always 0, is unsettled
	inbound chan Delivery

	mu      sync.Mutex
	pending map[uint16]*nativeReceipt
	nextID  uint16
	spared  bool // it never came to stand

	done   chan struct{}
	once   sync.Once
	err    error
	closed atomic.Bool
}

// nativeSpec is what a family does its own way.
type nativeSpec struct {
	limits  Limits
	command string        // that publishes, as a person knows it
	result  time.Duration // from the module's OK to the result of a publish, at most

	// mute is how long after OK a publish of QoS 0 counts as sent where the firmware may print no result for it.
	// Zero: there is always a result.
	mute time.Duration

	// send gives the module msg as publish id. It returns nil once the module has it.
	send func(ctx context.Context, id uint16, msg Message) error

	// stands asks, after the module has refused a publish, whether the session is still there.
	stands func(ctx context.Context) (bool, error)

	// subscribe and unsubscribe return once the broker has granted it.
	subscribe   func(ctx context.Context, filter string, qos byte) error
	unsubscribe func(ctx context.Context, filter string) error

	// cleanUp ends what the module may have open, and within is how long that may take after a dial that failed.
	cleanUp func(ctx context.Context) error
	within  time.Duration
}

// begin makes s ready for its first URC. window is what the owner asked for; zero or too many: what the module allows.
func (s *nativeSession) begin(m *Modem, spec nativeSpec, window int) {
	if window > 0 && window < spec.limits.Window {
		spec.limits.Window = window
	}
	s.m, s.spec = m, spec
	s.window = make(chan struct{}, spec.limits.Window)
	s.zero = make(chan struct{}, 1)
	s.inbound = make(chan Delivery, deliveryQueue)
	s.pending = map[uint16]*nativeReceipt{}
	s.done = make(chan struct{})
}

// listen routes the URCs with these prefixes to handle, and first what was kept of an earlier session. When it stops, the
// keeping begins again, before: rather a message twice than never.
func (s *nativeSession) listen(handle func(atcmd.Line), prefixes ...string) {
	stop := s.m.router.on(handle, prefixes...)
	s.stop = sync.OnceFunc(func() {
		s.m.keepEarly()
		stop()
	})
	for _, l := range s.m.takeEarly() {
		handle(l)
	}
}

// Limits of the module's command.
func (s *nativeSession) Limits() Limits { return s.spec.limits }

// nativeReceipt settles when the result has come with its id, or never will.
type nativeReceipt struct {
	settled chan struct{}
	outcome Outcome
	overdue *time.Timer // from OK on; guarded by the session's mutex
	free    func()
}

func (r *nativeReceipt) settle(outcome Outcome) {
	if r.overdue != nil {
		r.overdue.Stop()
	}
	r.outcome = outcome
	close(r.settled)
	r.free()
}

// Wait returns the outcome once it is known.
func (r *nativeReceipt) Wait(ctx context.Context) Outcome {
	select {
	case <-r.settled:
		return r.outcome
	case <-ctx.Done():
		return Unknown
	}
}

// Publish sends one publish command: OK means that the module has the message, the result that the broker has it.
func (s *nativeSession) Publish(ctx context.Context, msg Message) (Receipt, error) {
	msg.QoS = min(msg.QoS, 2)
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
	// From here on the caller's patience must not cut a payload short: it would be completed by the next command.
	ctx = context.WithoutCancel(ctx)
	err := s.spec.send(ctx, id, msg)
	if err == nil {
		s.expect(id, r)
		return r, nil
	}
	s.settle(id, Failed)
	switch {
	case errors.Is(err, ErrMessage):
		return nil, err
	case !atcmd.Refused(err):
		s.end(fmt.Errorf("publish: %w", err))
		return nil, s.err
	}
	if stands, errState := s.spec.stands(ctx); errState != nil || !stands {
		s.end(fmt.Errorf("publish: %w", err))
		return nil, s.err
	}
	return nil, fmt.Errorf("%w: %w", ErrRefused, err)
}

// fits refuses what can never pass, before a byte is sent.
func (s *nativeSession) fits(msg Message) error {
	_, err := atcmd.Quote(msg.Topic)
	limits, command := s.spec.limits, s.spec.command
	switch {
	case err != nil:
		return fmt.Errorf("%w: the topic is %w", ErrMessage, err)
	case msg.Topic == "" || strings.ContainsAny(msg.Topic, "+#"):
		return fmt.Errorf("%w: %q is no topic to publish to", ErrMessage, msg.Topic)
	case len(msg.Topic) > limits.Topic:
		return fmt.Errorf("%w: a topic of %d bytes; %s takes %d", ErrMessage, len(msg.Topic), command, limits.Topic)
	case len(msg.Payload) > limits.Payload:
		return fmt.Errorf("%w: %d bytes of payload; %s takes %d", ErrMessage, len(msg.Payload), command, limits.Payload)
	case len(msg.Payload) == 0:
		return fmt.Errorf("%w: an empty payload, of which the manual of %s does not say that it works", ErrMessage, command)
	}
	return nil
}

// register takes a free message id (1 to 65535; 0 for QoS 0 only) before the command is written; false: the session
// has ended, and nothing would settle the receipt.
func (s *nativeSession) register(qos byte, free func()) (uint16, *nativeReceipt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err() != nil {
		return 0, nil, false
	}
	r := &nativeReceipt{settled: make(chan struct{}), free: free}
	id := uint16(0)
	if qos > 0 {
		id = s.freeID()
	}
	s.pending[id] = r
	return id, r, true
}

// takeID is an id for a packet that is not a publish.
func (s *nativeSession) takeID() uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.freeID()
}

// freeID finds an id that is not in flight. The caller holds the mutex; the window leaves most of them free.
func (s *nativeSession) freeID() uint16 {
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
func (s *nativeSession) expect(id uint16, r *nativeReceipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.pending[id] != r:
	case id == 0 && s.spec.mute > 0:
		r.overdue = time.AfterFunc(s.spec.mute, func() { s.settle(0, Acked) })
	default:
		r.overdue = time.AfterFunc(s.spec.result, func() {
			s.end(fmt.Errorf("the result of publish %d did not come: %w", id, atcmd.ErrTimeout))
		})
	}
}

// settle ends the publish with this id, if it has not ended yet. A late or repeated result settles nothing.
func (s *nativeSession) settle(id uint16, outcome Outcome) {
	s.mu.Lock()
	r, ok := s.pending[id]
	delete(s.pending, id)
	s.mu.Unlock()
	if ok {
		r.settle(outcome)
	}
}

// Subscribe waits for SUBACK. A lower granted QoS is no failure (seen: asked 2, granted 1), and not every module tells it.
func (s *nativeSession) Subscribe(ctx context.Context, filter string, qos byte) error {
	if err := s.spec.subscribe(ctx, filter, min(qos, 2)); err != nil {
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	return nil
}

// Unsubscribe waits for UNSUBACK.
func (s *nativeSession) Unsubscribe(ctx context.Context, filter string) error {
	if err := s.spec.unsubscribe(ctx, filter); err != nil {
		return fmt.Errorf("unsubscribe from %s: %w", filter, err)
	}
	return nil
}

// exchange sends c and returns the result URC that begins with prefix and that match accepts; it may come before OK.
func (s *nativeSession) exchange(ctx context.Context, c atcmd.Command, within time.Duration, prefix string, match func(atcmd.Line) bool) (atcmd.Line, error) {
	w := s.m.await(prefix, match)
	defer w.stop()
	if _, err := s.m.Do(ctx, c); err != nil {
		return atcmd.Line{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case l := <-w.found:
		return l, nil
	case <-s.done:
		return atcmd.Line{}, s.err
	case <-ctx.Done():
		return atcmd.Line{}, atcmd.ErrTimeout
	}
}

// acknowledged is a message that the module has acknowledged by itself.
type acknowledged Message

func (a acknowledged) Message() Message { return Message(a) }
func (a acknowledged) Ack() error       { return nil }

// deliver queues what the module has pushed.
func (s *nativeSession) deliver(msg Message) {
	if !s.queue(msg) {
		s.end(ErrOverrun)
	}
}

func (s *nativeSession) queue(msg Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spared {
		s.m.leave(msg)
		return true
	}
	select {
	case s.inbound <- acknowledged(msg):
		return true
	default:
		return false
	}
}

// Receive returns what the module has pushed, also after the session's end until all is taken.
func (s *nativeSession) Receive(ctx context.Context) (Delivery, error) {
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

// watch ends the session when the line is lost.
func (s *nativeSession) watch() {
	select {
	case <-s.done:
	case <-s.m.Done():
		s.end(s.m.Err())
	}
}

// Done is closed when the session has ended.
func (s *nativeSession) Done() <-chan struct{} { return s.done }

// Err is why it ended.
func (s *nativeSession) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// end ends the session for the first reason given. What is unsettled is unknown: the broker may have it.
func (s *nativeSession) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
		s.mu.Lock()
		left := s.pending
		s.pending = map[uint16]*nativeReceipt{}
		s.mu.Unlock()
		for _, r := range left {
			r.settle(Unknown)
		}
	})
}

// Close disconnects in order. What the module pushes until it has disconnected can still be received: it has
// acknowledged it. Where the line is gone, the next dial cleans up.
func (s *nativeSession) Close(ctx context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	defer s.stop()
	defer s.end(ErrSessionClosed)
	if s.m.Err() != nil {
		return nil
	}
	return s.spec.cleanUp(ctx)
}

// abandon gives up a session that never came to stand.
func (s *nativeSession) abandon(err error) {
	s.end(err)
	s.spare()
}

// spare ends the routing of URCs to such a session, and leaves to the modem what the module has pushed into it: it has
// acknowledged that to a broker.
func (s *nativeSession) spare() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spared = true
	for {
		select {
		case d := <-s.inbound:
			s.m.leave(d.Message())
		default:
			return
		}
	}
}

// undo gives up a session that never came to stand but may be open in the module. It returns why.
func (s *nativeSession) undo(ctx context.Context, err error) error {
	s.end(err)
	defer s.spare()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.spec.within)
	defer cancel()
	return errors.Join(err, s.spec.cleanUp(ctx))
}
