package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/atbridge/atbridge/modems"
)

// direct is the way of a person's own messages past the queue: atbridge pub and sub, on the session that stands.
type direct struct {
	mu      sync.Mutex
	session modems.Session             // nil: not online
	fits    func(modems.Message) error // Target.Fits of the session
	detour  func(error)                // ends session so that the next one takes the other path; nil: there is none
	changed chan struct{}              // closed when there is another session
	subs    []*subscription
}

// subscription is what one person listens to.
type subscription struct {
	filter string
	qos    byte
	levels []string
	tell   func(modems.Message)
}

var (
	// ErrNotOnline: there is no session to publish on.
	ErrNotOnline = errors.New("there is no session with the broker")
	// ErrUndelivered: the broker has not acknowledged a message.
	ErrUndelivered = errors.New("the message was not delivered")
)

// Publish sends m at once, past the queue, and returns nil when the broker has acknowledged it. What the module's own stack
// cannot carry takes the other path, as it does from the queue.
func (b *Bridge) Publish(ctx context.Context, m modems.Message) error {
	s, fits, detour := b.direct.stands()
	if s == nil {
		st := b.Status()
		return fmt.Errorf("%w: the daemon is %s", ErrNotOnline, strings.TrimSuffix(string(st.State)+": "+st.Reason, ": "))
	}
	if fits != nil {
		if err := fits(m); err != nil {
			return err
		}
	}
	err := Deliver(ctx, s, m)
	if !errors.Is(err, modems.ErrMessage) || detour == nil || CheckTopic(m.Topic) != nil {
		return err
	}
	detour(otherPath{why: err})
	if s = b.direct.next(ctx, s); s == nil {
		return fmt.Errorf("%w; the other path did not come up in time", err)
	}
	return Deliver(ctx, s, m)
}

func (d *direct) stands() (s modems.Session, fits func(modems.Message) error, detour func(error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session, d.fits, d.detour
}

// next waits for a session that is not old; nil: ctx has ended before.
func (d *direct) next(ctx context.Context, old modems.Session) modems.Session {
	for {
		d.mu.Lock()
		s, changed := d.session, d.changed
		d.mu.Unlock()
		if s != nil && s != old {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Deliver publishes m on s and waits until the broker has acknowledged it.
func Deliver(ctx context.Context, s modems.Session, m modems.Message) error {
	if err := CheckTopic(m.Topic); err != nil {
		return fmt.Errorf("%w: %w", modems.ErrMessage, err)
	}
	r, err := s.Publish(ctx, m)
	if err != nil {
		return err
	}
	if outcome := r.Wait(ctx); outcome != modems.Acked {
		return errors.Join(fmt.Errorf("%w (%s)", ErrUndelivered, outcome), s.Err())
	}
	return nil
}

// Subscribe tells of every message that filter asks for, on this session and those that follow, until ctx ends. tell must
// not block.
func (b *Bridge) Subscribe(ctx context.Context, filter string, qos byte, tell func(modems.Message)) error {
	if err := checkFilter(filter); err != nil {
		return fmt.Errorf("%w: %w", modems.ErrMessage, err)
	}
	qos = b.down.Load().atLeast(filter, qos) // it is the same session: a second SUBSCRIBE replaces the QoS [MQTT-3.8.4-3]
	sub := &subscription{filter, qos, strings.Split(filter, "/"), tell}
	b.direct.mu.Lock()
	b.direct.subs = append(slices.Clone(b.direct.subs), sub)
	s := b.direct.session
	b.direct.mu.Unlock()
	if s != nil {
		if err := s.Subscribe(ctx, filter, qos); err != nil {
			b.direct.drop(sub)
			return err
		}
	}
	<-ctx.Done()
	s, others := b.direct.drop(sub)
	if s == nil || others || b.down.Load().asks(filter) {
		return nil
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return s.Unsubscribe(leaving, filter)
}

// drop forgets sub. others: somebody else has the same filter.
func (d *direct) drop(sub *subscription) (s modems.Session, others bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.subs = slices.DeleteFunc(slices.Clone(d.subs), func(o *subscription) bool { return o == sub })
	return d.session, slices.ContainsFunc(d.subs, func(o *subscription) bool { return o.filter == sub.filter })
}

// begin makes s the session, and subscribes for everybody who listens. What the broker refuses a person is no reason to
// end a session.
func (d *direct) begin(ctx context.Context, s modems.Session, fits func(modems.Message) error, detour func(error), log *slog.Logger) {
	d.mu.Lock()
	d.session, d.fits, d.detour = s, fits, detour
	close(d.changed)
	d.changed = make(chan struct{})
	subs := d.subs
	d.mu.Unlock()
	for _, sub := range subs {
		if err := s.Subscribe(ctx, sub.filter, sub.qos); err != nil {
			log.Warn("atbridge sub receives nothing", "filter", sub.filter, "why", err)
		}
	}
}

func (d *direct) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session, d.fits, d.detour = nil, nil, nil
}

// tell hands m to everybody who listens; false: nobody does.
func (d *direct) tell(m modems.Message) bool {
	d.mu.Lock()
	subs := d.subs
	d.mu.Unlock()
	wanted := false
	for _, sub := range subs {
		if _, ok := overlap(strings.Split(m.Topic, "/"), sub.levels); ok {
			wanted = true
			sub.tell(m)
		}
	}
	return wanted
}

// CheckFilter says what is wrong with a topic filter to subscribe to.
func CheckFilter(filter string) error { return checkFilter(filter) }

// CheckTopic says what is wrong with the name of a topic to publish to.
func CheckTopic(topic string) error {
	err := checkFilter(topic)
	if err == nil && strings.ContainsAny(topic, "+#") {
		err = errors.New("a topic to publish to holds no + and no #")
	}
	return err
}

// Dial opens a session for one person, the way that path says, to the first broker that answers. Mode auto takes tcp where
// the module's own stack cannot do it.
func Dial(ctx context.Context, m *modems.Modem, path string, target Target) (s modems.Session, took string, err error) {
	var failures []error
	for _, broker := range target.Brokers {
		switch path {
		case "host":
			s, err = dialHost(ctx, broker)
		case "tcp":
			s, err = dialTCP(m)(ctx, broker)
		default:
			s, err = m.DialMQTT(ctx, broker)
		}
		took = path
		if path == "auto" {
			took = "native"
			if errors.Is(err, modems.ErrUnsupported) && m.Sockets() > 0 {
				took = "tcp"
				s, err = dialTCP(m)(ctx, broker)
			}
		}
		if err == nil {
			return s, took, nil
		}
		failures = append(failures, target.refused(err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", errors.Join(failures...)
}
