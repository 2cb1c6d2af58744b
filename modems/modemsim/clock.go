package modemsim

import (
	"slices"
	"time"
)

// timer calls f in the goroutine that owns the module. Its moment may be moved.
type timer struct {
	at time.Time
	f  func()
}

// advance moves the module's time forward; it never goes back.
func (d *dce) advance(t time.Time) { d.now = later(d.now, t) }

// after calls f once, delay from now. A reboot forgets it.
func (d *dce) after(delay time.Duration, f func()) *timer {
	t := &timer{d.now.Add(delay), f}
	d.timers = append(d.timers, t)
	return t
}

func (d *dce) cancel(t *timer) {
	if i := slices.Index(d.timers, t); i >= 0 {
		d.timers = slices.Delete(d.timers, i, i+1)
	}
}

// earliest returns the timer that is due first, nil if there is none. A module has a
// handful of them, so a list is enough.
func (d *dce) earliest() *timer {
	if len(d.timers) == 0 {
		return nil
	}
	return slices.MinFunc(d.timers, func(a, b *timer) int { return a.at.Compare(b.at) })
}

func (d *dce) fire(t *timer) {
	d.cancel(t)
	t.f()
}

// between draws a duration.
func (d *dce) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(d.rnd.Int64N(int64(hi-lo)))
}

// makeNoise fills the TX line with garbage until end, as a floating line does at power-on.
func (d *dce) makeNoise(end time.Time) {
	const tick = 5 * time.Millisecond
	if !d.now.Before(end) {
		return
	}
	baud := d.baud
	if baud == 0 {
		baud = 115200
	}
	p := make([]byte, max(1, int(tick/span(1, baud))))
	for i := range p {
		p[i] = byte(d.rnd.Uint32())
	}
	d.emit(string(p))
	d.after(tick, func() { d.makeNoise(end) })
}
