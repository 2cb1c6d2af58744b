package bridge

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Entry is a message that Next has handed out. It must be settled exactly once: by Delivered, Undelivered or Poison.
type Entry struct {
	o        *Outbox
	record   putRecord
	attempts int
	settled  bool // guarded by o.mu
}

func (e *Entry) ID() uint64              { return e.record.id }
func (e *Entry) Message() modems.Message { return e.record.message }
func (e *Entry) Arrival() time.Time      { return e.record.arrival }
func (e *Entry) Attempts() int           { return e.attempts } // times handed out by this process

// Delivered removes the message from the queue.
func (e *Entry) Delivered() error {
	return e.settle(func(it *item) { e.o.settle(it, outcomeDelivered) })
}

// Undelivered gives the message back: it comes next, before all younger ones.
func (e *Entry) Undelivered() error { return e.settle(e.o.giveBack) }

// Poison keeps the message, for a person to look at, but never hands it out again. It counts towards the limits.
func (e *Entry) Poison(why error) error {
	return e.settle(func(it *item) {
		r := e.record
		r.reason = "no reason was given"
		if why != nil && why.Error() != "" {
			r.reason = why.Error()[:min(len(why.Error()), maxReason)]
		}
		it.state = poisoned
		e.o.stats.Poisoned++
		e.o.rewrites = append(e.o.rewrites, r)
		e.o.flushSoon()
	})
}

func (e *Entry) settle(how func(*item)) error {
	e.o.mu.Lock()
	defer e.o.mu.Unlock()
	if e.settled {
		return errSettled
	}
	if e.o.closed { // it cannot be written down any more: the next start hands the message out again
		return ErrClosed
	}
	e.settled = true
	i, ok := findItem(e.o.items, e.record.id)
	if !ok {
		return fmt.Errorf("message %d: %w", e.record.id, ErrNoMessage)
	}
	how(&e.o.items[i])
	return nil
}

// QueueStats is the state of the queue. From Rejected on it counts since the start.
type QueueStats struct {
	Messages int           // in the queue, the poisoned ones included
	Bytes    int64         // that they take on the disk
	Oldest   time.Duration // age of the oldest that still has to be delivered; 0: none
	Poisoned int

	Rejected  int // refused, and their publishers were told: the queue was full, or could not be written
	Dropped   int // the sum of DroppedBy
	DroppedBy Drops
	Damaged   int // records that could not be read

	Broken error // why nothing can be stored at present; nil: it can
}

// Stats returns the state of the queue.
func (o *Outbox) Stats() QueueStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	if o.broken != nil {
		s.Broken = fmt.Errorf("%w, new messages are refused: %w", ErrStore, o.broken)
	}
	s.Dropped = s.DroppedBy.sum()
	for i := range o.items {
		if it := &o.items[i]; it.state == waiting || it.state == inFlight {
			s.Oldest = o.age(it)
			break
		}
	}
	return s
}

// waits reports whether the message is still to be delivered.
func (o *Outbox) waits(id uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := findItem(o.items, id)
	return ok && (o.items[i].state == waiting || o.items[i].state == inFlight)
}

// Stored is a message as it lies in the queue.
type Stored struct {
	ID      uint64
	Message modems.Message
	Handling
	Arrival time.Time // by the wall's clock
	Age     time.Duration
	Size    int    // bytes on the disk
	State   string // waiting, in-flight, poisoned, unreadable
	Reason  string // why it is poisoned
}

var stateNames = [...]string{waiting: "waiting", inFlight: "in-flight", aside: "unreadable", poisoned: "poisoned", hole: "settled"}

// All yields every message in the queue, oldest first, the poisoned ones included. A
// message that cannot be read comes with an error.
func (o *Outbox) All() iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		var next uint64
		for {
			o.mu.Lock()
			i, _ := findItem(o.items, next)
			for i < len(o.items) && o.items[i].state == hole {
				i++
			}
			if i == len(o.items) || o.closed {
				o.mu.Unlock()
				return
			}
			next = o.items[i].id
			o.mu.Unlock()
			s, err := o.Lookup(next)
			if !errors.Is(err, ErrNoMessage) && !yield(s, err) { // it may have been delivered meanwhile
				return
			}
			next++
		}
	}
}

// Lookup returns one message, and leaves it where it is.
func (o *Outbox) Lookup(id uint64) (Stored, error) {
	o.mu.Lock()
	i, ok := findItem(o.items, id)
	if !ok {
		o.mu.Unlock()
		return Stored{ID: id}, fmt.Errorf("message %d: %w", id, ErrNoMessage)
	}
	it, from := o.items[i], o.journal
	var reason string
	for _, r := range slices.Concat(o.rewrites, o.writing) { // poisoned so lately that the log does not say so yet
		if r.id == id && r.reason != "" {
			reason = r.reason
		}
	}
	o.mu.Unlock()
	s := Stored{
		ID: id, Handling: it.Handling, Arrival: time.Unix(0, it.born), Age: o.age(&it), Size: int(it.size),
		State: stateNames[it.state], Reason: reason,
	}
	r, err := from.read(id, it.index)
	if err != nil {
		return s, fmt.Errorf("message %d: %w", id, err)
	}
	s.Message, s.Arrival = r.message, r.arrival
	if r.reason != "" {
		s.Reason = r.reason
	}
	return s, nil
}

// Drop removes a message that is not in flight, whether it is poisoned or not.
func (o *Outbox) Drop(id uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := findItem(o.items, id)
	switch {
	case o.closed:
		return ErrClosed
	case !ok:
		return fmt.Errorf("message %d: %w", id, ErrNoMessage)
	case o.items[i].state == inFlight:
		return fmt.Errorf("message %d: %w", id, ErrInFlight)
	}
	o.drop(&o.items[i], &o.stats.DroppedBy.ByHand)
	return nil
}
