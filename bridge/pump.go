package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/modems"
)

const (
	// maxRefusals is how often a module may refuse one message, while its session stands, before it is set aside.
	// Between the tries lie 1, 2, 3 and 4 s: it may refuse because it is busy, or because a prompt was lost.
	maxRefusals = 5

	// grace is how long an orderly stop waits for the acknowledgements of what has been sent.
	grace = 5 * time.Second
)

// sent is a message on its way.
type sent struct {
	entry   *Entry
	receipt modems.Receipt
	at      time.Time

	fence chan<- struct{} // if not nil, all there is: closed when what was sent before is settled
}

// pumpUp carries messages from the outbox to the session until the session ends, ctx ends, or the queue fails. When
// it returns, every message it took is settled or given back.
func (b *Bridge) pumpUp(ctx context.Context, s modems.Session, topic func(string) string, w way) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	inFlight := make(chan sent, max(1, s.Limits().Window))
	collected := make(chan error, 1)
	go func() { collected <- b.collect(ctx, s, inFlight, cancel) }()
	err := b.publish(ctx, s, topic, w, inFlight)
	close(inFlight)
	if errCollect := <-collected; errCollect != nil {
		return errCollect // what the receipts say comes first: publish only ended because of it
	}
	return err
}

// publish takes the next message and hands it to the session, again and again.
func (b *Bridge) publish(ctx context.Context, s modems.Session, topic func(string) string, w way, inFlight chan<- sent) error {
	refusals := map[uint64]int{} // by id: a refused one is the next again, or the next of its lane
	for {
		e, err := b.outbox.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil // whoever ended it says why
			}
			return fmt.Errorf("the queue: %w", err)
		}
		b.progress()
		m := e.Message()
		if topic != nil {
			m.Topic = topic(m.Topic)
		}
		if why := b.suspect.guilty(e.ID(), time.Now()); why != nil {
			if err := b.setAside(e, m.Topic, why); err != nil {
				return err
			}
			continue
		}
		alone := b.apart(ctx, e.ID(), inFlight)
		if ctx.Err() != nil {
			return e.Undelivered()
		}
		var r modems.Receipt
		at := time.Now()
		unfit := b.outgoing(e.ID(), &m)
		if err = unfit; err == nil {
			r, err = s.Publish(ctx, m)
		}
		if errors.Is(err, modems.ErrRefused) {
			refusals[e.ID()]++
		} else {
			delete(refusals, e.ID())
		}
		switch {
		case err == nil:
			b.awaiting()
			inFlight <- sent{entry: e, receipt: r, at: at}
			if alone {
				settled(ctx, inFlight)
			}
			continue
		case errors.Is(err, modems.ErrMessage) && unfit == nil && w.detour(time.Now()):
			return errors.Join(e.Undelivered(), otherPath{e.ID(), err})
		case errors.Is(err, modems.ErrMessage), refusals[e.ID()] == maxRefusals:
			delete(refusals, e.ID())
			if errors.Is(err, modems.ErrMessage) && unfit == nil && w.other {
				err = fmt.Errorf("%w; and path tcp does not work: %w", err, w.bar.why)
			}
			if err := b.setAside(e, m.Topic, err); err != nil {
				return err
			}
			continue
		case errors.Is(err, modems.ErrRefused):
			b.log.Warn("the module refused a message; it is tried again", "id", e.ID(), "topic", m.Topic, "why", err)
			err = e.Undelivered()
			pause(ctx, time.Duration(refusals[e.ID()])*time.Second)
		default:
			b.suspect.cut(e.ID(), at)
			return errors.Join(e.Undelivered(), err)
		}
		if err != nil {
			return fmt.Errorf("the queue: %w", err)
		}
	}
}

// setAside keeps e for a person to look at.
func (b *Bridge) setAside(e *Entry, topic string, why error) error {
	b.log.Warn("a message is set aside", "id", e.ID(), "topic", topic, "attempts", e.Attempts(), "why", why)
	if err := e.Poison(why); err != nil {
		return fmt.Errorf("the queue: %w", err)
	}
	return nil
}

// apart makes ready for the test of a suspect: all that was sent before is settled, and the session has stood for a while
// without it. It reports whether id is one.
func (b *Bridge) apart(ctx context.Context, id uint64, inFlight chan<- sent) bool {
	stand, yes := b.suspect.tested(id)
	if yes {
		settled(ctx, inFlight)
		quiet := time.Now()
		pause(ctx, stand)
		if ctx.Err() == nil { // else it may be the one that this session has just ended at
			b.suspect.testing(time.Since(quiet))
		}
	}
	return yes
}

// settled waits until all that was sent is settled, or ctx ends.
func settled(ctx context.Context, inFlight chan<- sent) {
	fence := make(chan struct{})
	inFlight <- sent{fence: fence}
	select {
	case <-fence:
	case <-ctx.Done():
	}
}

// awaiting: one more acknowledgement is due.
func (b *Bridge) awaiting() {
	if b.inFlight.Add(1) == 1 {
		select {
		case b.due <- struct{}{}:
		default: // probe has not looked since the last time
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// collect settles messages as their receipts settle, in the order in which they were sent. The first that is not
// acknowledged ends the session: all behind it go again, in order, on the next one.
func (b *Bridge) collect(ctx context.Context, s modems.Session, inFlight <-chan sent, cancel func()) error {
	patient, impatient := context.WithCancel(context.WithoutCancel(ctx))
	defer impatient()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, impatient) })
	defer stop()
	var failed error
	stuck := false
	for f := range inFlight {
		if f.fence != nil {
			close(f.fence)
			continue
		}
		outcome := f.receipt.Wait(patient)
		b.inFlight.Add(-1)
		var err error
		if outcome == modems.Acked {
			err = f.entry.Delivered()
			b.upDelivered.Add(1)
			b.suspect.delivered(f.entry.ID(), f.entry.Message().QoS)
		} else {
			if !stuck {
				stuck = true
				b.suspect.left(f.entry.ID(), f.at)
			}
			err = f.entry.Undelivered()
			if failed == nil && ctx.Err() == nil {
				cancel() // what is behind it must not overtake it
				if !endsNow(s) {
					failed = fmt.Errorf("the module could not deliver message %d (%s)", f.entry.ID(), outcome)
				}
			}
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("the queue: %w", err)
		}
		if failed != nil {
			cancel()
		}
		b.progress()
	}
	return failed
}

// reasonWithin is how long after it has reported a publish as failed a module may say that the session has ended, and why.
const reasonWithin = time.Second

// endsNow reports whether s has ended, or does so within that time.
func endsNow(s modems.Session) bool {
	t := time.NewTimer(reasonWithin)
	defer t.Stop()
	select {
	case <-s.Done():
		return true
	case <-t.C:
		return false
	}
}

// pumpDown carries messages from the session to local clients until the session has ended and all is taken.
func (b *Bridge) pumpDown(ctx context.Context, s modems.Session) error {
	delivering, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // while the session stands the cloud waits; when it has ended, the local side has a little longer
		select {
		case <-s.Done():
			pause(delivering, grace)
			cancel()
		case <-delivering.Done():
		}
	}()
	if err := b.handLeft(delivering); err != nil {
		return err
	}
	for {
		d, err := s.Receive(ctx)
		if err != nil {
			return nil // the session says why it ended
		}
		if err := b.hand(delivering, d.Message()); err != nil {
			return err
		}
		if err := d.Ack(); err != nil {
			return fmt.Errorf("acknowledging to the broker: %w", err)
		}
		b.progress()
	}
}

// hand gives a message from the cloud to whom it is for. The answer to it, if there is one, is on the disk before this
// returns: the cloud sends what is acknowledged no second time.
func (b *Bridge) hand(ctx context.Context, m modems.Message) error {
	b.downReceived.Add(1)
	wanted := b.direct.tell(m)
	to, r, ok := b.down.Load().Map(m.Topic)
	if !ok {
		if !wanted { // by a person
			b.log.Warn("a message from the broker that no route takes", "topic", m.Topic)
		}
		return nil
	}
	from := m.Topic
	m.Topic, m.QoS = to, r.QoS
	answer, err := b.incoming(from, &m)
	if err != nil {
		return err
	}
	if err := b.deliver(ctx, m); err != nil {
		return fmt.Errorf("delivering to local clients: %w", err)
	}
	b.looped(to, r)
	if err := b.answer(ctx, answer); err != nil {
		return fmt.Errorf("queueing the answer to a message: %w", err)
	}
	return nil
}

// maxLeft bounds what is kept of dials that failed.
const maxLeft = 1024

// takeLeft takes over what the module has pushed for a dial that has failed: the modem may not be there any more when a
// session stands, or the session may take the other path.
func (b *Bridge) takeLeft() {
	m, err := b.Modem()
	if err != nil {
		return // there is none on this path
	}
	b.left = append(b.left, m.TakeLeft()...)
	if n := len(b.left) - maxLeft; n > 0 {
		b.log.Error("messages that the module has pushed are lost: too many of them, and no session", "messages", n)
		b.left = b.left[n:]
	}
}

// handLeft hands on what takeLeft has kept.
func (b *Bridge) handLeft(ctx context.Context) error {
	for len(b.left) > 0 {
		if err := b.hand(ctx, b.left[0]); err != nil {
			return err
		}
		b.left = b.left[1:]
	}
	return nil
}

// deliver hands m to the local side, and tries again until ctx ends: the broker keeps what is not acknowledged, and
// what comes behind it.
func (b *Bridge) deliver(ctx context.Context, m modems.Message) error {
	said := false
	for {
		err := b.local.Deliver(ctx, m)
		switch {
		case err == nil:
			b.downDelivered.Add(1)
			return nil
		case errors.Is(err, modems.ErrMessage):
			b.log.Error("a message from the broker can never be delivered and is dropped", "why", err)
			return nil
		case ctx.Err() != nil:
			return err
		case !said:
			said = true
			b.log.Warn("a message from the broker cannot be delivered; it is tried again", "why", err)
		}
		pause(ctx, time.Second)
	}
}

func (b *Bridge) progress() {
	if b.cfg.Progress != nil {
		b.cfg.Progress()
	}
}
