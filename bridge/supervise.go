package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/modems"
)

const (
	// quietAfterCrash is how long a port is only listened to after this process was killed or lost the line: the
	// modem leaves its data state by itself after 4 s of silence, where its driver could set that.
	quietAfterCrash = 5 * time.Second
)

// supervise opens, attaches, goes online, dials and runs, and begins again where it broke until ctx ends. What helps
// where trying again does not, the ladder says (ladder.go).
func (b *Bridge) supervise(ctx context.Context) error {
	for ctx.Err() == nil {
		step, err := b.cycle(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, modems.ErrUnsupported):
			return err
		case step == restart, errors.Is(err, errLoginEnds): // it boots; there is a new login
		case step == reset:
			b.pullReset(ctx)
		default:
			b.rest(ctx, err)
		}
	}
	return nil
}

// climb decides what to do about a failure, says so, and counts it.
func (b *Bridge) climb(how reach, why error) rung {
	now := time.Now()
	stood := !b.onlineAt.IsZero()
	delivered := stood && b.upDelivered.Load() > b.before
	if delivered || stood && now.Sub(b.onlineAt) >= stable {
		b.ladder.stood() // whatever was done has helped
	}
	if delivered && !errors.Is(why, modems.ErrByBroker) {
		b.backoff.anew() // the broker takes messages, and has not sent us away
	}
	b.resting = &b.backoff
	if how <= deaf {
		b.resting = &b.ports
	}
	b.onlineAt = time.Time{}
	step := b.ladder.next(how, now)
	b.mu.Lock()
	b.recovery.begin(step, now)
	b.mu.Unlock()
	if doing := recovering[step]; doing != "" {
		b.log.Warn(doing, "why", why)
		b.enter(Recovering, doing+": "+why.Error())
	}
	if step >= restart {
		b.backoff.anew()
		b.ports.anew()
	}
	if step == giveUp {
		b.log.Warn("neither restart nor reset has helped", "next_one_in", b.ladder.until.Sub(now).Round(time.Second), "why", why)
	}
	b.progress()
	return step
}

// recovering is what the log and the status say of a rung.
var recovering = [rungs]string{pdp: "taking the data connection down and up", restart: "restarting the modem", reset: "resetting the modem"}

// rest backs off, and says why.
func (b *Bridge) rest(ctx context.Context, why error) {
	wait := b.resting.wait(time.Now())
	b.log.Warn("not online", "why", why, "again_in", wait.Round(100*time.Millisecond))
	b.enter(BackingOff, why.Error())
	for ; wait > 0 && ctx.Err() == nil; wait -= b.alive() {
		b.progress()
		pause(ctx, min(wait, b.alive()))
	}
}

// freed resets a modem that may still wait for the payload of a run that was killed, where there is a way to: the next
// command would end in that payload, and be published.
func (b *Bridge) freed(ctx context.Context) bool {
	pull := b.cfg.Modem.Reset
	if pull == nil || !b.ladder.spend(time.Now()) {
		return false
	}
	b.log.Warn("resetting the modem: the last run was killed, or lost the line, perhaps while the modem waited for data")
	b.mu.Lock()
	b.recovery.begin(reset, time.Now())
	b.mu.Unlock()
	err := pull(ctx)
	if err != nil && ctx.Err() == nil {
		b.log.Warn("the modem could not be reset; it is listened to instead", "why", err)
	}
	return err == nil
}

var errRebooted = errors.New("the modem has rebooted")

// pullReset uses the reset line. The port is closed: it may belong to the line.
func (b *Bridge) pullReset(ctx context.Context) {
	err := b.cfg.Modem.Reset(ctx)
	if err == nil {
		err = b.markReleased() // whatever state it was in, it has left it
	}
	if err != nil && ctx.Err() == nil {
		b.rest(ctx, fmt.Errorf("resetting the modem: %w", err))
	}
}

// cycle lasts as long as one modem stays attached, or on path host as long as one session. It returns why it ended, and
// what to do about it.
func (b *Bridge) cycle(ctx context.Context) (rung, error) {
	b.enter(Attaching, "")
	if b.cfg.Modem == nil || b.cfg.Path == "host" {
		err := b.session(ctx, way{path: "host"}, modems.Identity{}, dialHost)
		if ctx.Err() != nil || errors.Is(err, modems.ErrUnsupported) || errors.Is(err, errLoginEnds) {
			return retry, err
		}
		return b.climb(noFault, err), err
	}
	m, how, err := b.attach(ctx)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, modems.ErrUnsupported) {
			return retry, err
		}
		return b.climb(how, err), err
	}
	b.setModem(m)
	b.ports.anew()
	step := retry
	if err = b.markWaits(m); err == nil {
		step, err = b.attachedTo(ctx, m)
	}
	lost := m.Err()
	b.setModem(nil)
	if errClose := m.Close(); errClose != nil {
		err = errors.Join(err, errClose)
	}
	if lost == nil || ctx.Err() != nil {
		return step, errors.Join(err, b.markReleased())
	}
	err = fmt.Errorf("%s: %w", b.cfg.Modem.Port, lost)
	how = noPort
	if errors.Is(lost, modems.ErrDeaf) {
		how = deaf
	}
	if step == restart { // it has taken the port with it
		return step, err
	}
	return b.climb(how, err), err
}

// attach opens the port and finds the modem on it, or says how far it came.
func (b *Bridge) attach(ctx context.Context) (*modems.Modem, reach, error) {
	killed, waits, err := b.markAttached()
	if err != nil {
		return nil, noFault, err
	}
	if waits && b.freed(ctx) {
		killed = false
	}
	port, urcPort, err := b.cfg.Modem.Open(ctx)
	if err != nil {
		return nil, reachOfPort(err), err
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
			return nil, noAnswer, errors.Join(fmt.Errorf("%s: %w", b.cfg.Modem.Port, err), port.Close())
		}
	}
	m, err := modems.Attach(ctx, port, o)
	b.silent = errors.Is(err, modems.ErrNoAnswer)
	if err != nil {
		return nil, noAnswer, fmt.Errorf("%s: %w", b.cfg.Modem.Port, err)
	}
	return m, noSession, nil
}

// attachedTo runs sessions over m until the line is lost, ctx ends, or m must be attached anew: a session that ends does
// not cost the modem.
func (b *Bridge) attachedTo(ctx context.Context, m *modems.Modem) (rung, error) {
	id := m.Identity()
	b.log.Info("modem attached", "port", b.cfg.Modem.Port, "driver", m.Driver(), "model", id.Model, "revision", id.Revision)
	b.paths.unfit = nil // it may be another module, or other firmware
	for {
		err, other := m.Online(ctx), false
		if err == nil {
			other, err = b.overModem(ctx, m)
		}
		switch {
		case ctx.Err() != nil || m.Err() != nil:
			return retry, err
		case m.Rebooted():
			if err == nil {
				err = errRebooted
			}
			return b.climb(noFault, err), err
		case other:
			continue
		case errors.Is(err, modems.ErrUnsupported):
			return retry, err
		}
		switch step := b.climb(reachOf(err), err); step {
		case pdp:
			err = m.Deactivate(ctx)
		case restart:
			if err = m.Restart(ctx); err == nil {
				return restart, nil
			}
		case reset:
			return reset, err
		default:
			b.rest(ctx, err)
			err = nil
		}
		if err != nil && ctx.Err() == nil && m.Err() == nil {
			b.log.Warn("the modem did not do it", "why", err)
		}
		if ctx.Err() != nil {
			return retry, nil
		}
	}
}

// overModem runs one session over m. other: the next one takes the other path, at once.
func (b *Bridge) overModem(ctx context.Context, m *modems.Modem) (other bool, err error) {
	path, why := b.paths.choose(time.Now())
	w := way{path: path, why: why, hold: b.paths.left(time.Now())}
	w.other, w.bar = path == "native" && b.paths.mode == "auto" && m.Sockets() > 0, b.paths.bar
	dial := m.DialMQTT
	if path == "tcp" {
		dial = dialTCP(m)
	}
	before := b.sessions.Load()
	err = b.session(ctx, w, m.Identity(), dial)
	if ctx.Err() != nil {
		return false, err
	}
	if errors.Is(err, errLoginEnds) {
		return true, nil
	}
	stood := never
	if b.sessions.Load() > before {
		if stood = shortly; time.Since(b.onlineAt) >= stable {
			stood = long
		}
	}
	if other = b.paths.ended(path, err, stood, m.Sockets() > 0, time.Now()); other {
		b.log.Warn("the path is changed", "from", path, "why", err)
	} else if path == "tcp" && why != nil && err != nil {
		err = alsoNative{err, why}
	}
	return other, err
}

// alsoNative is why there is no session on tcp. What it is about is for the supervisor to judge; why native is not used is
// for people.
type alsoNative struct{ tcp, native error }

func (e alsoNative) Error() string {
	return fmt.Sprintf("path tcp: %v; and path native: %v", e.tcp, e.native)
}
func (e alsoNative) Unwrap() error { return e.tcp }

// way is how one session goes.
type way struct {
	path string
	why  error         // it is not the one that comes first
	hold time.Duration // after so long another is to be tried; 0: never

	other bool // there is another, for what cannot pass this one
	bar   bar  // to that
}

// detour reports whether what cannot pass this way takes the other.
func (w way) detour(now time.Time) bool { return w.other && !w.bar.stands(now) }

func (b *Bridge) setModem(m *modems.Modem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m == nil && b.modem != nil {
		b.line = b.line.add(b.modem.Counters())
	}
	b.modem = m
}
