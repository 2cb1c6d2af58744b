package control

import "sync"

// backlog is what waits for somebody who listens. Whoever is slower than the modem misses some of it, and is told how much,
// where it is missing.
type backlog[T any] struct {
	waiting chan T
	tell    func(missed int) T

	mu     sync.Mutex
	missed int
}

func newBacklog[T any](room int, tell func(missed int) T) *backlog[T] {
	return &backlog[T]{waiting: make(chan T, room), tell: tell}
}

// put never blocks.
func (b *backlog[T]) put(e T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missed > 0 && b.offer(b.tell(b.missed)) {
		b.missed = 0
	}
	if b.missed > 0 || !b.offer(e) {
		b.missed++
	}
}

func (b *backlog[T]) offer(e T) bool {
	select {
	case b.waiting <- e:
		return true
	default:
		return false
	}
}

// flush is called when something was taken: what was missed behind the last that waits is told now.
func (b *backlog[T]) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missed > 0 && len(b.waiting) == 0 && b.offer(b.tell(b.missed)) {
		b.missed = 0
	}
}
