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
	next time.Duration
}

// wait returns how long to wait now.
func (b *backoff) wait() time.Duration {
	if b.next == 0 {
		b.next = backoffFirst
	}
	wait := b.next
	b.next = min(2*b.next, backoffMax)
	return wait/2 + rand.N(wait) // 0.5 to 1.5 times
}
