package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/atbridge/atbridge/modems"
)

var (
	// ErrQueueFull: there is no room until something is settled; see Outbox.Room.
	ErrQueueFull = errors.New("the queue is full")
	// ErrTooLarge: the message would not fit into an empty queue.
	ErrTooLarge = errors.New("the message is larger than the queue")
	// ErrStore: the disk refuses to store. The queue tries again by itself; see Outbox.Room.
	ErrStore = errors.New("the queue cannot be written")
	// ErrClosed: the queue has been closed.
	ErrClosed = errors.New("the queue is closed")

	errSettled  = errors.New("the entry has been settled before")
	errInFlight = errors.New("the message is being sent")
	errNoSuchID = errors.New("the queue has no message with this id")
)

// OutboxConfig: only Dir is required.
type OutboxConfig struct {
	Dir         string
	MaxBytes    int64         // on the disk, preallocation included; 0: 64 MiB
	MaxMessages int           // 0: 100,000
	DropOldest  bool          // when full; else Put refuses
	Sync        time.Duration // collect for this long before an fsync; 0: at once. done is called after the fsync either way
	MaxAge      time.Duration // older messages are dropped; 0: never
	Log         *slog.Logger

	disk disk // nil: the real one
}

// Outbox is the durable queue between accepting a message and its acknowledgement by the other side.
//
//   - What Put has reported as done survives a power cut, and is handed out by Next until it is settled.
//   - Order is the order of Put, by id; clocks play no part in it.
//   - Delivered twice is possible only where the settlement was not yet on the disk at a crash: it goes with the next
//     batch of messages, or alone after 100 ms.
//   - One goroutine, the committer (outbox_commit.go), writes; all that wait when it begins share one fsync.
type Outbox struct {
	cfg  OutboxConfig
	lock *os.File
	wake chan struct{} // something for the committer to do
	quit chan struct{} // closed by Close
	gone chan struct{} // closed by the committer, when it has returned

	mu       sync.Mutex
	journal  *journal // replaced by the committer after an error
	broken   error    // why nothing can be stored at present
	readable bool     // nothing can be stored, but what is can be read
	closed   bool
	closeErr error
	items    []item // ascending ids, one for each message on the disk; holes are settled
	holes    int
	cursor   uint64 // no message below this id is waiting
	nextID   uint64
	puts     []put        // accepted, not yet on the disk
	settled  []settlement // not yet on the disk
	rewrites []putRecord  // messages to append anew under their own id: see Poison and tidy
	writing  []putRecord  // rewrites that are being written
	flushing bool         // a flush of settlements is due
	stats    QueueStats
	ready    signal // a message is waiting
	room     signal // there may be room
	dropped  dropLog

	live map[uint64]int // PUTs that count, for each segment; only the committer uses it
}

// item is what is kept in memory of a message on the disk: 40 bytes.
type item struct {
	id       uint64
	index    uint64 // where it is in the journal
	arrival  int64  // Unix nanoseconds
	size     uint32 // bytes on the disk
	attempts uint32
	state    itemState
}

type itemState uint8

const (
	waiting  itemState = iota
	inFlight           // handed out
	aside              // could not be read; the next start tries again
	poisoned
	hole // settled
)

type put struct {
	id      uint64
	arrival time.Time
	size    int
	message modems.Message
	done    func(error)
}

type settlement struct {
	run
	index uint64 // of the PUT, 0: it never was on the disk
}

const (
	settleDelay = 100 * time.Millisecond
	batchBytes  = 48 << 10 // beyond it a message waits for the next fsync: raft-wal keeps the buffer of a batch, for each segment
	maxReason   = 1 << 10
)

// Put stores m. done is called once: with nil, by the committer, when m survives a power cut; or with the reason why m
// is not ours, and before Put returns if that is known at once (ErrQueueFull, ErrTooLarge, ErrStore, ErrClosed). Put
// does not wait for the disk. Calls from one goroutine keep their order, in the queue and in their done. done must not
// block, and m.Payload must not change before it is called.
func (o *Outbox) Put(m modems.Message, done func(error)) {
	if err := o.put(m, done); err != nil {
		done(err)
	}
}

func (o *Outbox) put(m modems.Message, done func(error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := recordCost(m)
	if err := o.admit(size); err != nil {
		return err
	}
	o.puts = append(o.puts, put{id: o.nextID, arrival: time.Now(), size: size, message: m, done: done})
	o.nextID++
	o.stats.Messages++
	o.stats.Bytes += int64(size)
	switch {
	case o.cfg.Sync == 0:
		o.kick()
	case len(o.puts) == 1:
		time.AfterFunc(o.cfg.Sync, o.kick)
	}
	return nil
}

// admit makes room for size bytes, or says why there is none.
func (o *Outbox) admit(size int) error {
	switch {
	case o.closed:
		return ErrClosed
	case int64(size) > o.budget():
		return fmt.Errorf("%w: %d bytes, and queue.max_bytes leaves %d", ErrTooLarge, size, o.budget())
	case o.broken != nil:
		return fmt.Errorf("%w: %w", ErrStore, o.broken)
	}
	if o.full(size) {
		o.expire()
	}
	for o.full(size) {
		oldest := o.oldestIdle()
		if !o.cfg.DropOldest || oldest == nil {
			o.stats.Rejected++
			return ErrQueueFull
		}
		o.settle(oldest, outcomeDropped)
		o.dropped.full++
	}
	return nil
}

func (o *Outbox) full(size int) bool {
	return o.stats.Messages >= o.cfg.MaxMessages || o.stats.Bytes+int64(size) > o.budget()
}

// oldestIdle returns the oldest message that is on the disk and not in flight; a poisoned one is as good as any.
func (o *Outbox) oldestIdle() *item {
	for i := range o.items {
		if s := o.items[i].state; s != inFlight && s != hole {
			return &o.items[i]
		}
	}
	return nil
}

// epoch: a clock that shows an earlier time has not been set since the machine started. A Raspberry Pi has none of
// its own, so an age that begins before it is no age.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// expire drops what is older than MaxAge. It looks from the oldest on and stops at the first that is young enough.
func (o *Outbox) expire() {
	if o.cfg.MaxAge == 0 {
		return
	}
	limit := time.Now().Add(-o.cfg.MaxAge).UnixNano()
	items := o.items // settle shortens o.items
	for i := range items {
		it := &items[i]
		switch {
		case it.state == waiting && it.arrival >= epoch && it.arrival < limit:
			o.settle(it, outcomeDropped)
			o.dropped.old++
		case it.state == waiting:
			return
		}
	}
}

// settle takes it out of the queue; the committer writes that down. it is invalid afterwards.
func (o *Outbox) settle(it *item, how outcome) {
	o.settled = append(o.settled, settlement{run{how, it.id, 1}, it.index})
	o.stats.Messages--
	o.stats.Bytes -= int64(it.size)
	if it.state == poisoned {
		o.stats.Poisoned--
	}
	if how == outcomeDropped {
		o.stats.Dropped++
	}
	it.state = hole
	o.holes++
	for len(o.items) > 0 && o.items[0].state == hole {
		o.items = o.items[1:]
		o.holes--
	}
	o.room.fire()
	o.flushSoon()
}

func (o *Outbox) flushSoon() {
	if !o.flushing {
		o.flushing = true
		time.AfterFunc(settleDelay, o.kick)
	}
}

func (o *Outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default: // it will look at everything that there is
	}
}

// Room waits until Put would take m. It returns at once with the reason if that can never be.
func (o *Outbox) Room(ctx context.Context, m modems.Message) error {
	size := recordCost(m)
	for {
		o.mu.Lock()
		var err error
		switch {
		case o.closed:
			err = ErrClosed
		case int64(size) > o.budget():
			err = ErrTooLarge
		case o.broken == nil && (!o.full(size) || o.cfg.DropOldest && o.oldestIdle() != nil):
			o.mu.Unlock()
			return nil
		}
		changed := o.room.wait()
		o.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Next hands out the oldest message that is neither settled nor handed out. It waits for one until ctx ends.
func (o *Outbox) Next(ctx context.Context) (*Entry, error) {
	for {
		o.mu.Lock()
		if o.closed {
			o.mu.Unlock()
			return nil, ErrClosed
		}
		o.expire()
		var it *item
		if o.broken == nil || o.readable {
			it = o.oldestWaiting()
		}
		if it == nil {
			ready := o.ready.wait()
			o.mu.Unlock()
			select {
			case <-ready:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		it.state = inFlight
		it.attempts++
		taken, from := *it, o.journal
		o.mu.Unlock()

		record, err := from.read(taken.id, taken.index) // no lock is held: the disk may be slow
		if err == nil {
			return &Entry{o: o, record: record, attempts: int(taken.attempts)}, nil
		}
		o.unread(taken, from, err)
	}
}

// oldestWaiting returns nil if there is none. It moves the cursor past what it returns.
func (o *Outbox) oldestWaiting() *item {
	i, _ := findItem(o.items, o.cursor)
	for ; i < len(o.items); i++ {
		if o.items[i].state == waiting {
			o.cursor = o.items[i].id + 1
			return &o.items[i]
		}
	}
	if n := len(o.items); n > 0 { // not nextID: a message with a smaller id may still be on its way to the disk
		o.cursor = o.items[n-1].id + 1
	}
	return nil
}

// giveBack lets Next hand it out again, before all that are younger.
func (o *Outbox) giveBack(it *item) {
	it.state = waiting
	o.cursor = min(o.cursor, it.id)
	o.ready.fire()
	o.room.fire() // it may be dropped again
}

// unread decides about a message that could not be read.
func (o *Outbox) unread(taken item, from *journal, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := findItem(o.items, taken.id)
	if !ok {
		return
	}
	it := &o.items[i]
	switch {
	case o.broken != nil && !o.readable || from != o.journal || it.index != taken.index: // it moved while we looked
		it.attempts--
		o.giveBack(it)
	case systemError(err):
		it.state = aside
		o.cfg.Log.Error("queue: a message cannot be read and is left aside until the next start", "id", it.id, "error", err)
	default:
		o.stats.Damaged++
		o.cfg.Log.Error("queue: a message is damaged on the disk and is lost", "id", it.id, "error", err)
		o.settle(it, outcomeDamaged)
	}
}

// findItem returns where id is, or where it would be.
func findItem(items []item, id uint64) (i int, found bool) {
	i, found = slices.BinarySearchFunc(items, id, func(it item, id uint64) int { return cmp.Compare(it.id, id) })
	return i, found && items[i].state != hole
}

// signal wakes all who wait for it. Its owner's lock guards it.
type signal struct{ ch chan struct{} }

func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
