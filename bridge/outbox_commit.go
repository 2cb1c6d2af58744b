package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// batch is what one fsync makes durable.
type batch struct {
	puts     []put
	settled  []settlement
	rewrites []putRecord
	next     uint64 // the next id
	probe    bool   // write something, whatever there is
}

func (b batch) empty() bool { return len(b.puts)+len(b.settled)+len(b.rewrites) == 0 }

// commit is the committer, the only goroutine that writes.
func (o *Outbox) commit() {
	defer close(o.gone)
	for range o.wake {
		for {
			b, last := o.take()
			if b.empty() {
				if last {
					return
				}
				break
			}
			err := o.store(b)
			if err == nil {
				b, err = batch{}, o.tidy()
			}
			if err != nil {
				o.fail(b, err)
				if !o.reopen() {
					return
				}
			}
		}
	}
}

// take returns what there is to write, and whether nothing can come after it.
func (o *Outbox) take() (b batch, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, size := 0, 0
	for n < len(o.puts) && size < batchBytes {
		size += o.puts[n].size
		n++
	}
	b.puts, o.puts = o.puts[:n:n], o.puts[n:]
	if len(o.puts) == 0 {
		o.puts = nil
	}
	b.settled, o.settled = o.settled, nil
	b.rewrites, o.rewrites = o.rewrites, nil
	o.writing = b.rewrites
	b.next = o.nextID
	o.flushing = false
	o.logDrops()
	return b, o.closed
}

// store writes b, and tells the publishers.
func (o *Outbox) store(b batch) error {
	records := make([][]byte, 0, len(b.puts)+len(b.rewrites)+1)
	for _, p := range b.puts {
		records = append(records, p.encode())
	}
	for _, r := range b.rewrites {
		records = append(records, r.encode())
	}
	if len(b.settled) > 0 || b.probe {
		records = append(records, settledRecord{next: b.next, runs: runsOf(b.settled)}.encode())
	}
	first, err := o.journal.append(records)
	if err != nil {
		return err
	}
	o.mu.Lock()
	for i, p := range b.puts {
		index := first + uint64(i)
		o.live[o.journal.segs.base(index)]++
		o.items = append(o.items, item{id: p.id, index: index, born: p.born, size: uint32(p.size), Handling: p.handling})
		o.population[p.handling.rank()]++
	}
	for i, r := range b.rewrites {
		o.moved(r.id, first+uint64(len(b.puts)+i))
	}
	o.writing = nil
	for _, s := range b.settled {
		if s.index > 0 {
			o.live[o.journal.segs.base(s.index)]--
		}
	}
	if o.holes > 1024 && o.holes > len(o.items)/2 {
		o.items = slices.DeleteFunc(o.items, func(it item) bool { return it.state == hole })
		o.holes = 0
	}
	o.ready.fire()
	o.room.fire()
	o.mu.Unlock()
	for _, p := range b.puts {
		p.done(nil)
	}
	return nil
}

// moved notes that a live message was appended anew. One that was settled meanwhile still counts for the segment it
// was in: its settlement names the old index.
func (o *Outbox) moved(id, index uint64) {
	if i, ok := findItem(o.items, id); ok {
		o.live[o.journal.segs.base(o.items[i].index)]--
		o.live[o.journal.segs.base(index)]++
		o.items[i].index = index
	}
}

// runsOf puts neighbours with one outcome together: after a good hour with the broker, SETTLED is a few bytes.
func runsOf(settled []settlement) []run {
	slices.SortFunc(settled, func(a, b settlement) int { return cmp.Compare(a.first, b.first) })
	var runs []run
	for _, s := range settled {
		if last := len(runs) - 1; last >= 0 && runs[last].outcome == s.outcome && runs[last].first+runs[last].n == s.first {
			runs[last].n += s.n
			continue
		}
		runs = append(runs, s.run)
	}
	return runs
}

// fail tells the publishers of b that their messages are not ours. Should the disk hold them after all, a settlement
// says the same.
func (o *Outbox) fail(b batch, err error) {
	o.mu.Lock()
	news := o.broken == nil || o.broken.Error() != err.Error()
	o.broken = err
	b.puts = append(b.puts, o.puts...)
	o.puts = nil
	for _, p := range b.puts {
		o.stats.Messages--
		o.stats.Bytes -= int64(p.size)
		o.refused(p.handling)
		b.settled = append(b.settled, settlement{run{outcomeRefused, p.id, 1}, 0})
	}
	o.settled = append(b.settled, o.settled...)
	o.rewrites = append(b.rewrites, o.rewrites...)
	o.mu.Unlock()
	if news {
		o.cfg.Log.Error("queue: cannot write; new messages are refused until it works again", "why", err)
	}
	for _, p := range b.puts {
		p.done(fmt.Errorf("%w: %w", ErrStore, err))
	}
}

const (
	reopenFirst = 250 * time.Millisecond
	reopenMost  = 5 * time.Second
)

// reopen tries until the journal can be opened and written. If the outbox is closed meanwhile, it tries once more. A
// journal that can be read but not written, as on a full disk, still hands out messages: to deliver them is what makes
// room.
func (o *Outbox) reopen() bool {
	for wait := reopenFirst; ; wait = min(2*wait, reopenMost) {
		closing := false
		select {
		case <-time.After(wait):
		case <-o.quit:
			closing = true
		}
		o.setReadable(false)
		o.journal.close() // what it returns is no news
		err := o.open()
		if err == nil {
			b, _ := o.take()
			b.probe = true
			if err = o.release(b.settled); err == nil {
				err = o.store(b)
			}
			if err != nil {
				o.fail(b, err)
				o.setReadable(true)
			}
		}
		o.mu.Lock()
		if err == nil {
			o.broken = nil
			o.ready.fire()
			o.room.fire()
		}
		o.mu.Unlock()
		switch {
		case err == nil:
			o.cfg.Log.Info("queue: works again")
			return true
		case closing:
			o.closeErr = err // Close reads it when the committer has gone
			return false
		}
	}
}

func (o *Outbox) setReadable(yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.readable = yes
	if yes {
		o.ready.fire()
	}
}

// release drops the segments in front whose messages are all settled, though that could not be written down yet:
// without its segment no message comes again, and on a full disk there is room for the note only afterwards.
func (o *Outbox) release(settled []settlement) error {
	gone := map[uint64]int{}
	for _, s := range settled {
		if s.index > 0 {
			gone[o.journal.segs.base(s.index)]++
		}
	}
	bases := o.journal.segs.all()
	first := 0
	for first < len(bases)-1 && o.live[bases[first]] == gone[bases[first]] {
		first++
	}
	if first == 0 {
		return nil
	}
	if err := o.journal.truncate(bases[first]); err != nil {
		return err
	}
	for _, base := range bases[:first] {
		delete(o.live, base)
	}
	for i := range settled {
		if settled[i].index < bases[first] {
			settled[i].index = 0
		}
	}
	return nil
}

// tidy gives disk space back: it drops the segments in front in which nothing is live. When the oldest live messages
// hold back far more than they are, they are appended anew.
func (o *Outbox) tidy() error {
	bases := o.journal.segs.all()
	for len(bases) > 1 && o.live[bases[0]] == 0 {
		delete(o.live, bases[0])
		bases = bases[1:]
	}
	if err := o.journal.truncate(bases[0]); err != nil {
		return err
	}
	o.mu.Lock()
	var pinned []item
	if int64(len(bases)) > o.stats.Bytes/o.segmentSize()+spareSegments {
		pinned = o.pinned(bases[1])
	}
	o.mu.Unlock()
	for _, it := range pinned {
		r, err := o.journal.read(it.id, it.index)
		if err != nil {
			continue // Next will say so, if it is not poisoned
		}
		o.mu.Lock()
		if i, ok := findItem(o.items, it.id); ok && (o.items[i].state == poisoned) == (r.reason != "") {
			o.rewrites = append(o.rewrites, r)
		}
		o.mu.Unlock()
	}
	return nil
}

// pinned returns the live messages below index, as many as fit a batch.
func (o *Outbox) pinned(index uint64) (found []item) {
	size := 0
	for _, it := range o.items {
		if it.state != hole && it.index < index && size < batchBytes {
			found = append(found, it)
			size += int(it.size)
		}
	}
	return found
}

// Close waits until what has been put and settled is on the disk. Messages that are handed out come again at the next
// start.
func (o *Outbox) Close() error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		<-o.gone
		return nil
	}
	o.closed = true
	close(o.quit)
	o.ready.fire()
	o.room.fire()
	o.kick()
	o.mu.Unlock()
	<-o.gone
	if o.closeErr != nil {
		o.closeErr = fmt.Errorf("queue in %s: the last settlements could not be written, some messages will be sent again: %w", o.cfg.Dir, o.closeErr)
	}
	return errors.Join(o.closeErr, o.journal.close(), o.lock.Close())
}
