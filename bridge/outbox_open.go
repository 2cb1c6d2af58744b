package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems"
)

// OpenOutbox opens the queue in cfg.Dir, which is created if it is missing. It belongs to one process at a time.
func OpenOutbox(cfg OutboxConfig) (*Outbox, error) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 64<<20)
	cfg.MaxMessages = cmp.Or(cfg.MaxMessages, 100_000)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.wall == nil {
		cfg.wall = time.Now
	}
	if cfg.MaxBytes < minBytes {
		return nil, fmt.Errorf("queue.max_bytes must be at least %d MiB, because the log on the disk grows in segments", minBytes>>20)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	o := &Outbox{
		cfg:  cfg,
		lock: lock,
		wake: make(chan struct{}, 1),
		quit: make(chan struct{}),
		gone: make(chan struct{}),

		opened:     time.Now(),
		wallAtOpen: cfg.wall().UnixNano(),
	}
	if err := o.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("queue in %s: %w", cfg.Dir, err), lock.Close())
	}
	go o.commit()
	return o, nil
}

// open opens the journal and takes over what it holds: at the start all of it, later what memory knows already.
func (o *Outbox) open() error {
	dir := filepath.Join(o.cfg.Dir, "log")
	if err := finishRescue(dir); err != nil {
		return err
	}
	openAt := func(dir string) (*journal, error) {
		return openJournal(dir, o.segmentSize(), o.cfg.disk, o.cfg.Log)
	}
	j, err := openAt(dir)
	if errors.Is(err, errUnreadable) {
		saved, rerr := rescue(dir, openAt)
		if rerr != nil {
			return errors.Join(err, rerr)
		}
		o.cfg.Log.Error("queue: the log was damaged; what could be read was saved, the damaged files are in the directory damaged", "why", err, "messages", saved)
		j, err = openAt(dir)
	}
	if err != nil {
		return err
	}
	c, err := j.load()
	if err == nil && len(c.stray) > 0 {
		err = j.readopt(&c)
	}
	if err != nil {
		return errors.Join(err, j.close())
	}
	o.adopt(j, c)
	return nil
}

// readopt appends what raft-wal had lost sight of.
func (j *journal) readopt(c *contents) error {
	first, err := j.append(c.stray)
	if err != nil {
		return err
	}
	for i, raw := range c.stray {
		record, err := decodeRecord(raw)
		if err != nil {
			return err
		}
		if put, ok := record.(putRecord); ok {
			if at, live := findItem(c.live, put.id); live {
				c.live[at].index = first + uint64(i)
			}
		}
	}
	return nil
}

// adopt makes j, which holds c, the journal of o.
func (o *Outbox) adopt(j *journal, c contents) {
	o.mu.Lock()
	defer o.mu.Unlock()
	restart := o.journal != nil
	o.journal = j
	o.live = make(map[uint64]int)
	for _, it := range c.live {
		o.live[j.segs.base(it.index)]++
	}
	o.stats.Damaged += c.damaged
	if c.damaged > 0 && !restart {
		o.cfg.Log.Error("queue: records are damaged on the disk", "records", c.damaged)
	}
	if !restart {
		o.items, o.nextID = c.live, c.nextID
		date(o.items, o.wallAtOpen)
		for _, it := range c.live {
			o.population[it.rank()]++
			o.stats.Messages++
			o.stats.Bytes += int64(it.size)
			if it.state == poisoned {
				o.stats.Poisoned++
			}
		}
		return
	}
	for i := range o.items {
		it := &o.items[i]
		if at, ok := findItem(c.live, it.id); ok {
			it.index = c.live[at].index
		}
	}
	for i := range o.settled {
		o.settled[i].index = 0
		if at, ok := findItem(c.live, o.settled[i].first); ok {
			o.settled[i].index = c.live[at].index
		}
	}
}

// recordCost is about what m takes on the disk.
func recordCost(m modems.Message) int {
	return frameSize(entryOverhead + putOverhead + len(m.Topic) + len(m.Payload))
}

const (
	minBytes      = 1 << 20
	spareSegments = 4
)

func (o *Outbox) segmentSize() int64 { return min(max(o.cfg.MaxBytes/64, 64<<10), 1<<20) }

// budget is what messages may take of MaxBytes: the rest is what segments hold that is no longer live, and the
// preallocated end of the last.
func (o *Outbox) budget() int64 { return o.cfg.MaxBytes - (spareSegments+2)*o.segmentSize() }

// lockDir creates dir if need be and takes it for this process.
func lockDir(dir string) (*os.File, error) {
	err := os.MkdirAll(dir, 0o700)
	info, serr := os.Stat(dir)
	switch {
	case serr == nil && !info.IsDir():
		return nil, fmt.Errorf("the queue directory %s is a file: give a directory as queue.dir", dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the queue directory %s cannot be created: give this user a directory it may write to as queue.dir", dir)
	case err != nil:
		return nil, fmt.Errorf("the queue directory %s cannot be created: %w", dir, err)
	case serr != nil:
		return nil, serr
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	if int(st.Uid) != os.Geteuid() { // as root we would leave files behind that the owner cannot open
		return nil, fmt.Errorf("the queue directory %s belongs to user %d, and this is user %d: run as its owner, or chown it", dir, st.Uid, os.Geteuid())
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return nil, fmt.Errorf("the queue directory %s is not writable: %w", dir, err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another atbridge holds the queue in %s: stop it first, or ask it (atbridge status)", dir)
		}
		return nil, fmt.Errorf("the queue in %s cannot be locked: %w", dir, err)
	}
	return f, nil
}
