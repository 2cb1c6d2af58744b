package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
)

// Which time it is, for certificates and tokens. A board without a battery begins at 1970, at the time of its image, or at the
// time when it was switched off, which may be months ago and looks as good as any; it hears better by NTP, or from the modem.

// setClock takes the modem's clock where this machine's is not to be relied on. A clock that stood still is behind: the modem's
// is taken only if it is ahead, so that no module can bring an expired certificate back on a machine that knows the time.
func (l *login) setClock(ctx context.Context, o bridge.Outside) {
	l.network = time.Time{}
	plausible := cloud.Plausible(l.now())
	if o.Clock == nil || plausible && l.sure() {
		return
	}
	t, err := o.Clock(ctx)
	now := l.now()
	switch known := err == nil && cloud.Plausible(t); {
	case known && (!plausible || t.Sub(now) > clockSlack):
		l.network, l.read = t, now
		l.log.Warn("this machine's clock is not set; the modem's is used to log in and to check certificates", "machine", now.UTC(), "modem", t.UTC())
	case !plausible:
		l.log.Warn("neither this machine nor the modem knows the time", "modem", t, "why", err)
	}
}

// clock is the best guess at what time it is. What counts the time since the modem was asked does not jump when this machine's
// clock is set.
func (l *login) clock() time.Time {
	now := l.now()
	if l.network.IsZero() {
		return now
	}
	return l.network.Add(now.Sub(l.read))
}

// time is clock, where that is a time at all.
func (l *login) time() (time.Time, error) {
	now := l.clock()
	if !cloud.Plausible(now) {
		return now, bridge.ErrNoTime
	}
	return now, nil
}

// synchronised reports whether something keeps this machine's clock right since it has started, as far as is known.
func synchronised() bool {
	var ask unix.Timex
	if state, err := unix.Adjtimex(&ask); err == nil {
		return state != unix.TIME_ERROR
	}
	_, err := os.Stat("/run/systemd/timesync/synchronized") // ProtectClock= forbids even to ask the kernel
	return err == nil
}
