package bridge

import (
	"cmp"
	"context"
	"errors"
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
	// ErrInFlight: the message is being sent at the moment.
	ErrInFlight = errors.New("it is being sent at the moment")
	// ErrNoMessage: the queue has no message with this id, or has it no longer.
	ErrNoMessage = errors.New("the queue has no such message")

	errSettled = errors.New("the entry has been settled before")
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

	disk disk             // nil: the real one
	wall func() time.Time // nil: the real one
}

// Outbox is the durable queue between accepting a message and its acknowledgement by the other side.
//
//   - What Put has reported as done survives a power cut, and is handed out by Next until it is settled.
//   - Order is the order of Put, by id, in each of two lanes; clocks play no part in it.
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
	cursors  [lanes]uint64 // no message of this lane below this id is waiting
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

	population [ranks]int // of items, without holes

	opened     time.Time // by the monotonic clock
	wallAtOpen int64

	live map[uint64]int // PUTs that count, for each segment; only the committer uses it
}

// item is what is kept in memory of a message on the disk: 40 bytes.
type item struct {
	id       uint64
	index    uint64 // where it is in the journal
	born     int64  // on the scale of Outbox.now
	size     uint32 // bytes on the disk
	attempts uint32
	state    itemState
	Handling
}

// A lane is a queue of its own: order is kept within it, and all of the first goes before all of the second.
const (
	laneHigh = iota
	laneNormal
	lanes
)

func (h Handling) lane() int {
	if h.High {
		return laneHigh
	}
	return laneNormal
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
	putRecord
	born int64
	size int
	done func(error)
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

// Put stores m as an ordinary message: PutAs tells more.
func (o *Outbox) Put(m modems.Message, done func(error)) { o.PutAs(m, Handling{}, done) }

// PutAs stores m. done is called once: with nil, by the committer, when m survives a power cut; or with the reason why
// m is not ours, and before PutAs returns if that is known at once (ErrQueueFull, ErrTooLarge, ErrStore, ErrClosed).
// PutAs does not wait for the disk. Calls from one goroutine keep their order, in each lane of the queue and in their
// done. done must not block, and m.Payload must not change before it is called.
func (o *Outbox) PutAs(m modems.Message, h Handling, done func(error)) {
	if err := o.put(m, h, done); err != nil {
		done(err)
	}
}

func (o *Outbox) put(m modems.Message, h Handling, done func(error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := recordCost(m)
	if err := o.admit(size, h); err != nil {
		o.refused(h)
		return err
	}
	r := putRecord{id: o.nextID, arrival: o.cfg.wall(), handling: h, message: m}
	o.puts = append(o.puts, put{putRecord: r, born: o.now(), size: size, done: done})
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

// drop gives it up; count is why.
func (o *Outbox) drop(it *item, count *int) {
	*count++
	o.settle(it, outcomeDropped)
}

// settle takes it out of the queue; the committer writes that down. it is invalid afterwards.
func (o *Outbox) settle(it *item, how outcome) {
	o.settled = append(o.settled, settlement{run{how, it.id, 1}, it.index})
	o.stats.Messages--
	o.stats.Bytes -= int64(it.size)
	if it.state == poisoned {
		o.stats.Poisoned--
	}
	o.population[it.rank()]--
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

// Next hands out the oldest message that is neither settled nor handed out, high before normal. It waits for one until ctx ends.
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

// oldestWaiting returns the oldest of the first lane in which one waits; nil: none does. It moves the cursors.
func (o *Outbox) oldestWaiting() *item {
	for lane := range lanes {
		i, _ := findItem(o.items, o.cursors[lane])
		for ; i < len(o.items); i++ {
			if it := &o.items[i]; it.state == waiting && it.lane() == lane {
				o.cursors[lane] = it.id + 1
				return it
			}
		}
		if n := len(o.items); n > 0 { // not nextID: a message with a smaller id may still be on its way to the disk
			o.cursors[lane] = o.items[n-1].id + 1
		}
	}
	return nil
}

// giveBack lets Next hand it out again, before all of its lane that are younger.
func (o *Outbox) giveBack(it *item) {
	it.state = waiting
	cursor := &o.cursors[it.lane()]
	*cursor = min(*cursor, it.id)
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
		o.cfg.Log.Error("queue: a message cannot be read and is left aside until the next start", "id", it.id, "why", err)
	default:
		o.stats.Damaged++
		o.cfg.Log.Error("queue: a message is damaged on the disk and is lost", "id", it.id, "why", err)
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
