package bridge

import (
	"slices"
	"time"
)

// A message is as old as the time that has passed since, and not as the clock on the wall says: on a machine without
// a clock of its own that jumps by a week when the network comes. So while one process runs, ages are measured by the
// monotonic clock. Only across a start there is nothing but the wall's time that stands in each record, and date
// makes of it what can be believed.

// now is the wall's time at the opening, and what has passed since: Unix nanoseconds that never jump.
func (o *Outbox) now() int64 { return o.wallAtOpen + int64(time.Since(o.opened)) }

func (o *Outbox) age(it *item) time.Duration { return time.Duration(o.now() - it.born) }

// epoch: a clock that shows an earlier time had not been set since its machine started.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// date corrects when the items were born, as their records say, for a queue that is opened now. In doubt a message is
// younger than it seems: nothing that came from the future, and nothing older than what came before it. One that was
// stored without a clock is as old as the next.
func date(items []item, now int64) {
	next := now
	for i := range slices.Backward(items) {
		if items[i].born < epoch {
			items[i].born = next
		}
		items[i].born = min(items[i].born, now)
		next = items[i].born
	}
	for i := 1; i < len(items); i++ {
		items[i].born = max(items[i].born, items[i-1].born)
	}
}

// expire drops what is older than MaxAge. It looks from the oldest on and stops at the first that is young enough.
func (o *Outbox) expire() {
	if o.cfg.MaxAge == 0 {
		return
	}
	items := o.items // drop shortens o.items
	for i := range items {
		it := &items[i]
		switch {
		case it.state != waiting:
		case o.age(it) > o.cfg.MaxAge:
			o.drop(it, &o.stats.DroppedBy.Old)
		default:
			return
		}
	}
}
