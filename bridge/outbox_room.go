package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Handling is how a message is treated beside others. It is kept with the message.
type Handling struct {
	High       bool // it goes before all that are not
	Expendable bool // nobody waits for its acknowledgement: it is the first to go when the queue is full
}

// rank says what goes first when the queue is full: the oldest of the lowest rank.
type rank uint8

const (
	rankExpendable rank = iota
	rankNormal
	rankHigh
	ranks
)

func (h Handling) rank() rank {
	switch {
	case h.Expendable:
		return rankExpendable
	case h.High:
		return rankHigh
	}
	return rankNormal
}

// Drops counts the messages that were given up, by reason, since the start.
type Drops struct {
	Full   int `json:"full"` // drop-oldest
	Old    int `json:"old"`  // max_age
	ByHand int `json:"by_hand"`
	QoS0   int `json:"qos0"` // expendable, and there was no room
}

func (d Drops) sum() int { return d.Full + d.Old + d.ByHand + d.QoS0 }

// admit makes room for size bytes, or says why there is none.
func (o *Outbox) admit(size int, h Handling) error {
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
	if !o.full(size) {
		return nil
	}
	ids, enough := o.victims(size, h)
	if !enough {
		return ErrQueueFull
	}
	for _, id := range ids {
		i, _ := findItem(o.items, id)
		count := &o.stats.DroppedBy.Full
		if o.items[i].Expendable {
			count = &o.stats.DroppedBy.QoS0
		}
		o.drop(&o.items[i], count)
	}
	return nil
}

// refused counts a message that Put has not taken, or that could not be stored.
func (o *Outbox) refused(h Handling) {
	if !h.Expendable {
		o.stats.Rejected++
		return
	}
	o.stats.DroppedBy.QoS0++ // its publisher is not told: it is lost
	o.flushSoon()            // to log it
}

func (o *Outbox) full(size int) bool { return o.exceeds(o.stats.Messages+1, o.stats.Bytes+int64(size)) }

func (o *Outbox) exceeds(messages int, bytes int64) bool {
	return messages > o.cfg.MaxMessages || bytes > o.budget()
}

// victims returns which messages have to go so that a new one fits: the oldest of the lowest rank, of those that are
// on the disk and not in flight; a poisoned one is as good as any. None goes for a message of a lower rank, and without
// DropOldest only expendable ones go, for one that is not. enough: that makes room.
func (o *Outbox) victims(size int, h Handling) (ids []uint64, enough bool) {
	most := h.rank()
	if !o.cfg.DropOldest {
		if most == rankExpendable {
			return nil, false
		}
		most = rankExpendable
	}
	messages, bytes := o.stats.Messages+1, o.stats.Bytes+int64(size)
	for r := rankExpendable; r <= most; r++ {
		left := o.population[r]
		for i := 0; i < len(o.items) && left > 0; i++ {
			it := &o.items[i]
			if it.state == hole || it.rank() != r {
				continue
			}
			left--
			if it.state == inFlight {
				continue
			}
			ids = append(ids, it.id)
			messages, bytes = messages-1, bytes-int64(it.size)
			if !o.exceeds(messages, bytes) {
				return ids, true
			}
		}
	}
	return nil, false
}

// Room waits until Put would take m. It returns at once with the reason if that can never be.
func (o *Outbox) Room(ctx context.Context, m modems.Message, h Handling) error {
	size := recordCost(m)
	for {
		o.mu.Lock()
		var err error
		switch {
		case o.closed:
			err = ErrClosed
		case int64(size) > o.budget():
			err = ErrTooLarge
		case o.broken == nil && o.hasRoom(size, h):
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

func (o *Outbox) hasRoom(size int, h Handling) bool {
	if !o.full(size) {
		return true
	}
	_, enough := o.victims(size, h)
	return enough
}

// dropLog says at most every ten seconds how many messages were given up.
type dropLog struct {
	said Drops
	at   time.Time
	due  bool // a timer runs
}

const dropLogEvery = 10 * time.Second

func (o *Outbox) logDrops() {
	d, now := &o.dropped, o.stats.DroppedBy
	now.ByHand = 0 // whoever did it knows
	if now == d.said {
		return
	}
	if wait := dropLogEvery - time.Since(d.at); wait > 0 && !o.closed {
		if !d.due {
			d.due = true
			time.AfterFunc(wait, o.kick)
		}
		return
	}
	o.cfg.Log.Warn("queue: messages were dropped", "because_full", now.Full-d.said.Full,
		"because_old", now.Old-d.said.Old, "qos0_because_full", now.QoS0-d.said.QoS0)
	*d = dropLog{said: now, at: time.Now()}
}
