package modems

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// firstTimeout is how long the first AT may take: a module that sleeps needs one to wake up and answers the next.
const firstTimeout = time.Second

// noiseTimeout is how long noise beside the answers is put up with at the start.
const noiseTimeout = 10 * time.Second

// settleTime is how long an idle modem may take for the answers that it owes.
const settleTime = 500 * time.Millisecond

// start goes from a port with something on it to a known modem with its driver set up.
func (m *Modem) start(ctx context.Context) error {
	if err := m.listen(ctx); err != nil {
		return err
	}
	if err := m.meet(ctx); err != nil {
		return err
	}
	d, err := choose(m.opts.Driver, m.Identity())
	if err != nil {
		return err
	}
	if d.Probe != nil {
		if d, err = d.Probe(ctx, m, m.Identity()); err != nil {
			return fmt.Errorf("asking for the flavour of the firmware: %w", err)
		}
	}
	m.driver = d
	if err := m.use(ctx, d.Grammar); err != nil {
		return err
	}
	for _, c := range d.Setup {
		if err := m.try(ctx, c); err != nil {
			return err
		}
	}
	if d.Attach != nil {
		if err := d.Attach(ctx, m); err != nil {
			return err
		}
	}
	return m.tune(ctx)
}

// listen keeps still until the modem must have left a data state that the last host left it in.
func (m *Modem) listen(ctx context.Context) error {
	if m.opts.Quiet == 0 {
		return nil
	}
	m.opts.Progress("listening: the last run may have left the modem waiting for data")
	return m.still(ctx, m.opts.Quiet)
}

// still sends nothing for so long.
func (m *Modem) still(ctx context.Context, length time.Duration) error {
	t := time.NewTimer(length)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-m.Done():
		return m.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// meet greets the modem and asks who it is. While a line is still noisy an answer may come alone by chance, and noise that
// comes with one would be taken for the modem's name: an identity counts if nothing came beside it, or if it comes twice.
func (m *Modem) meet(ctx context.Context) error {
	for start, last := time.Now(), (Identity{}); ; {
		if err := m.greet(ctx); err != nil {
			return err
		}
		noise := m.Counters().UnexpectedLines
		id, alone, err := m.identify(ctx)
		if err != nil {
			return err
		}
		if alone && m.Counters().UnexpectedLines == noise || id == last || time.Since(start) > noiseTimeout {
			m.learn(func(i *Identity, _ *Network) { *i = id })
			return nil
		}
		last = id
		if err := m.still(ctx, settleTime); err != nil {
			return err
		}
	}
}

// greet gets the modem's attention, then turns the echo off and numeric errors on (V.250 5.2.3, 27.007 9.1).
func (m *Modem) greet(ctx context.Context) error {
	if err := m.hail(ctx); err != nil {
		return err
	}
	for _, c := range []atcmd.Command{atcmd.Exec("E0"), atcmd.Set("+CMEE", 1)} {
		if err := m.try(ctx, c); err != nil {
			return err
		}
	}
	return m.fallIn(ctx)
}

// hail sends AT until it is answered by OK and nothing else. What comes beside an OK, while a line is still noisy, could be
// taken for an answer later: once anything did, nothing may come for settleTime before the OK either.
func (m *Modem) hail(ctx context.Context) error {
	m.opts.Progress("waiting for the modem to answer AT")
	noisy := false
	for start := time.Now(); ; {
		patient := time.Since(start) <= noiseTimeout
		noise := m.Counters().UnexpectedLines
		if noisy && patient { // later, an OK that is clean itself will do: some modems are never silent
			if err := m.still(ctx, settleTime); err != nil {
				return m.noAnswer(err)
			}
		}
		r, err := m.Do(ctx, atcmd.Exec("").WithTimeout(firstTimeout))
		beside := len(r.Info) > 0 || m.Counters().UnexpectedLines != noise
		switch {
		case err == nil && !beside:
			return nil
		case !patient && (err == nil || atcmd.Refused(err)):
			return fmt.Errorf("%w: what comes back for AT is not a clean OK; is the wiring sound, and the baud rate right?", ErrNoAnswer)
		case err != nil && !errors.Is(err, atcmd.ErrTimeout) && !atcmd.Refused(err) && !errors.Is(err, atcmd.ErrReboot):
			return m.noAnswer(err)
		}
		noisy = noisy || beside
	}
}

// fallIn makes sure that each answer belongs to its command. A modem that boots may take a command before its banner and
// answer it after: from then on every OK is that of the command before, and nothing in it tells.
func (m *Modem) fallIn(ctx context.Context) error {
	for start := time.Now(); ; {
		r, err := m.Do(ctx, atcmd.Read("+CMEE"))
		switch {
		case atcmd.Refused(err), err == nil && len(r.Info) == 1: // a modem without +CMEE has nothing to show
			return nil
		case err != nil:
			return m.noAnswer(err)
		case time.Since(start) > noiseTimeout:
			return fmt.Errorf("%w: the modem answers AT+CMEE? with nothing but OK", ErrNoAnswer)
		}
		if err := m.still(ctx, settleTime); err != nil { // what is still to come belongs to nobody
			return err
		}
	}
}

func (m *Modem) noAnswer(err error) error {
	if !errors.Is(err, atcmd.ErrResync) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %s", ErrNoAnswer, m.silence())
}

// silence says what a silent or babbling line probably means.
func (m *Modem) silence() string {
	switch c := m.Counters(); {
	case c.BytesIn == 0:
		return "the modem sends nothing: is it powered and switched on, is this its AT port, are TX and RX crossed?"
	case c.UnexpectedLines > 0 || c.StaleAnswers == 0:
		return "the modem sends, but nothing that answers the command: is the baud rate right? (most modules run at 115200)"
	}
	return "the modem answers, but late: is it busy?"
}

// ErrNoAnswer: nothing on this port answers AT.
var ErrNoAnswer = errors.New("no answer")

// identify asks 27.007 5.1 to 5.4 who this is, and reports whether each answer stood alone. A modem that refuses one of
// them is not refused for it.
func (m *Modem) identify(ctx context.Context) (id Identity, alone bool, _ error) {
	alone = true
	for _, q := range []struct {
		name string
		into *string
	}{{"+CGMI", &id.Manufacturer}, {"+CGMM", &id.Model}, {"+CGMR", &id.Revision}, {"+CGSN", &id.IMEI}} {
		r, err := m.Do(ctx, atcmd.Exec(q.name))
		switch {
		case err == nil:
			*q.into = bare(r, q.name)
		case !atcmd.Refused(err):
			return id, false, fmt.Errorf("asking who the modem is: %w", err)
		}
		alone = alone && len(said(r, q.name)) <= 1
	}
	return id, alone, nil
}

// bare is what an answer says.
func bare(r atcmd.Response, name string) string {
	if all := said(r, name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// said is what the lines of an answer say, which some modules print bare, others behind the command's name, and a few on
// the line below it. A line that bears the name goes before others, which may be noise.
func said(r atcmd.Response, name string) []string {
	var named, others []string
	for _, l := range r.Info {
		text, has := strings.CutPrefix(l.Head, name)
		text = strings.Trim(strings.TrimLeft(text, " :"), `" `)
		switch {
		case text == "":
		case has:
			named = append(named, text)
		default:
			others = append(others, text)
		}
	}
	return append(named, others...)
}

// accepts sends a setting and reports whether the modem took it: firmware differs in what it knows.
func (m *Modem) accepts(ctx context.Context, c atcmd.Command) (bool, error) {
	_, err := m.Do(ctx, c)
	if atcmd.Refused(err) {
		m.log.Debug("the modem refused a setting that it can do without", "error", err)
		return false, nil
	}
	return err == nil, err
}

// try is accepts for a setting whose refusal changes nothing.
func (m *Modem) try(ctx context.Context, c atcmd.Command) error {
	_, err := m.accepts(ctx, c)
	return err
}
