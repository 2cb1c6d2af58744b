package modems

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// adjustable is a serial port whose settings follow the module's.
type adjustable interface {
	Baud() int
	SetBaud(baud int) error
	SetRTSCTS(on bool) error
}

const (
	// rateSettles is how long the UARTs of both sides may take to change: the makers say "after OK", and no time.
	rateSettles = 100 * time.Millisecond
	lowerLimit  = 2 * time.Second
)

// tune makes of the line what the options ask for. Nothing of it is stored in the module (no AT&W): after a reset it is back at
// its own rate, and after a crash of this program FindBaud finds it. What the module refuses it can do without.
func (m *Modem) tune(ctx context.Context) error {
	port, ok := m.port.(adjustable)
	if !ok {
		return nil
	}
	if m.opts.RTSCTS {
		if err := m.flow(ctx, port); err != nil {
			return err
		}
	}
	if m.opts.BaudUp == 0 {
		return nil
	}
	return m.raise(ctx, port)
}

// flow turns RTS/CTS on (V.250 6.2.12), the module's side first: until both have it, the side that has waits for wires that
// the other one drives all the same.
func (m *Modem) flow(ctx context.Context, port adjustable) error {
	taken, err := m.accepts(ctx, atcmd.Set("+IFC", 2, 2))
	if err != nil {
		return err
	}
	if !taken {
		m.log.Warn("the modem refuses RTS/CTS flow control (AT+IFC=2,2); the line goes on without")
		return nil
	}
	if err := port.SetRTSCTS(true); err != nil {
		m.log.Warn("the line goes on without RTS/CTS flow control", "why", err)
		return m.try(ctx, atcmd.Set("+IFC", 0, 0))
	}
	return nil
}

// raise goes to the rate BaudUp (V.250 6.2.10). A line that does not carry it goes back.
func (m *Modem) raise(ctx context.Context, port adjustable) error {
	base, up := m.opts.Baud, m.opts.BaudUp
	if port.Baud() == up { // an earlier run was killed up there
		m.base = base
		return nil
	}
	m.opts.Progress(fmt.Sprintf("raising the baud rate to %d", up))
	taken, err := m.accepts(ctx, atcmd.Set("+IPR", up))
	if err != nil {
		return err
	}
	if !taken {
		m.log.Warn("the modem refuses the baud rate; it stays where it is", "baud_up", up, "baud", port.Baud())
		return nil
	}
	before := port.Baud()
	if err = m.follow(ctx, port, up); err == nil {
		m.base = base
		return nil
	}
	m.log.Warn("no answer at the raised baud rate; is the line too long, or the adapter too slow?", "baud_up", up, "why", err)
	if ctx.Err() != nil || m.Err() != nil {
		return err
	}
	return errors.Join(m.follow(ctx, port, before))
}

// follow sets the port to baud and asks whether the modem is there too.
func (m *Modem) follow(ctx context.Context, port adjustable, baud int) error {
	if err := port.SetBaud(baud); err != nil {
		return err
	}
	if err := m.still(ctx, rateSettles); err != nil {
		return err
	}
	_, err := m.Do(ctx, atcmd.Exec("").WithTimeout(firstTimeout))
	if err != nil {
		return m.noAnswer(err)
	}
	return nil
}

// Raised reports whether the line runs at a rate that the module forgets when it reboots.
func (m *Modem) Raised() bool { return m.base != 0 }

// lower takes a raised rate back, so that whoever opens the port next finds the modem at the one that it knows.
func (m *Modem) lower() {
	if m.base == 0 || m.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lowerLimit)
	defer cancel()
	if err := m.try(ctx, atcmd.Set("+IPR", m.base)); err != nil {
		m.log.Debug("the baud rate was not taken back", "why", err)
	}
	m.base = 0
}
