package modemsim

import (
	"errors"
	"fmt"
	"strings"
)

// What can happen to a module that is running. Each of these methods may be called at any time, from any goroutine;
// one that means nothing on this module says so.

// Reset is the module's reset pin: it reboots at once, whatever state it is in.
func (s *Sim) Reset() {
	s.post(s.calls, func(d *dce) {
		if !d.unpowered {
			d.reboot()
		}
	})
}

// Wedge hangs the whole module: it takes bytes and answers nothing, its connections stall and are not closed. Only
// Reset ends that, or a power failure.
func (s *Sim) Wedge() {
	s.post(s.calls, func(d *dce) { d.wedged, d.frozen = true, true })
}

// WedgeMQTT hangs the MQTT stack alone. Its commands are accepted with OK or refused, and no result URC ever comes;
// nothing is sent and nothing received. A reboot ends that.
func (s *Sim) WedgeMQTT() error {
	if s.faults.noMQTT || s.faults.luatOS {
		return errors.New("modemsim: this firmware has no MQTT stack that could hang")
	}
	s.post(s.calls, func(d *dce) {
		if !d.stuck {
			d.stuck = true
			d.model.hang()
		}
	})
	return nil
}

// LosePDP takes the PDP context away without a word: the module goes on to believe in it. Its connections are black
// holes and new ones fail, until the context is deactivated, or a reboot.
func (s *Sim) LosePDP() error {
	if s.faults.luatOS {
		return errors.New("modemsim: this firmware has nothing that uses a PDP context")
	}
	s.post(s.calls, func(d *dce) {
		d.stale = true
		s.reach.cut()
	})
	return nil
}

// SetCoverage takes the cellular network away, or brings it back: registration, PDP contexts and what hangs on them
// go as the family says.
func (s *Sim) SetCoverage(on bool) {
	s.post(s.calls, func(d *dce) {
		if d.uncovered == on {
			d.uncovered = !on
			d.model.search()
		}
	})
}

// SetSIM pulls the SIM card, or puts it back.
func (s *Sim) SetSIM(on bool) {
	s.post(s.calls, func(d *dce) {
		if d.f.noSIM == on {
			d.f.noSIM = !on
			d.model.card()
		}
	})
}

// CutNetwork makes a black hole behind the module. Connections that are open when it begins are lost for good and
// are not closed; what is dialled waits for its end. The module's own view of the cellular network is not touched.
func (s *Sim) CutNetwork(on bool) {
	s.reach.block(on)
	if on {
		s.reach.cut()
	}
}

// SetBootBaud changes the rate at which the module comes up from its next reboot on.
func (s *Sim) SetBootBaud(baud int) error {
	switch {
	case s.cfg.Baud == 0:
		return errors.New("modemsim: a line that is not paced has no baud rate")
	case baud < 1200 || baud > 4_000_000:
		return fmt.Errorf("modemsim: baud rate %d is out of range", baud)
	}
	s.post(s.calls, func(d *dce) { d.nvm.baud = baud })
	return nil
}

// Noise puts n bytes of garbage on the line to the host, between what else is there.
func (s *Sim) Noise(n int) {
	s.post(s.calls, func(d *dce) {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(d.rnd.Uint32())
		}
		d.emit(string(p))
	})
}

// Unplug pulls the cable: the host sees a hang-up. The module lives on, unreachable.
func (s *Sim) Unplug() { s.pty.Load().unplug() }

// UnplugPower is Unplug of a module that has its power over the same cable: its connections break.
func (s *Sim) UnplugPower() {
	s.Unplug()
	s.post(s.calls, func(d *dce) {
		d.halt()
		d.off, d.unpowered = true, true
	})
}

// Replug brings the module back as another device, whose name Path tells from then on. It goes on where it was, or
// boots after UnplugPower.
func (s *Sim) Replug() error {
	s.plug.Lock()
	defer s.plug.Unlock()
	if s.ctx.Err() != nil {
		return errors.New("modemsim: the module has ended")
	}
	fresh, err := openPTY(int(s.baud.Load()))
	if err != nil {
		return fmt.Errorf("modemsim: open a pseudo-terminal: %w", err)
	}
	s.pty.Swap(fresh).unplug()
	s.wg.Go(func() { s.read(fresh) })
	s.post(s.calls, func(d *dce) {
		if d.unpowered {
			d.unpowered = false
			d.reboot()
		}
	})
	return nil
}

// ailing is what Sim's methods have made of the module. A reboot does not mend what it is not the cause of.
type ailing struct {
	frozen    bool // nothing runs any more; wedged goes with it
	stuck     bool // the MQTT stack
	stale     bool // the PDP context is up in name only
	uncovered bool
	unpowered bool
}

// rebooted is what is left after a reboot.
func (a ailing) rebooted() ailing { return ailing{uncovered: a.uncovered, unpowered: a.unpowered} }

// hushed reports whether a line is of an MQTT stack that hangs.
func (d *dce) hushed(line string) bool {
	return d.stuck && (strings.HasPrefix(line, "+QMT") || strings.HasPrefix(line, "+LMQTT"))
}

// changeCard is a SIM card that was pulled or put back while the module runs.
func (g *general) changeCard() {
	g.locked = g.f.pin != ""
	if g.fun != 0 {
		g.sayPIN()
	}
	g.search()
}

// hang is the MQTT stack stopping where it is (see Sim.WedgeMQTT).
func (q *quectel) hang() {
	for _, c := range q.clients {
		c.hole = true
	}
}

func (l *lierda) hang() { l.hole = true }

func (m *luatMQTT) hang() { m.hole = true }
