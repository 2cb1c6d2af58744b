package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/atbridge/atbridge/modems"
)

const (
	// probeEvery is how often an attached modem is asked for its signal: also the longest that an idle one can be
	// wedged unnoticed, but for the command's own timeout and the engine's tries.
	probeEvery = 30 * time.Second

	// quietAfterCrash is how long a port is only listened to after this process was killed or lost the line: the
	// modem leaves its data state by itself after 4 s of silence, where its driver could set that.
	quietAfterCrash = 5 * time.Second

	closeTimeout = 10 * time.Second
)

// supervise opens, attaches, goes online, dials and runs, and begins again where it broke until ctx ends.
func (b *Bridge) supervise(ctx context.Context) error {
	for ctx.Err() == nil {
		err := b.cycle(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, modems.ErrUnsupported) {
			return err
		}
		b.rest(ctx, err)
	}
	return nil
}

// rest backs off, and says why.
func (b *Bridge) rest(ctx context.Context, why error) {
	wait := b.backoff.wait(time.Now())
	b.log.Warn("not online", "why", why, "again_in", wait.Round(100*time.Millisecond))
	b.enter(BackingOff, why.Error())
	b.progress()
	pause(ctx, wait)
}

// cycle lasts as long as one modem stays attached, or on path host as long as one session.
func (b *Bridge) cycle(ctx context.Context) error {
	b.enter(Attaching, "")
	if b.cfg.Modem == nil || b.cfg.Path == "host" {
		return b.session(ctx, way{path: "host"}, modems.Identity{}, dialHost)
	}
	killed, err := b.markAttached()
	if err != nil {
		return err
	}
	port, urcPort, err := b.cfg.Modem.Open(ctx)
	if err != nil {
		return err
	}
	o := b.cfg.Modem.Options
	o.Log, o.Port = b.log, urcPort
	o.Progress = func(what string) {
		b.enter(Attaching, what)
		b.progress()
	}
	if killed {
		o.Quiet = quietAfterCrash
	}
	if search := b.cfg.Modem.Search; b.silent && search != nil {
		if err := search(ctx, port, o.Progress); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", b.cfg.Modem.Port, err), port.Close())
		}
	}
	m, err := modems.Attach(ctx, port, o)
	b.silent = errors.Is(err, modems.ErrNoAnswer)
	if err != nil {
		return fmt.Errorf("%s: %w", b.cfg.Modem.Port, err)
	}
	b.setModem(m)
	err = b.attachedTo(ctx, m)
	lost := m.Err()
	b.setModem(nil)
	if errClose := m.Close(); errClose != nil {
		err = errors.Join(err, errClose)
	}
	if lost != nil {
		return fmt.Errorf("%s: %w", b.cfg.Modem.Port, lost)
	}
	return errors.Join(err, b.markReleased())
}

// attachedTo runs sessions over m until the line is lost or ctx ends: a session that ends does not cost the modem.
func (b *Bridge) attachedTo(ctx context.Context, m *modems.Modem) error {
	id := m.Identity()
	b.log.Info("modem attached", "port", b.cfg.Modem.Port, "driver", m.Driver(), "model", id.Model, "revision", id.Revision)
	b.paths.unfit = nil // it may be another module, or other firmware
	for {
		err := m.Online(ctx)
		if err == nil {
			var other bool
			if other, err = b.overModem(ctx, m); other {
				continue
			}
		}
		if ctx.Err() != nil || m.Err() != nil || errors.Is(err, modems.ErrUnsupported) {
			return err
		}
		b.rest(ctx, err)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// overModem runs one session over m. other: the next one takes the other path, at once.
func (b *Bridge) overModem(ctx context.Context, m *modems.Modem) (other bool, err error) {
	path, why := b.paths.choose(time.Now())
	w := way{path: path, why: why, hold: b.paths.left(time.Now()), other: path == "native" && b.paths.mode == "auto" && m.Sockets() > 0}
	dial := m.DialMQTT
	if path == "tcp" {
		dial = dialTCP(m)
	}
	began := time.Now()
	err = b.session(ctx, w, m.Identity(), dial)
	if ctx.Err() != nil {
		return false, err
	}
	if other = b.paths.ended(path, err, time.Since(began) >= stable, m.Sockets() > 0, time.Now()); other {
		b.log.Warn("the path is changed", "from", path, "why", err)
	} else if path == "tcp" && why != nil && errors.Is(err, modems.ErrUnsupported) {
		err = fmt.Errorf("%w; and before: %w", err, why)
	}
	return other, err
}

// way is how one session goes.
type way struct {
	path  string
	why   error         // it is not the one that comes first
	hold  time.Duration // after so long another is to be tried; 0: never
	other bool          // there is another, for what cannot pass this one
}

func (b *Bridge) setModem(m *modems.Modem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m == nil && b.modem != nil {
		b.line = b.line.add(b.modem.Counters())
	}
	b.modem = m
}

type dialFunc func(ctx context.Context, cfg modems.MQTTConfig) (modems.Session, error)

// session dials the first broker that answers and pumps until something ends. It always returns an error, unless
// ctx has ended.
func (b *Bridge) session(ctx context.Context, w way, id modems.Identity, dial dialFunc) error {
	target, err := b.cfg.Target(id)
	if err != nil {
		return err
	}
	b.down.Store(&target.Down)
	b.enter(Connecting, "")
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
		if errors.Is(err, modems.ErrUnsupported) {
			unsupported++
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			return nil
		}
	}
	switch {
	case s != nil:
	case len(failures) == 1 || unsupported == len(failures):
		return failures[0]
	default: // one that can be reached later is enough: the text stays, the kind of error does not
		var text []string
		for _, f := range failures {
			text = append(text, f.Error())
		}
		return errors.New(strings.Join(text, "; "))
	}
	if b.sessions.Add(1) > 1 && b.lastPath != w.path {
		b.switches.Add(1)
	}
	b.lastPath = w.path
	b.backoff.stood(time.Now())
	err = b.serve(ctx, s, w, target)
	if err == nil && ctx.Err() == nil {
		err = errors.New("the session ended without a reason")
	}
	return err
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
	why := ""
	if w.why != nil {
		why = "path " + w.path + ": " + w.why.Error()
	}
	b.enter(Online, why)
	b.log.Info("online", "broker", b.Status().Cloud.Broker, "path", w.path)
	return b.pumpUp(ctx, s, target.Topic, w.other)
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
		fresh, err := b.cfg.Target(b.identity())
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
		for _, r := range fresh.Down {
			if !target.Down.asks(r.From) {
				if err := s.Subscribe(ctx, r.From, r.QoS); err != nil {
					return err
				}
			}
		}
		b.down.Store(&fresh.Down)
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

// probe asks the modem for its signal now and then, which also shows that it still answers.
func (b *Bridge) probe(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		b.mu.Lock()
		m := b.modem
		b.mu.Unlock()
		if m == nil {
			continue
		}
		if err := m.Probe(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		b.progress()
	}
}
