package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/atbridge/atbridge/bridge/mqtt"
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
		start := time.Now()
		err := b.cycle(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, modems.ErrUnsupported) {
			return err
		}
		b.rest(ctx, err, time.Since(start))
	}
	return nil
}

// rest backs off, and says why.
func (b *Bridge) rest(ctx context.Context, why error, stood time.Duration) {
	wait := b.backoff.after(stood)
	b.log.Warn("not online", "why", why, "again_in", wait.Round(100*time.Millisecond))
	b.enter(BackingOff, why.Error())
	b.progress()
	pause(ctx, wait)
}

// cycle lasts as long as one modem stays attached, or on path host as long as one session.
func (b *Bridge) cycle(ctx context.Context) error {
	b.enter(Attaching, "")
	if b.cfg.Modem == nil || b.cfg.Path == "host" {
		return b.session(ctx, "host", modems.Identity{}, dialHost)
	}
	if b.cfg.Path == "tcp" {
		return fmt.Errorf("%w: path tcp is not built yet; set path.mode to native, or to host without a modem", modems.ErrUnsupported)
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
	if killed {
		o.Quiet = quietAfterCrash
	}
	m, err := modems.Attach(ctx, port, o)
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
	for {
		start := time.Now()
		err := m.Online(ctx)
		if err == nil {
			err = b.session(ctx, "native", m.Identity(), m.DialMQTT)
		}
		if ctx.Err() != nil || m.Err() != nil || errors.Is(err, modems.ErrUnsupported) {
			return err
		}
		b.rest(ctx, err, time.Since(start))
		if ctx.Err() != nil {
			return nil
		}
	}
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

// dialHost is path host: the machine's own network.
func dialHost(ctx context.Context, cfg modems.MQTTConfig) (modems.Session, error) {
	return mqtt.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	}, cfg)
}

// session dials the first broker that answers and pumps until something ends. It always returns an error, unless
// ctx has ended.
func (b *Bridge) session(ctx context.Context, path string, id modems.Identity, dial dialFunc) error {
	target, err := b.cfg.Target(id)
	if err != nil {
		return err
	}
	b.enter(Connecting, "")
	var s modems.Session
	var errDial error
	for _, broker := range target.Brokers {
		b.mu.Lock()
		b.path, b.cloud = path, CloudStatus{net.JoinHostPort(broker.Host, strconv.Itoa(broker.Port)), broker.ClientID}
		b.mu.Unlock()
		if s, err = dial(ctx, broker); err == nil {
			break
		}
		errDial = errors.Join(errDial, err)
		if ctx.Err() != nil {
			return nil
		}
	}
	if s == nil {
		return errDial
	}
	b.sessions.Add(1)
	err = b.serve(ctx, s, target)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if s.Err() != nil && !errors.Is(err, s.Err()) {
		err = errors.Join(s.Err(), err)
	}
	if errClose := s.Close(closing); errClose != nil && ctx.Err() == nil {
		b.log.Warn("closing the session", "why", errClose)
	}
	if err == nil && ctx.Err() == nil {
		err = errors.New("the session ended without a reason")
	}
	return err
}

// serve subscribes and runs both pumps and the probe until one of them, the session or ctx ends.
func (b *Bridge) serve(ctx context.Context, s modems.Session, target Target) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	ended := make(chan error)
	parts := []func() error{
		func() error { return b.pumpDown(ctx, s, target.Down) }, // first: a kept session may deliver before SUBACK
		func() error { return b.subscribed(ctx, s, target) },
		func() error { return b.probe(ctx) },
	}
	for _, part := range parts {
		go func() { ended <- part() }()
	}
	var first error
	for range parts {
		if err := <-ended; first == nil {
			first = err
		}
		cancel()
	}
	return first
}

// subscribed asks for what the down routes want, then pumps up.
func (b *Bridge) subscribed(ctx context.Context, s modems.Session, target Target) error {
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
	b.enter(Online, "")
	b.log.Info("online", "broker", b.Status().Cloud.Broker, "path", b.Status().Path)
	return b.pumpUp(ctx, s, target.Topic)
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
