package modemsim

import (
	"sync/atomic"
	"time"
)

// Stats is what the module has counted and measured since Start.
type Stats struct {
	FromHost, ToHost int64 // bytes on the two wires
	Overruns         int64 // bytes lost because the host did not read them
	Commands         int64 // command lines
	Publishes        int64 // accepted with OK
	Sends            int64 // over sockets, accepted
	Results          int64 // publish result URCs with result 0, printed or swallowed by a fault
	Received         int64 // messages from the broker
	InFlightPeak     int64 // most publishes unacknowledged at once, over all clients
	Reboots          int64

	PacingError float64       // by what share the slower wire took longer than its rate; 0.01 is one per cent
	Turnaround  time.Duration // median delay that the simulator itself adds to an answer on an idle wire
}

// Stats may be called at any time.
func (s *Sim) Stats() Stats {
	return Stats{
		FromHost:     s.count.fromHost.Load(),
		ToHost:       s.count.toHost.Load(),
		Overruns:     s.count.overruns.Load(),
		Commands:     s.count.commands.Load(),
		Publishes:    s.count.publishes.Load(),
		Sends:        s.count.sends.Load(),
		Results:      s.count.results.Load(),
		Received:     s.count.received.Load(),
		InFlightPeak: s.count.inFlightPeak.Load(),
		Reboots:      s.count.reboots.Load(),
		PacingError:  max(s.rxMeter.pacingError(), s.txMeter.pacingError()),
		Turnaround:   s.txMeter.median(),
	}
}

type counters struct {
	fromHost, toHost, overruns             atomic.Int64
	commands, publishes, results, received atomic.Int64
	inFlightPeak, reboots, sends           atomic.Int64
	deaf                                   atomic.Bool // the host did not read what was written last
}
