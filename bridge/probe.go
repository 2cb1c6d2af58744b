package bridge

import (
	"context"
	"time"
)

const (
	// probeEvery is how often an attached modem is asked for its signal: also the longest that an idle one can be
	// wedged unnoticed, but for the command's own timeout and the engine's tries.
	probeEvery = 30 * time.Second

	// raisedEvery is how often at a raised baud rate: a module that reboots goes back to its own, and the banner by which
	// a reboot is told comes as noise.
	raisedEvery = 10 * time.Second

	// lookEvery is how often a line is looked at on which acknowledgements are due, and dueSilence how long it may be
	// silent before the modem is asked whether it still answers; on NB-IoT an acknowledgement may take as long.
	lookEvery  = 2 * time.Second
	dueSilence = 8 * time.Second
)

// alive is how often the bridge shows that it gets on.
func (b *Bridge) alive() time.Duration {
	if b.cfg.Alive > 0 {
		return min(b.cfg.Alive, probeEvery)
	}
	return probeEvery
}

// probe asks the modem for its signal now and then, which also shows that it still answers; and sooner where
// acknowledgements are due and nothing comes. A wedged modem shows no other sign.
func (b *Bridge) probe(ctx context.Context) error {
	b.mu.Lock()
	m := b.modem
	b.mu.Unlock()
	every := b.alive()
	if m != nil && m.Raised() {
		every = min(every, raisedEvery)
	}
	signal, look := time.NewTicker(every), time.NewTicker(lookEvery)
	defer signal.Stop()
	defer look.Stop()
	look.Stop()      // until something is due: an idle machine sleeps
	var heard uint64 // bytes
	var last time.Time
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-signal.C:
			if m != nil {
				err = m.Probe(ctx)
			}
			if err == nil {
				b.progress()
			}
		case <-b.due:
			if m != nil {
				last = time.Now()
				look.Reset(lookEvery)
			}
		case now := <-look.C:
			switch n := m.Counters().BytesIn; {
			case b.inFlight.Load() == 0:
				look.Stop()
			case n != heard:
				heard, last = n, now
			case now.Sub(last) >= dueSilence:
				err = m.Ping(ctx)
			}
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}
