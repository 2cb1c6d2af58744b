package bridge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// journal is the log of the outbox on the disk: everything that knows raft-wal v0.4.0 is in this file and in
// outbox_mend.go. What that library asks of us:
//
//   - one writer. Here that is the committer; read may be called from any goroutine.
//   - after any error of append or truncate the journal must be closed and opened anew: a failed append leaves half
//     of its entries in the library's memory, a failed rotation says "segment is sealed" to every later append.
//   - Close leaves its bbolt file open and locked, and a second bbolt.Open would wait for ever: we close it.
//   - never delete a suffix: it seals a segment without the index that reads need after the next start.
//   - never delete everything: the last record keeps the next id.
type journal struct {
	dir  string
	wal  *wal.WAL
	meta *metaStore
	segs *segments
	next uint64 // index of the next record; the committer's
}

// disk is where segments are written. Tests let it fail.
type disk = types.VFS

func openJournal(dir string, segmentSize int64, d disk, log *slog.Logger) (*journal, error) {
	if d == nil {
		d = privateFS{walfs.New()}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if orphaned(dir) { // raft-wal would take the segments for garbage and delete them
		return nil, fmt.Errorf("%w: %s is gone", errUnreadable, metadb.FileName)
	}
	segs := &segments{Filer: segment.NewFiler(dir, d)}
	j := &journal{dir: dir, meta: &metaStore{segs: segs}, segs: segs}
	err := j.openWAL(int(segmentSize), log)
	if err == nil {
		err = os.Chmod(filepath.Join(dir, metadb.FileName), 0o600)
	}
	if err == nil { // raft-wal makes the name of a segment durable with its first fsync, unless it was interrupted before that
		err = errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

func (j *journal) openWAL(segmentSize int, log *slog.Logger) (err error) {
	// bbolt v1.3 panics on a damaged page, and reads beyond the end of a file that is too short.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errUnreadable, p)
		}
	}()
	j.wal, err = wal.Open(j.dir,
		wal.WithSegmentSize(segmentSize),
		wal.WithMetaStore(j.meta),
		wal.WithSegmentFiler(j.segs),
		wal.WithLogger(hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, DisableTime: true, Output: lineLog{log}})))
	if err != nil {
		if !diskError(err) {
			err = fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return err
	}
	last, err := j.wal.LastIndex()
	j.next = max(last+1, j.segs.base(last+1)) // an empty log reports 0; its segment may begin later
	return err
}

// append writes records with one fsync and returns the index of the first. When it returns nil they survive a power
// cut.
func (j *journal) append(records [][]byte) (first uint64, err error) {
	logs := make([]*raft.Log, len(records))
	for i, r := range records {
		logs[i] = &raft.Log{Index: j.next + uint64(i), Data: r}
	}
	err = j.wal.StoreLogs(logs)
	if why := j.segs.failure(); errors.Is(err, wal.ErrSealed) && why != nil {
		err = why // raft-wal begins the next segment on its own, and only logs what goes wrong then
	}
	if err != nil {
		return 0, err
	}
	first = j.next
	j.next += uint64(len(records))
	return first, nil
}

// read returns the message with this id, which was appended at index. Where raft-wal's way to it is damaged but the
// record is not, the record is found all the same.
func (j *journal) read(id, index uint64) (putRecord, error) {
	r, err := j.readIndex(index)
	if err == nil && r.id == id {
		return r, nil
	}
	if errors.Is(err, wal.ErrClosed) || diskError(err) {
		return putRecord{}, err
	}
	found := false
	if serr := j.scan(func(f frame) {
		if put, ok := f.record.(putRecord); ok && put.id == id {
			r, found = put, true
			r.message.Payload = slices.Clone(r.message.Payload)
		}
	}); serr != nil {
		return putRecord{}, serr
	}
	if !found {
		return putRecord{}, errRecord
	}
	return r, nil
}

func (j *journal) readIndex(index uint64) (r putRecord, err error) {
	defer func() {
		if recover() != nil { // codec.go of raft-wal slices by the negative length of an overlong varint
			err = errRecord
		}
	}()
	var l raft.Log
	if err := j.wal.GetLog(index, &l); err != nil {
		return putRecord{}, err
	}
	decoded, err := decodeRecord(l.Data)
	r, ok := decoded.(putRecord)
	if err == nil && !ok {
		err = errRecord
	}
	return r, err
}

// truncate drops the segments before the one that holds index. The last record of all stays, whatever index says.
func (j *journal) truncate(index uint64) error {
	keep := j.segs.base(min(index, j.next-1))
	first, err := j.wal.FirstIndex()
	if err != nil || keep <= first {
		return err
	}
	if err := j.wal.DeleteRange(first, keep-1); err != nil {
		return err
	}
	j.segs.forget(keep)
	return nil
}

func (j *journal) close() error {
	if j.wal == nil {
		return j.meta.Close()
	}
	return errors.Join(j.wal.Close(), j.meta.Close())
}

// segments follows which segment files there are. It is called from raft-wal's goroutine too.
type segments struct {
	*segment.Filer
	mu     sync.Mutex
	bases  []uint64 // the first index of each, ascending
	failed error    // why none could be begun
}

func (s *segments) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	s.add(info)
	w, err := s.Filer.Create(info)
	s.fail(err)
	return w, err
}

func (s *segments) fail(err error) {
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = err
	}
}

func (s *segments) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *segments) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	s.add(info)
	return s.Filer.RecoverTail(info)
}

func (s *segments) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	s.add(info)
	return s.Filer.Open(info)
}

func (s *segments) add(info types.SegmentInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.bases, info.BaseIndex) {
		s.bases = append(s.bases, info.BaseIndex)
	}
}

// base is the first index of the segment that holds index.
func (s *segments) base(index uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearch(s.bases, index)
	if !found && i > 0 {
		i--
	}
	return s.bases[i] // raft-wal has one segment at least
}

func (s *segments) forget(before uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bases = slices.DeleteFunc(s.bases, func(b uint64) bool { return b < before })
}

func (s *segments) all() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bases)
}

// frame is one record as it stands in a segment file.
type frame struct {
	base   uint64 // first index of the file it was found in
	index  uint64
	size   int // bytes on the disk
	raw    []byte
	record any // putRecord or settledRecord; raw and a payload are overwritten after fn has returned
}

// scan calls fn for every intact record in the segment files, whatever raft-wal thinks of them. Of a damaged one only
// the next eight bytes are skipped, for its length may be what is damaged. It is also by far the fastest way through
// a long log: GetLog reads 64 KiB for each record.
func (j *journal) scan(fn func(frame)) error {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	var buf []byte
	for _, e := range entries { // sorted by name, which begins with the base index
		var base, id uint64
		if _, err := fmt.Sscanf(e.Name(), "%020d-%016x.wal", &base, &id); err != nil {
			continue
		}
		if buf, err = readInto(buf, filepath.Join(j.dir, e.Name())); err != nil {
			return err
		}
		for at := segmentHead; at+frameHead <= len(buf); {
			f, ok, err := parseFrame(buf[at:])
			if err != nil {
				return fmt.Errorf("%s: %w", e.Name(), err)
			}
			if !ok {
				at += frameHead
				continue
			}
			f.base = base
			fn(f)
			at += f.size
		}
	}
	return nil
}

// The layout of a segment file, from raft-wal's segment/format.go and codec.go: a header of 32 bytes, then frames
// aligned to 8 bytes: type (1 byte), three zero bytes, length of the body (4 bytes), body. The body of an entry is
// the varints index, term and type, the length of the data, the data, and two fields that we do not use.
const (
	segmentHead   = 32
	frameHead     = 8
	entryTrailer  = 1 + 15                       // an empty string and a time
	entryOverhead = 4 + 1 + 1 + 3 + entryTrailer // with a usual index and length
)

func frameSize(body int) int { return frameHead + (body+frameHead-1)/frameHead*frameHead }

// parseFrame looks for a record at the head of b. It does without the frame's own type and length: the sum of the
// record says better whether it is one.
func parseFrame(b []byte) (f frame, ok bool, err error) {
	d := decoder{b: b[frameHead:]}
	f.index = d.number()
	term, kind, length := d.number(), d.number(), d.number()
	if d.err != nil || term != 0 || kind != 0 || length > uint64(len(d.b)) {
		return frame{}, false, nil
	}
	f.raw = d.b[:length]
	f.size = frameSize(len(b) - frameHead - len(d.b) + int(length) + entryTrailer)
	f.record, err = decodeRecord(f.raw)
	if errors.Is(err, errRecord) {
		return frame{}, false, nil
	}
	return f, err == nil, err
}

func readInto(buf []byte, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return buf, err
	}
	buf = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	n, err := io.ReadFull(f, buf)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}

// privateFS gives segments mode 0600; raft-wal asks for 0644.
type privateFS struct{ *walfs.FS }

func (p privateFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := p.FS.Create(dir, name, size)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// diskError reports whether the system refused something, as opposed to bytes that make no sense.
func diskError(err error) bool {
	return systemError(err) && !errors.Is(err, fs.ErrNotExist)
}

// lineLog brings raft-wal's few warnings into our log.
type lineLog struct{ log *slog.Logger }

func (l lineLog) Write(line []byte) (int, error) {
	l.log.Warn("queue: " + strings.TrimSpace(string(line)))
	return len(line), nil
}
