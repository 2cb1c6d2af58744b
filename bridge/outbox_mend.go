package bridge

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// errUnreadable: raft-wal cannot open what is there, and would not tomorrow.
var errUnreadable = errors.New("the log is damaged")

func systemError(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// orphaned reports that there are segments without the file that says which of them count.
func orphaned(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
	_, err := os.Stat(filepath.Join(dir, metadb.FileName))
	return len(found) > 0 && errors.Is(err, os.ErrNotExist)
}

// HoldsQueue reports whether there is a queue in dir. To open one that is not there would create it.
func HoldsQueue(dir string) bool {
	for _, pattern := range []string{"log/" + metadb.FileName, "log/*.wal", "log.rescued"} {
		if found, _ := fs.Glob(os.DirFS(dir), pattern); len(found) > 0 {
			return true
		}
	}
	_, err := os.ReadDir(dir)
	return errors.Is(err, fs.ErrPermission) // then OpenOutbox says who may
}

// metaStore mends the tail before raft-wal looks at it.
type metaStore struct {
	metadb.BoltMetaDB
	segs *segments
}

func (m *metaStore) CommitState(s types.PersistentState) error {
	err := m.BoltMetaDB.CommitState(s)
	m.segs.fail(err)
	return err
}

func (m *metaStore) Load(dir string) (types.PersistentState, error) {
	state, err := m.BoltMetaDB.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return state, err
	}
	tail := state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return state, nil
	}
	err = mendTail(filepath.Join(dir, segment.FileName(tail)))
	if errors.Is(err, os.ErrNotExist) { // then raft-wal creates it
		err = nil
	}
	return state, err
}

// mendTail prepares the unfinished segment for raft-wal's recovery.
//
// If it holds an index, a crash or an error came between the append that filled the segment and the change to the
// next one. raft-wal v0.4.0 then opens the log and answers ErrSealed to every append, for good. So it must not come so
// far: the head of an entry before the index is erased, raft-wal takes the log to end there, and load finds what comes
// behind and has it appended anew.
//
// And all of it is written once more: after a failed fsync the kernel may show us bytes that it never wrote and no
// longer regards as dirty, so that no later fsync would write them either.
func mendTail(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := readInto(nil, name)
	if err != nil {
		return err
	}
	used := len(bytes.TrimRight(b, "\x00"))
	b = b[:min(used+frameHead, len(b))] // behind it all is preallocated, perhaps a hole that a full disk cannot fill
	if at, sealed := sealedAfter(b); sealed {
		clear(b[at : at+frameHead])
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Sync()
}

// sealedAfter walks the frames as raft-wal does. If that meets an index, it returns the last entry before it that is
// intact: scan does without its head. The index itself may be an illusion, the inside of a message where a damaged
// length has led the walk, and must not be touched.
func sealedAfter(b []byte) (entry int, sealed bool) {
	entry = segmentHead
	for at := segmentHead; at+frameHead <= len(b); {
		switch b[at] {
		case segment.FrameEntry:
			if _, ok, _ := parseFrame(b[at:]); ok {
				entry = at
			}
			n := binary.LittleEndian.Uint32(b[at+4:])
			if uint64(n) > uint64(len(b)) {
				return 0, false
			}
			at += frameSize(int(n))
		case segment.FrameCommit:
			at += frameHead
		case segment.FrameIndex:
			return entry, true
		default:
			return 0, false
		}
	}
	return 0, false
}

// contents is what a log means.
type contents struct {
	live    []item // ascending ids
	nextID  uint64
	damaged int      // records that are there and cannot be read
	stray   [][]byte // intact records which raft-wal does not know: to be appended anew
}

// load reads the whole log.
func (j *journal) load() (contents, error) {
	first, err := j.wal.FirstIndex()
	if err != nil {
		return contents{}, err
	}
	last := j.next - 1
	var (
		c     = contents{nextID: 1}
		dead  []run
		known uint64 // records that raft-wal and scan agree about
		lost  []frame
	)
	if first > 0 { // to grow step by step would take twice the memory
		c.live = make([]item, 0, min(last-first+1, 1<<20))
	}
	err = j.scan(func(f frame) {
		stray := f.index > last || j.segs.base(f.index) != f.base
		if !stray && f.index >= first {
			known++
		}
		switch r := f.record.(type) {
		case settledRecord:
			c.nextID = max(c.nextID, r.next)
			dead = append(dead, r.runs...)
			if stray {
				c.stray = append(c.stray, slices.Clone(f.raw))
			}
		case putRecord:
			c.nextID = max(c.nextID, r.id+1)
			it := item{id: r.id, index: f.index, born: r.arrival.UnixNano(), size: uint32(recordCost(r.message)), Handling: r.handling}
			if r.reason != "" {
				it.state = poisoned
			}
			if stray {
				f.raw, it.index = slices.Clone(f.raw), 0
				lost = append(lost, f)
			}
			c.live = append(c.live, it)
		}
	})
	if err != nil {
		return contents{}, err
	}
	if first > 0 {
		c.damaged = int(last - first + 1 - min(known, last-first+1))
	}
	c.live = survivors(c.live, dead)
	for _, f := range lost { // those that nothing else holds
		if i, ok := findItem(c.live, f.record.(putRecord).id); ok && c.live[i].index == 0 {
			c.stray = append(c.stray, f.raw)
		}
	}
	return c, nil
}

// survivors returns one item for each id that is not in dead. Of two PUTs of one message the poisoned one counts,
// then the one that raft-wal can read.
func survivors(items []item, dead []run) []item {
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(b.state, a.state), cmp.Compare(b.index, a.index))
	})
	items = slices.CompactFunc(items, func(a, b item) bool { return a.id == b.id })
	slices.SortFunc(dead, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	var end uint64 // ids below it are dead
	return slices.DeleteFunc(items, func(it item) bool {
		for len(dead) > 0 && dead[0].first <= it.id {
			end = max(end, dead[0].first+dead[0].n)
			dead = dead[1:]
		}
		return it.id < end
	})
}

// rescue saves what is intact from a log that cannot be opened. The damaged files stay in the directory "damaged"
// beside it. A crash at any point leaves either the old log or the new one in its place.
func rescue(dir string, open func(dir string) (*journal, error)) (saved int, err error) {
	fresh := dir + ".rescued"
	if err := os.RemoveAll(fresh + ".part"); err != nil {
		return 0, err
	}
	to, err := open(fresh + ".part")
	if err != nil {
		return 0, err
	}
	saved, err = copyLive(&journal{dir: dir}, to)
	if err := errors.Join(err, to.close()); err != nil {
		return 0, err
	}
	if err := os.Rename(fresh+".part", fresh); err != nil {
		return 0, err
	}
	return saved, finishRescue(dir)
}

// finishRescue puts a rescued log in its place, if there is one.
func finishRescue(dir string) error {
	fresh, damaged := dir+".rescued", filepath.Join(filepath.Dir(dir), "damaged")
	if _, err := os.Stat(fresh); err != nil {
		return nil
	}
	if _, err := os.Stat(dir); err == nil {
		if err := os.RemoveAll(damaged); err != nil {
			return err
		}
		if err := os.Rename(dir, damaged); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// copyLive appends every message of from that is live to the empty journal to, then what keeps the ids going.
func copyLive(from, to *journal) (copied int, err error) {
	var (
		all  []item
		dead []run
		next uint64 = 1
	)
	err = from.scan(func(f frame) {
		switch r := f.record.(type) {
		case putRecord:
			next = max(next, r.id+1)
			all = append(all, item{id: r.id})
		case settledRecord:
			next = max(next, r.next)
			dead = append(dead, r.runs...)
		}
	})
	if err != nil {
		return 0, fmt.Errorf("rescue: %w", err)
	}
	live := survivors(all, dead)
	var appendErr error
	flush := func(batch [][]byte) {
		if appendErr == nil && len(batch) > 0 {
			_, appendErr = to.append(batch)
		}
	}
	var batch [][]byte
	size := 0
	err = from.scan(func(f frame) {
		put, ok := f.record.(putRecord)
		if _, isLive := findItem(live, put.id); !ok || !isLive {
			return
		}
		copied++
		batch = append(batch, slices.Clone(f.raw))
		if size += len(f.raw); size >= batchBytes {
			flush(batch)
			batch, size = nil, 0
		}
	})
	flush(append(batch, settledRecord{next: next}.encode()))
	return copied, errors.Join(err, appendErr)
}
