package modems

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// ErrDeaf is why a line ended on which the modem has stopped answering.
var ErrDeaf = atcmd.ErrResync

// ErrNoResult: the modem owes the result of something that it has begun.
var ErrNoResult = atcmd.ErrTimeout

const (
	pingTimeout = 2 * time.Second
	// bootTime is how long a module may take from its OK to the restart until it says that it goes down or has come up;
	// seen: 3.3 s on an EG800K, 5.9 s on a BG96.
	bootTime = 15 * time.Second
)

// Ping asks whether the modem still answers.
func (m *Modem) Ping(ctx context.Context) error {
	if _, err := m.Do(ctx, atcmd.Exec("").WithTimeout(pingTimeout)); err != nil && !atcmd.Refused(err) {
		return fmt.Errorf("asking whether the modem still answers: %w", err)
	}
	return nil
}

// Deactivate takes the data connection down, whatever the modem says of its state; Online brings it up again.
func (m *Modem) Deactivate(ctx context.Context) error {
	deactivate := m.driver.Deactivate
	if deactivate == nil {
		deactivate = deactivate27007
	}
	if err := deactivate(ctx, m); err != nil {
		return fmt.Errorf("taking the data connection down: %w", err)
	}
	return nil
}

// deactivate27007 detaches where the last context may not be deactivated alone, as on LTE (27.007 10.1.10, 10.1.9).
func deactivate27007(ctx context.Context, m *Modem) error {
	states, err := contexts(ctx, m)
	if err != nil {
		return err
	}
	off, err := m.accepts(ctx, atcmd.Set("+CGACT", 0, chooseContext(states)).WithTimeout(actTimeout))
	if off || err != nil {
		return err
	}
	_, err = m.Do(ctx, atcmd.Set("+CGATT", 0).WithTimeout(attachTimeout))
	return err
}

// Restart lets the module boot, and returns when it says that it does. It must be attached anew afterwards.
func (m *Modem) Restart(ctx context.Context) error {
	booting := make(chan struct{}, 1)
	stop := m.router.on(func(atcmd.Line) {
		select {
		case booting <- struct{}{}:
		default:
		}
	}, m.bootSigns()...)
	defer stop()
	m.base = 0 // it boots at its own rate
	commands := m.driver.Restart
	if commands == nil {
		commands = []string{"+CFUN=1,1"} // 27.007 8.2
	}
	for _, line := range commands {
		_, err := m.Do(ctx, atcmd.Exec(line).WithTimeout(bootTime))
		if atcmd.Refused(err) {
			continue
		}
		if err != nil && !errors.Is(err, atcmd.ErrReboot) {
			return fmt.Errorf("restarting the modem: %w", err)
		}
		t := time.NewTimer(bootTime)
		defer t.Stop()
		select {
		case <-booting:
		case <-m.Done(): // a port on USB goes with it
		case <-t.C: // it tells another port
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	return errors.New("the modem refuses to restart")
}

// bootSigns are how the lines begin that tell of a start, or that the module goes down.
func (m *Modem) bootSigns() []string {
	signs := m.driver.Grammar.Reboot
	if banner := m.driver.Grammar.Banner; banner != "" {
		signs = append([]string{banner}, signs...)
	}
	return signs
}

// Rebooted reports whether the module has started anew since it was attached: then it has forgotten how it was set up, and
// must be attached again.
func (m *Modem) Rebooted() bool { return m.booted.Load() }

// LeavesDataState reports whether the module is known to stop waiting for a payload by itself. Where it does not, what is
// written after a host that died between a prompt and its payload becomes part of that payload.
func (m *Modem) LeavesDataState() bool { return m.leavesData.Load() }

func (m *Modem) use(ctx context.Context, g atcmd.Grammar) error {
	err := m.engine.Use(ctx, g)
	if err == nil {
		m.leavesData.Store(g.EditTimeout > 0)
	}
	return err
}
