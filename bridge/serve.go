package bridge

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/atbridge/atbridge/modems"
)

const closeTimeout = 10 * time.Second

type dialFunc func(ctx context.Context, cfg modems.MQTTConfig) (modems.Session, error)

// session dials the first broker that answers and pumps until something ends. It always returns an error, unless
// ctx has ended.
func (b *Bridge) session(ctx context.Context, w way, id modems.Identity, dial dialFunc) error {
	b.enter(Connecting, "")
	if err := b.prepare(ctx); err != nil {
		return err
	}
	target, err := b.target(id)
	if err != nil {
		return err
	}
	b.down.Store(&target.Down)
	var s modems.Session
	var failures []error
	unsupported := 0
	for _, broker := range target.Brokers {
		b.mu.Lock()
		b.path, b.cloud = w.path, CloudStatus{address(broker), broker.ClientID}
		b.mu.Unlock()
		if s, err = dial(ctx, broker); err == nil {
			break
		}
		b.takeLeft()
		if errors.Is(err, modems.ErrUnsupported) {
			unsupported++
		}
		failures = append(failures, target.refused(err))
		if ctx.Err() != nil {
			return nil
		}
	}
	switch {
	case s != nil:
	case len(failures) == 1 || unsupported == len(failures):
		return failures[0]
	case unsupported == 0:
		return allFailed(failures)
	default: // one that can be reached later is enough: the text stays, the kind of error does not
		return errors.New(allFailed(failures).Error())
	}
	if b.sessions.Add(1) > 1 && b.lastPath != w.path {
		b.switches.Add(1)
	}
	if m, err := b.Modem(); err == nil { // else there is none on this path
		if err := b.markWaits(m); err != nil {
			return errors.Join(err, s.Close(ctx))
		}
	}
	b.lastPath = w.path
	b.onlineAt, b.before = time.Now(), b.upDelivered.Load()
	b.backoff.stood(b.onlineAt)
	err = b.serve(ctx, s, w, target)
	m, noModem := b.Modem()
	lost := ctx.Err() != nil || noModem == nil && (m.Err() != nil || m.Rebooted())
	err = b.suspect.ended(err, lost, time.Now())
	if !errors.Is(err, errSuspect) {
		err = b.rivals.ended(err, time.Since(b.onlineAt), b.Status().Cloud.ClientID)
	}
	if err == nil && ctx.Err() == nil {
		err = errors.New("the session ended without a reason")
	}
	return err
}

// allFailed says of each broker why there is no session with it.
type allFailed []error

func (f allFailed) Unwrap() []error { return f }

func (f allFailed) Error() string {
	var text []string
	for _, err := range f {
		text = append(text, err.Error())
	}
	return strings.Join(text, "; ")
}

// serve subscribes and runs both pumps and the probe until one of them, the session or ctx ends. Then it closes the
// session, while messages are still taken from it: what the module has acknowledged must not be lost.
func (b *Bridge) serve(ctx context.Context, s modems.Session, w way, target Target) error {
	up, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.Done():
			cancel()
		case <-up.Done():
		}
	}()
	ended := make(chan error)
	parts := []func() error{
		func() error { return b.subscribed(up, s, w, target) },
		func() error { return b.probe(up) },
		func() error { return b.resubscribe(up, s, target) },
		func() error { return hold(up, w.hold) },
		func() error { return renew(up, target.Until) },
	}
	for _, part := range parts {
		go func() { ended <- part() }()
	}
	down := make(chan error, 1)
	go func() {
		err := b.pumpDown(context.WithoutCancel(ctx), s)
		cancel()
		down <- err
	}()
	var first error
	for range parts {
		if err := <-ended; first == nil {
			first = err
		}
		cancel()
	}
	if why := s.Err(); why != nil && !errors.Is(first, why) {
		first = why // what the pumps say is only what it looked like to them
	}
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer done()
	if err := s.Close(closing); err != nil && ctx.Err() == nil {
		b.log.Warn("closing the session", "why", err)
	}
	if err := <-down; first == nil {
		first = err
	}
	// What came between the end of that pump and the end of the session.
	if err := b.pumpDown(context.WithoutCancel(ctx), s); first == nil {
		first = err
	}
	return first
}

// subscribed asks for what the down routes want, then pumps up.
func (b *Bridge) subscribed(ctx context.Context, s modems.Session, w way, target Target) error {
	asked := map[string]bool{}
	for _, r := range target.Down {
		if asked[r.From] {
			continue
		}
		asked[r.From] = true
		if err := s.Subscribe(ctx, r.From, r.QoS); err != nil {
			return err
		}
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var detour func(error)
	if w.detour(time.Now()) {
		detour = end
	}
	b.direct.begin(ctx, s, target.Fits, detour, b.log)
	defer b.direct.end()
	why := ""
	var other otherPath
	if w.why != nil {
		why = "path " + w.path + ": " + w.why.Error()
		errors.As(w.why, &other)
	}
	b.recovered()
	b.mu.Lock()
	b.detour = detourStatus{other.id, "path " + w.path + ": native is tried again at " + time.Now().Add(w.hold).Format("15:04")}
	b.mu.Unlock()
	b.enter(Online, why)
	b.log.Info("online", "broker", b.Status().Cloud.Broker, "path", w.path)
	err := b.pumpUp(ctx, s, target.Topic, w)
	if why := context.Cause(ctx); err == nil && errors.Is(why, errOtherPath) {
		err = why
	}
	return err
}

// recovered books what it took to be online again.
func (b *Bridge) recovered() {
	b.mu.Lock()
	by, took, ok := b.recovery.end(time.Now())
	b.mu.Unlock()
	if ok {
		b.recoveries.Add(1)
		b.log.Info("recovered", "by", by.String(), "took", took.Round(100*time.Millisecond))
	}
}

// hold ends the session after d, unless d is 0.
func hold(ctx context.Context, d time.Duration) error {
	if d == 0 {
		<-ctx.Done()
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return errHoldOver
	case <-ctx.Done():
		return nil
	}
}

// resubscribe follows the down routes when they are replaced while the session stands.
func (b *Bridge) resubscribe(ctx context.Context, s modems.Session, target Target) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.replaced:
		}
		fresh, err := b.target(b.identity())
		if err != nil {
			return err
		}
		for _, r := range target.Down {
			if !fresh.Down.asks(r.From) {
				if err := s.Unsubscribe(ctx, r.From); err != nil {
					return err
				}
			}
		}
		b.down.Store(&fresh.Down) // before the broker sends what it has retained
		for _, r := range fresh.Down {
			if !target.Down.asks(r.From) {
				if err := s.Subscribe(ctx, r.From, r.QoS); err != nil {
					return err
				}
			}
		}
		target = fresh
	}
}

func (b *Bridge) identity() modems.Identity {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.modem == nil {
		return modems.Identity{}
	}
	return b.modem.Identity()
}
