package bridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// store is what the embedded broker must know after a restart: keys and values, in memory, and every change of them in
// a log on the disk. The log is written anew when most of it is out of date, and after every error: one way back, whatever
// went wrong. It begins with storeHead, whose number grows with any change of what stands below or in local_session.go; then
// each change is
//
//	mark   4 bytes, where to go on behind damage
//	crc    4 bytes, CRC32C of the rest of the change
//	length of the key, length of the value + 1 or 0 where the key is gone (varints), key, value
//
// One goroutine, the committer, writes. Changes that nobody waits for are written within settleDelay.
type store struct {
	file string // empty: memory only
	log  *slog.Logger
	link func(dir string) error // makes the names in dir durable; a test lets it fail
	wake chan struct{}
	quit chan struct{} // closed by close
	gone chan struct{} // closed by the committer, when it has returned

	mu      sync.Mutex
	values  map[string][]byte
	live    int64  // bytes of the log that are not out of date
	pending []byte // changes that are not yet in the log
	waiting *commit
	timed   bool // the committer will be woken
	closed  bool

	f      *os.File // the committer's, like the rest; nil after an error
	size   int64
	failed error
	retry  time.Duration
}

// commit is what one fsync makes durable. err is set when done is closed.
type commit struct {
	done chan struct{}
	err  error
}

func (c *commit) wait() error {
	<-c.done
	return c.err
}

const (
	storeHead     = "atbridge local 1\n"
	storeMark     = "\xa7atb"
	storeOverhead = len(storeMark) + 4 + 2
	storeSlack    = 1 << 20 // out of date bytes that are no reason to write anew
)

// openStore reads file. What is damaged in it is said, and kept in file.damaged.
func openStore(file string, log *slog.Logger) (*store, error) {
	return openStoreOn(file, log, syncDir)
}

func openStoreOn(file string, log *slog.Logger, link func(dir string) error) (*store, error) {
	s := &store{file: file, log: log, link: link, wake: make(chan struct{}, 1), quit: make(chan struct{}), gone: make(chan struct{}), values: map[string][]byte{}}
	if file == "" {
		close(s.gone)
		return s, nil
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the sessions of local clients cannot be read: %w", err)
	}
	if err := s.load(old); err != nil {
		return nil, err
	}
	if err := s.rewrite(); err != nil { // such as a full disk: what is known is known all the same
		s.fail(err)
	}
	go s.commit()
	return s, nil
}

// load takes over what the log in b says.
func (s *store) load(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	rest, ok := bytes.CutPrefix(b, []byte(storeHead))
	if !ok && bytes.HasPrefix(b, []byte("atbridge local ")) && bytes.IndexByte(b[:min(len(b), 32)], '\n') > 0 {
		return fmt.Errorf("%s was written by another version of atbridge: use that one, or move the file away to start without the sessions of local clients", s.file)
	}
	skipped, torn := 0, 0 // bytes that are no record: between records, and at the end
	if !ok {
		skipped = 1
	}
	for len(rest) > 0 {
		key, value, n := parseChange(rest)
		if n > 0 {
			s.apply(key, value)
			skipped, torn = skipped+torn, 0
			rest = rest[n:]
			continue
		}
		next := bytes.Index(rest[1:], []byte(storeMark)) + 1
		if next == 0 {
			next = len(rest)
		}
		torn += next
		rest = rest[next:]
	}
	if skipped+torn == 0 {
		return nil
	}
	aside := s.file + ".damaged"
	if err := os.WriteFile(aside, b, 0o600); err != nil {
		return fmt.Errorf("%s is damaged, and a copy cannot be kept: %w", s.file, err)
	}
	if skipped == 0 {
		s.log.Warn("local: the last change of a session was not written whole", "bytes", torn, "kept_in", aside)
		return nil
	}
	s.log.Error("local: the file of sessions and retained messages is damaged; what can be read is used, some may be lost", "bytes", skipped+torn, "kept_in", aside)
	return nil
}

func appendChange(b []byte, key string, value []byte) []byte {
	at := len(b)
	b = append(b, storeMark+"\x00\x00\x00\x00"...)
	body := len(b)
	b = binary.AppendUvarint(b, uint64(len(key)))
	if value == nil {
		b = append(append(b, 0), key...)
	} else {
		b = binary.AppendUvarint(b, uint64(len(value))+1)
		b = append(append(b, key...), value...)
	}
	binary.LittleEndian.PutUint32(b[at+len(storeMark):], crc32.Checksum(b[body:], crcCastagnoli))
	return b
}

// parseChange returns the change at the head of b and its length, or 0.
func parseChange(b []byte) (key string, value []byte, n int) {
	const body = len(storeMark) + 4
	if len(b) < body || string(b[:len(storeMark)]) != storeMark {
		return "", nil, 0
	}
	d := decoder{b: b[body:]}
	keyLen, valueLen := d.number(), d.number()
	left := uint64(len(d.b))
	if d.err != nil || keyLen > left || valueLen > left-keyLen+1 {
		return "", nil, 0
	}
	size := keyLen
	if valueLen > 0 {
		size += valueLen - 1
		value = bytes.Clone(d.b[keyLen:size])
		if value == nil {
			value = []byte{}
		}
	}
	n = len(b) - int(left-size)
	if binary.LittleEndian.Uint32(b[len(storeMark):]) != crc32.Checksum(b[body:n], crcCastagnoli) {
		return "", nil, 0
	}
	return string(d.b[:keyLen]), value, n
}

// apply changes the memory. The caller holds mu, or is alone.
func (s *store) apply(key string, value []byte) {
	if old, ok := s.values[key]; ok {
		s.live -= int64(storeOverhead + len(key) + len(old))
		delete(s.values, key)
	}
	if value != nil {
		s.live += int64(storeOverhead + len(key) + len(value))
		s.values[key] = value
	}
}

// set changes key, and soon the disk; nil removes it. value must not change any more.
func (s *store) set(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.values[key]; value == nil && !known {
		return
	}
	s.apply(key, value)
	if s.file == "" || s.closed {
		return
	}
	s.pending = appendChange(s.pending, key, value)
	if !s.timed {
		s.timed = true
		time.AfterFunc(settleDelay, s.kick)
	}
}

// flush makes all that was set before durable; who waits for the same fsync shares it.
func (s *store) flush() *commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" {
		c := &commit{done: make(chan struct{})}
		close(c.done)
		return c
	}
	if s.closed {
		c := &commit{done: make(chan struct{}), err: ErrClosed}
		close(c.done)
		return c
	}
	if s.waiting == nil {
		s.waiting = &commit{done: make(chan struct{})}
	}
	s.kick()
	return s.waiting
}

// keys returns the keys that begin with one of these, or all, in order.
func (s *store) keys(begin ...string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.values {
		if len(begin) == 0 || slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(key, b) }) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return found
}

func (s *store) kick() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look at everything that there is
	}
}

func (s *store) commit() {
	defer close(s.gone)
	for {
		select {
		case <-s.wake:
		case <-s.quit:
			s.write()
			return
		}
		s.write()
	}
}

// write brings what is pending to the disk and tells those who wait.
func (s *store) write() {
	s.mu.Lock()
	batch, c := s.pending, s.waiting
	s.pending, s.waiting, s.timed = nil, nil, false
	stale := s.size+int64(len(batch)) > 2*s.live+storeSlack
	s.mu.Unlock()
	var err error
	switch {
	case s.f == nil:
		err = s.rewrite()
	case len(batch) > 0:
		if _, err = s.f.Write(batch); err == nil {
			err = s.f.Sync()
		}
		s.size += int64(len(batch))
	}
	if err != nil {
		s.fail(err)
	} else if stale {
		old := s.f
		if err := s.rewrite(); err != nil && s.f != old { // the new one has its place, but perhaps not for good
			s.fail(err)
		} else if err != nil { // the old log holds everything, and goes on
			s.log.Warn("local: the file of sessions cannot be made smaller", "why", err)
		}
	}
	if err == nil && s.failed != nil {
		s.failed, s.retry = nil, 0
		s.log.Info("local: sessions can be stored again")
	}
	if c != nil {
		c.err = err
		close(c.done)
	}
}

// fail: what the log holds is in doubt. It is tried again by whoever waits next, and by itself.
func (s *store) fail(err error) {
	if s.failed == nil || s.failed.Error() != err.Error() {
		s.log.Error("local: sessions and retained messages cannot be stored; messages for them are not taken until it works again", "why", err)
	}
	s.failed = err
	if s.f != nil {
		s.f.Close() // what it returns is no news
		s.f = nil
	}
	s.retry = min(max(2*s.retry, reopenFirst), reopenMost)
	time.AfterFunc(s.retry, s.kick)
}

// rewrite writes all values into a new log, which takes the place of the old one when it is on the disk. It may fail
// after that.
func (s *store) rewrite() error {
	s.mu.Lock()
	values := maps.Clone(s.values)
	s.mu.Unlock()
	f, err := os.OpenFile(s.file+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	size, err := writeAll(f, values)
	if err == nil {
		err = os.Rename(f.Name(), s.file)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if s.f != nil {
		s.f.Close() // nothing of it counts any more
	}
	s.f, s.size = f, size
	return s.link(filepath.Dir(s.file))
}

func writeAll(f *os.File, values map[string][]byte) (size int64, err error) {
	buf := []byte(storeHead)
	for key, value := range values {
		buf = appendChange(buf, key, value)
		if len(buf) > 256<<10 {
			if _, err := f.Write(buf); err != nil {
				return 0, err
			}
			size += int64(len(buf))
			buf = buf[:0]
		}
	}
	if _, err := f.Write(buf); err != nil {
		return 0, err
	}
	return size + int64(len(buf)), f.Sync()
}

// close writes what is pending.
func (s *store) close() error {
	s.mu.Lock()
	if s.file == "" || s.closed {
		s.mu.Unlock()
		<-s.gone
		return nil
	}
	s.closed = true
	close(s.quit)
	s.mu.Unlock()
	<-s.gone
	if s.failed != nil {
		return fmt.Errorf("the last changes of local sessions could not be written: %w", s.failed)
	}
	return s.f.Close()
}
