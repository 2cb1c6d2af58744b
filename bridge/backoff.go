package bridge

import (
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = time.Second
	backoffMax   = time.Minute
	// portMax is the same for attempts that do not get as far as a broker: to look for a port disturbs nobody.
	portMax = 10 * time.Second
	// stable is how long a session must have stood before the next failure counts as the first: a broker that takes
	// every connection and drops it at once must not be called upon every second for ever.
	stable = time.Minute
)

// backoff is how long to wait before the next attempt: twice as long each time, never in step with others. The supervisor has
// two of them: what is wrong with the port must not make the broker wait, and a port that comes and goes must not let a
// broker that refuses be called upon every second.
type backoff struct {
	most  time.Duration
	next  time.Duration
	since time.Time // when the last session began; zero: none since the last wait
}

// stood notes that a session has begun.
func (b *backoff) stood(now time.Time) { b.since = now }

// anew ends the row of failures: what was behind them is evidently mended.
func (b *backoff) anew() { b.next = 0 }

// wait returns how long to wait now. A session that stood for long enough ends the row of failures.
func (b *backoff) wait(now time.Time) time.Duration {
	if b.next == 0 || !b.since.IsZero() && now.Sub(b.since) >= stable {
		b.next = backoffFirst
	}
	b.since = time.Time{}
	wait := b.next
	b.next = min(2*b.next, b.most)
	return wait/2 + rand.N(wait) // 0.5 to 1.5 times
}
