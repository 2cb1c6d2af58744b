package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems"
)

const directHelp = `Without a daemon it connects as CLIENT_ID-cli and with a clean session, so that it takes nothing from the session of the
daemon; -i names another client id. A platform knows its devices by their names: there it connects as the device.`

// directFlags are what pub and sub have in common.
type directFlags struct {
	id      string
	timeout time.Duration
}

func (d *directFlags) add(f *pflag.FlagSet) {
	f.StringVarP(&d.id, "id", "i", "", "connect with this client `ID`, where no daemon runs")
	f.DurationVar(&d.timeout, "timeout", directWait, "how long the broker may take to acknowledge")
}

// directLink is the way to the broker: the session of a daemon, or one of its own.
type directLink interface {
	publish(ctx context.Context, m modems.Message) error
	// subscribe tells of messages until ctx ends (nil), or the session (errSessionLost, where a new one may be had).
	subscribe(ctx context.Context, filter string, qos byte, tell func(modems.Message)) error
	close()
}

// direct finds the way.
func (g *globals) direct(cmd *cobra.Command, d directFlags, waiting *progress) (directLink, error) {
	c, err := g.load(0)
	if err != nil {
		return nil, err
	}
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return nil, err
	}
	if daemon != nil {
		return viaDaemon{daemon, cmd.ErrOrStderr()}, nil
	}
	if c, err = g.load(needPath | needCloud); err != nil {
		return nil, err
	}
	var m *modems.Modem
	var id modems.Identity
	if c.Path.Mode != "host" {
		if m, err = c.attach(cmd.Context(), cmd.ErrOrStderr(), waiting); err != nil {
			return nil, err
		}
		if err := m.Online(cmd.Context()); err != nil {
			return nil, errors.Join(offline(err), m.Close())
		}
		id = m.Identity()
	}
	link, err := c.dial(cmd.Context(), m, id, d, waiting)
	if err != nil && m != nil {
		m.Close() // the reason is err
	}
	return link, err
}

// offline gives the failure to come online its exit code.
func offline(err error) error {
	if errors.Is(err, modems.ErrOffline) && modems.KindOf(err) == modems.LineLost {
		return withCode(exitNoAnswer, err) // the network has not taken the modem in, in time
	}
	return modemError(err)
}

func (c *Config) dial(ctx context.Context, m *modems.Modem, id modems.Identity, d directFlags, waiting *progress) (directLink, error) {
	target, err := c.loginOnce(ctx, m, id)
	if err != nil {
		return nil, err
	}
	c.asPerson(target.Brokers, d.id)
	waiting.say("connecting to the broker")
	s, took, err := bridge.Dial(ctx, m, c.Path.Mode, target)
	if err != nil {
		return nil, err
	}
	return &ownLink{c: c, m: m, s: s, target: target, path: took, timeout: d.timeout}, nil
}

// asPerson makes of the daemon's session one that takes nothing from it: another client id, and a clean session.
func (c *Config) asPerson(brokers []modems.MQTTConfig, id string) {
	if len(c.Brokers()) == 0 {
		return // a platform knows the device by its names
	}
	for i := range brokers {
		b := &brokers[i]
		b.CleanSession = true
		if b.ClientID += "-cli"; id != "" {
			b.ClientID = id
		}
	}
}

// ownLink is a session of this process.
type ownLink struct {
	c       *Config
	m       *modems.Modem // nil on path host
	s       modems.Session
	target  bridge.Target
	path    string
	timeout time.Duration
}

// publish takes the other path, where that is left to it, for what the module's own stack cannot carry.
func (l *ownLink) publish(ctx context.Context, m modems.Message) error {
	if l.target.Fits != nil {
		if err := l.target.Fits(m); err != nil {
			return err
		}
	}
	err := bridge.Deliver(ctx, l.s, m)
	if !errors.Is(err, modems.ErrMessage) || l.c.Path.Mode != "auto" || l.path != "native" || l.m.Sockets() == 0 {
		return err
	}
	if errClose := l.s.Close(ctx); errClose != nil {
		return errors.Join(err, errClose)
	}
	s, took, errDial := bridge.Dial(ctx, l.m, "tcp", l.target)
	if errDial != nil {
		return fmt.Errorf("%w; and over tcp: %w", err, errDial)
	}
	l.s, l.path = s, took
	return bridge.Deliver(ctx, l.s, m)
}

func (l *ownLink) subscribe(ctx context.Context, filter string, qos byte, tell func(modems.Message)) error {
	limited, cancel := context.WithTimeout(ctx, l.timeout)
	err := l.s.Subscribe(limited, filter, qos)
	cancel()
	stood := err == nil
	for err == nil {
		var d modems.Delivery
		if d, err = l.s.Receive(ctx); err == nil {
			tell(d.Message())
			err = d.Ack()
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if ended := l.s.Err(); ended != nil {
		err = ended
	}
	if stood {
		return fmt.Errorf("%w: %w", errSessionLost, err)
	}
	return err
}

// close lets go in order; what fails now has no consequence.
func (l *ownLink) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l.s.Close(ctx)
	if l.m != nil {
		l.m.Close()
	}
}

// viaDaemon is the session of a running daemon.
type viaDaemon struct {
	client *control.Client
	stderr io.Writer
}

func (v viaDaemon) publish(ctx context.Context, m modems.Message) error {
	r, err := v.client.Publish(ctx, m)
	if err == nil && r.Failure != nil {
		return errors.New(r.Failure.Text)
	}
	return withCode(exitPort, err)
}

func (v viaDaemon) subscribe(ctx context.Context, filter string, qos byte, tell func(modems.Message)) error {
	var failed error
	err := v.client.Subscribe(ctx, filter, qos, func(r control.SubReply) {
		switch {
		case r.Failure != nil:
			failed = withCode(kindCode[r.Failure.Kind], errors.New(r.Failure.Text))
		case r.Missed > 0:
			fmt.Fprintf(v.stderr, "atbridge: %d messages are missing here: they came faster than they are taken\n", r.Missed)
		default:
			tell(modems.Message(*r.Message))
		}
	})
	if err == nil && failed == nil && ctx.Err() == nil {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return withCode(exitPort, fmt.Errorf("the daemon has gone: %w", err))
	}
	return failed
}

func (v viaDaemon) close() {}
