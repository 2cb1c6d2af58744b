package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atbridge/atbridge/bridge/mqtt"
	"github.com/atbridge/atbridge/modems"
)

// LocalBroker is an existing local broker, of which the bridge is a client.
//
//   - Its session there lasts: what is published while the bridge is away waits for it in that broker.
//   - A message is acknowledged when it is on our disk, and no earlier. When the queue is full nothing is acknowledged, and
//     the broker keeps what comes, as far as it is told to (mosquitto: max_queued_messages).
//   - A message from the cloud counts as delivered when the broker has acknowledged it.
//   - MQTT 3.1.1 hands us back what we publish, where an up route listens to its topic: see echoes.
//
// A connection that is lost is sought again, with a back-off, for ever.
type LocalBroker struct {
	cfg     LocalConfig
	accept  Accept
	closing context.Context
	cancel  func()
	gone    chan struct{}
	echoes  echoes
	routed  chan struct{} // holds a token after Follow

	acknowledged atomic.Uint64
	left         time.Time // when the last session ended; only run's

	mu      sync.Mutex
	up      Routes
	session modems.Session // nil: not connected
	why     string
	arrived signal // a session has
}

// StartLocalBroker begins to connect. A broker that cannot be reached is waited for.
func StartLocalBroker(cfg LocalConfig, up Routes, accept Accept) (*LocalBroker, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.File != "" {
		cfg.File += "-broker"
	}
	l := &LocalBroker{cfg: cfg, accept: accept, gone: make(chan struct{}), routed: make(chan struct{}, 1), up: up, why: "not yet connected"}
	l.closing, l.cancel = context.WithCancel(context.Background())
	go l.run()
	return l, nil
}

// Addr is the address of the broker.
func (l *LocalBroker) Addr() string { return address(*l.cfg.Broker) }

// Follow subscribes to what the up routes listen to, and to nothing else.
func (l *LocalBroker) Follow(up Routes) {
	l.mu.Lock()
	l.up = up
	l.mu.Unlock()
	select {
	case l.routed <- struct{}{}:
	default:
	}
}

func (l *LocalBroker) Status() LocalStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LocalStatus{Broker: l.Addr(), Connected: l.session != nil, Reason: l.why}
}

// Close disconnects. What was not acknowledged stays with the broker.
func (l *LocalBroker) Close() error {
	l.cancel()
	<-l.gone
	return nil
}

// run connects, again and again.
func (l *LocalBroker) run() {
	defer close(l.gone)
	var patience backoff
	for l.closing.Err() == nil {
		err := l.connect(&patience)
		if l.closing.Err() != nil {
			return
		}
		l.mu.Lock()
		news := l.why != err.Error()
		l.why = err.Error()
		l.mu.Unlock()
		wait := min(patience.wait(time.Now()), localBackoff)
		if news {
			l.cfg.Log.Warn("local: no connection to the local broker", "broker", l.Addr(), "why", err, "again_in", wait.Round(100*time.Millisecond))
		}
		pause(l.closing, wait)
	}
}

const (
	localBackoff = 15 * time.Second // it is on this machine, or near
	localConnect = 30 * time.Second
)

// connect lasts as long as one session.
func (l *LocalBroker) connect(patience *backoff) error {
	dialing, done := context.WithTimeout(l.closing, localConnect)
	defer done()
	s, err := mqtt.Dial(dialing, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr())
	}, *l.cfg.Broker)
	if err != nil {
		return err
	}
	defer func() {
		closing, done := context.WithTimeout(context.Background(), closeTimeout)
		defer done()
		s.Close(closing) // it has ended, or ends now: its error says nothing new
	}()
	patience.stood(time.Now())
	if !l.left.IsZero() {
		l.echoes.extend(time.Since(l.left))
	}
	defer func() { l.left = time.Now() }()
	received := make(chan error, 1)
	ctx, cancel := context.WithCancel(l.closing)
	defer cancel()
	go func() { received <- l.receive(ctx, s) }() // a lasting session may deliver before anything is subscribed
	known := []string{}
	if resumed, ok := s.(interface{ Resumed() bool }); ok && resumed.Resumed() {
		known = l.subscriptions()
	}
	if err = l.subscribe(dialing, s, &known); err == nil {
		l.online(s)
		l.cfg.Log.Info("local: connected to the local broker", "broker", l.Addr(), "filters", known)
	}
	for err == nil {
		select {
		case <-l.routed:
			err = l.subscribe(l.closing, s, &known)
		case err = <-received:
			received <- err
		case <-s.Done():
			err = s.Err()
		case <-l.closing.Done():
			err = l.closing.Err()
		}
	}
	l.online(nil)
	cancel()
	if why := s.Err(); why != nil && !errors.Is(err, why) {
		err = why
	}
	<-received
	return err
}

// online publishes the session, or that there is none.
func (l *LocalBroker) online(s modems.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = s
	if s != nil {
		l.why = ""
		l.arrived.fire()
	}
}

// subscribe changes the subscriptions of the session from known to what the routes say, and notes it.
func (l *LocalBroker) subscribe(ctx context.Context, s modems.Session, known *[]string) error {
	l.mu.Lock()
	wanted := l.up.filters()
	l.mu.Unlock()
	for _, f := range *known {
		if !slices.Contains(wanted, f) {
			if err := s.Unsubscribe(ctx, f); err != nil {
				return err
			}
		}
	}
	for _, f := range wanted {
		if !slices.Contains(*known, f) {
			if err := s.Subscribe(ctx, f, 1); err != nil {
				return err
			}
		}
	}
	*known = wanted
	b, err := json.Marshal(wanted)
	if err == nil && l.cfg.File != "" {
		err = os.WriteFile(l.cfg.File, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("noting what is subscribed to: %w", err)
	}
	return nil
}

// subscriptions are those that the broker has kept for us. If the note is damaged, all is subscribed to again: that
// costs only the retained messages, which then come once more.
func (l *LocalBroker) subscriptions() (known []string) {
	b, err := os.ReadFile(l.cfg.File)
	if err == nil {
		err = json.Unmarshal(b, &known)
	}
	if err != nil {
		l.cfg.Log.Warn("local: what was subscribed to at the local broker is not known; it is all asked for again", "why", err)
		return nil
	}
	return known
}

// receive takes what the broker sends and offers it, until the session or ctx ends or a message cannot be stored: the broker
// sends again, in order, what was not acknowledged.
func (l *LocalBroker) receive(ctx context.Context, s modems.Session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pending := make(chan incoming, maxUnacknowledged)
	acknowledged := make(chan error, 1)
	go func() { acknowledged <- l.acknowledge(pending, cancel) }()
	var err error
	for err == nil {
		var d modems.Delivery
		if d, err = s.Receive(ctx); err == nil {
			err = l.take(ctx, d, pending)
		}
	}
	close(pending)
	if failed := <-acknowledged; failed != nil {
		return failed
	}
	return err
}

// incoming is a message from the broker on its way to the disk.
type incoming struct {
	modems.Delivery
	*offered
}

func (l *LocalBroker) take(ctx context.Context, d modems.Delivery, pending chan<- incoming) error {
	m := d.Message()
	if l.echoes.returned(m) {
		o := &offered{done: make(chan struct{})}
		o.settle(nil)
		pending <- incoming{d, o}
		return nil
	}
	began := time.Now()
	o, taken, err := offer(ctx, l.cfg, l.accept, m)
	if held := time.Since(began); held > time.Second { // the queue was full
		l.echoes.extend(held)
	}
	switch {
	case err == nil && !taken: // no route wants it any more
		o.settle(nil)
	case err == nil:
	case errors.Is(err, ErrTooLarge), m.QoS == 0:
		l.cfg.Log.Error("local: a message from the local broker is dropped", "topic", m.Topic, "bytes", len(m.Payload), "why", err)
		o = &offered{done: make(chan struct{})}
		o.settle(nil)
	default:
		return err
	}
	pending <- incoming{d, o}
	return nil
}

// acknowledge acknowledges in the order in which the messages came [MQTT-4.6.0-2], each when it is on the disk.
func (l *LocalBroker) acknowledge(pending <-chan incoming, cancel func()) (failed error) {
	for in := range pending {
		<-in.done
		if failed != nil {
			continue
		}
		if failed = in.err; failed == nil {
			failed = in.Ack()
		}
		if failed != nil {
			cancel()
		} else {
			l.acknowledged.Add(1)
		}
	}
	return failed
}

// Deliver publishes m, and returns when the broker has acknowledged it; if need be, on the next connection.
func (l *LocalBroker) Deliver(ctx context.Context, m modems.Message) error {
	for {
		s, err := l.connected(ctx)
		if err != nil {
			return fmt.Errorf("deliver to local topic %q: %w", m.Topic, err)
		}
		l.mu.Lock()
		up := l.up
		l.mu.Unlock()
		if _, _, ok := up.Map(m.Topic); ok {
			l.echoes.expect(m)
		}
		r, err := s.Publish(ctx, m)
		switch {
		case errors.Is(err, modems.ErrMessage):
			return fmt.Errorf("deliver to local topic %q: %w", m.Topic, err)
		case err == nil && r.Wait(ctx) == modems.Acked:
			return nil
		}
		select { // nothing can be known of it but by another try
		case <-s.Done():
		case <-ctx.Done():
		}
	}
}

// connected waits for a session.
func (l *LocalBroker) connected(ctx context.Context) (modems.Session, error) {
	for {
		l.mu.Lock()
		s, why, arrived := l.session, l.why, l.arrived.wait()
		l.mu.Unlock()
		if s != nil && s.Err() == nil && ctx.Err() == nil {
			return s, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, fmt.Errorf("no connection to the local broker: %s", why)
		}
	}
}
