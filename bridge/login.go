package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Outside is what Config.Prepare may use: the network that the messages will take, and the modem.
type Outside struct {
	ID    modems.Identity
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	Clock func(ctx context.Context) (time.Time, error) // the modem's; nil: there is no modem

	// Bypass: there is a modem, but it has no sockets, and Dial is this machine's own network.
	Bypass bool
}

// OutsideOf is the network of a modem, and this machine's where it has no sockets, or there is none.
func OutsideOf(m *modems.Modem) Outside {
	o := Outside{Dial: (&net.Dialer{}).DialContext}
	if m == nil {
		return o
	}
	o.ID, o.Clock = m.Identity(), m.Clock
	if m.Sockets() > 0 {
		o.Dial = m.DialContext
	}
	o.Bypass = m.Sockets() == 0
	return o
}

// prepare gets ready for a login.
func (b *Bridge) prepare(ctx context.Context) error {
	if b.cfg.Prepare == nil {
		return nil
	}
	b.mu.Lock()
	m := b.modem
	b.mu.Unlock()
	if err := b.cfg.Prepare(ctx, OutsideOf(m)); err != nil {
		return loginError{err}
	}
	return nil
}

// loginError: what a login needs could not be got. No path was tried.
type loginError struct{ error }

func (e loginError) Unwrap() error { return e.error }

// outgoing changes a message that is about to be sent, and refuses what no path may carry.
func (b *Bridge) outgoing(id uint64, m *modems.Message) error {
	if b.cfg.Outgoing != nil {
		if err := b.cfg.Outgoing(id, m); err != nil {
			return err
		}
	}
	if err := CheckTopic(m.Topic); err != nil {
		return fmt.Errorf("%w: %w", modems.ErrMessage, err)
	}
	return nil
}

// incoming changes a message that has come from the cloud under the topic from.
func (b *Bridge) incoming(from string, m *modems.Message) (answer modems.Message, err error) {
	if b.cfg.Incoming == nil {
		return modems.Message{}, nil
	}
	return b.cfg.Incoming(from, m)
}

// answer queues what is to be said to a message, like any other, and returns when it is on the disk. While there is no room
// it waits: the cloud keeps what is not acknowledged.
func (b *Bridge) answer(ctx context.Context, m modems.Message) error {
	if m.Topic == "" {
		return nil
	}
	for said := false; ; said = true {
		stored := make(chan error, 1)
		b.outbox.Put(m, func(err error) { stored <- err })
		err := <-stored
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrTooLarge):
			b.log.Error("an answer can never be queued and is dropped", "topic", m.Topic, "why", err)
			return nil
		case errors.Is(err, ErrClosed):
			return err
		case !said:
			b.log.Warn("an answer cannot be queued; it is tried again", "topic", m.Topic, "why", err)
		}
		if err := b.outbox.Room(ctx, m, Handling{}); err != nil {
			return err
		}
	}
}

// errLoginEnds ends a session whose login is about to end: the next one has a fresh one.
var errLoginEnds = errors.New("the login ends; a new session takes over")

// renew ends the session at that time, unless it is zero.
func renew(ctx context.Context, at time.Time) error {
	if at.IsZero() {
		<-ctx.Done()
		return nil
	}
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return errLoginEnds
	case <-ctx.Done():
		return nil
	}
}

// refused lets the target say what to look at when the broker has refused the login.
func (t Target) refused(err error) error {
	if t.Refused != nil && modems.LoginRefused(err) {
		return t.Refused(err)
	}
	return err
}

// rivals counts sessions that the broker has ended soon after they stood. A broker allows one session for each identity
// and ends the older one: two daemons with the same identity end each other's for ever.
type rivals struct{ row int }

const (
	// rivalry is how soon: with the longest pause between two attempts, each of the two comes back within this time.
	rivalry = 2 * backoffMax
	// rivalRow is how often in a row it must have happened before somebody else is suspected.
	rivalRow = 3
)

var errRivals = errors.New("somebody else seems to use this identity")

// ended takes the end of a session that stood for so long, and returns it with what it looks like.
func (r *rivals) ended(err error, stood time.Duration, id string) error {
	switch {
	case !errors.Is(err, modems.ErrByBroker) || stood > rivalry:
		r.row = 0
		return err
	case r.row < rivalRow-1:
		r.row++
		return err
	}
	return fmt.Errorf("%w (client id %s): the broker ends each session soon after it stood; give each device its own; %w", errRivals, id, err)
}

// ErrNoTime: certificates cannot be checked yet.
var ErrNoTime = errors.New("waiting for the time, without which no certificate can be checked: neither this machine's clock nor the modem's network has said a plausible one")
