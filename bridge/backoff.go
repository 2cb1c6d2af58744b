package bridge

import (
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = time.Second
	backoffMax   = time.Minute
	// stable is how long a session must have stood before the next failure counts as the first: a broker that takes
	// every connection and drops it at once must not be called upon every second for ever.
	stable = time.Minute
)

// backoff is how long to wait before the next attempt: twice as long each time, never in step with others.
type backoff struct {
	next  time.Duration
	since time.Time // when the last session began; zero: none since the last wait
}

// stood notes that a session has begun.
func (b *backoff) stood(now time.Time) { b.since = now }

// wait returns how long to wait now. A session that stood for long enough ends the row of failures.
func (b *backoff) wait(now time.Time) time.Duration {
	if b.next == 0 || !b.since.IsZero() && now.Sub(b.since) >= stable {
		b.next = backoffFirst
	}
	b.since = time.Time{}
	wait := b.next
	b.next = min(2*b.next, backoffMax)
	return wait/2 + rand.N(wait) // 0.5 to 1.5 times
}
