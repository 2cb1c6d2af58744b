package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"

	"github.com/atbridge/atbridge/modems"
)

// frozenMeta fails at the change to the next segment, as if the power went at that moment.
type frozenMeta struct {
	metadb.BoltMetaDB
	left int
}

func (m *frozenMeta) CommitState(s types.PersistentState) error {
	if m.left--; m.left < 0 {
		return io.ErrUnexpectedEOF
	}
	return m.BoltMetaDB.CommitState(s)
}

// unsealedLog makes a log whose last segment is full, and the next one not begun: raft-wal alone could never again write
// to it. It returns how many messages it holds.
func unsealedLog(t *testing.T, dir string, payload func(n int) []byte) (messages int) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o700))
	meta := &frozenMeta{left: 1}
	log, err := wal.Open(dir, wal.WithSegmentSize(64<<10), wal.WithMetaStore(meta))
	must(t, err)
	for ; err == nil; messages++ {
		r := putRecord{id: uint64(messages) + 1, arrival: time.Now(), message: modems.Message{Topic: "t", Payload: payload(messages)}}
		err = log.StoreLogs([]*raft.Log{{Index: uint64(messages) + 1, Data: r.encode()}})
	}
	if !errors.Is(err, wal.ErrSealed) {
		t.Fatalf("the log ends with %v", err)
	}
	must(t, errors.Join(log.Close(), meta.Close()))
	return messages - 1 // the last was not stored
}

func TestOutboxFinishesASeal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	payload := func(n int) []byte { return fmt.Appendf(nil, "%-5000d", n) }
	n := unsealedLog(t, dir, payload)
	cfg := OutboxConfig{Dir: filepath.Dir(dir), MaxBytes: 4 << 20}
	for range 2 {
		o := openOutbox(t, cfg)
		putWait(t, o, modems.Message{Topic: "t", Payload: payload(n)})
		n++
		if got := payloads(t, o); len(got) != n {
			t.Errorf("%d messages, want %d", len(got), n)
		}
		closeOutbox(t, o)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.RemoveAll(to))
	must(t, os.CopyFS(to, os.DirFS(from)))
}

// filledLog makes a queue of n messages of about 100 bytes, in batches, and returns its directory and its segments.
func filledLog(t *testing.T, n int, maxBytes int64) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: maxBytes})
	for i := 0; i < n; i += 7 {
		var ms []modems.Message
		for k := i; k < min(i+7, n); k++ {
			ms = append(ms, modems.Message{Topic: "t", Payload: fmt.Appendf(nil, "%-80d", k)})
		}
		putWait(t, o, ms...)
	}
	closeOutbox(t, o)
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.wal"))
	must(t, err)
	return dir, files
}

// numbersOf opens the queue, hands everything out and returns the numbers.
func numbersOf(t *testing.T, dir string) (numbers []int, stats QueueStats) {
	t.Helper()
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
	defer closeOutbox(t, o)
	for o.Stats().Messages > 0 {
		e := next(t, o)
		n, err := strconv.Atoi(strings.TrimRight(string(e.Message().Payload), " "))
		must(t, err)
		numbers = append(numbers, n)
		must(t, e.Delivered())
	}
	return numbers, o.Stats()
}

// TestOutboxOutlivesDamage flips bits and cuts the end: what is lost is what was hit.
func TestOutboxOutlivesDamage(t *testing.T) {
	const messages = 40
	pristine, files := filledLog(t, messages, 1<<20)
	tail := files[len(files)-1]
	log, err := os.ReadFile(tail)
	must(t, err)
	type place struct{ from, to int }
	var places []place // of each message
	for at := segmentHead; at+frameHead < len(log); {
		f, ok, err := parseFrame(log[at:])
		must(t, err)
		if !ok {
			at += frameHead
			continue
		}
		if _, isPut := f.record.(putRecord); isPut {
			places = append(places, place{at, at + f.size})
		}
		at += f.size
	}
	if len(places) != messages {
		t.Fatalf("found %d messages in the log", len(places))
	}
	used := places[messages-1].to + 8
	var newcomers []int
	for n := range 20 {
		newcomers = append(newcomers, n)
	}

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	check := func(t *testing.T, what string, damaged []byte, hit func(place) bool) {
		copyDir(t, pristine, dir)
		must(t, os.WriteFile(filepath.Join(dir, "log", filepath.Base(tail)), damaged, 0o600))
		o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
		putWait(t, o, numberedUpTo(20)...) // what comes next must not be written over what was saved
		closeOutbox(t, o)
		got, stats := numbersOf(t, dir)
		if len(got) < 20 || !slices.Equal(got[len(got)-20:], newcomers) {
			t.Fatalf("%s: the messages that came afterwards: %v", what, got)
		}
		got = got[:len(got)-20]
		var want []int
		for n, p := range places {
			if !hit(p) {
				want = append(want, n)
			}
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(n int) bool { return slices.Contains(got, n) })
		if len(missing) > 0 || !slices.IsSorted(got) {
			t.Errorf("%s: intact, but lost: %v; got %v, %+v", what, missing, got, stats)
		}
	}
	flip := func(at int, bit byte) {
		damaged := slices.Clone(log)
		damaged[at] ^= bit
		check(t, fmt.Sprintf("bit %02x of byte %d", bit, at), damaged, func(p place) bool { return p.from <= at && at < p.to })
	}
	for range 60 {
		flip(random.IntN(used), 1<<random.IntN(8))
	}
	for _, p := range places[:15] { // raft-wal's own bytes: what a frame is (entry, index, commit), and its length
		flip(p.from, 1)
		flip(p.from, 2)
		flip(p.from+4, 2)
		flip(p.to, 1)
		flip(p.to, 2)
	}
	for range 20 {
		cut := random.IntN(used)
		check(t, fmt.Sprintf("cut at %d", cut), log[:cut], func(p place) bool { return p.to > cut })
	}
	for range 20 { // a sector of noise, or of zeros
		at := random.IntN(used) &^ 511
		damaged := slices.Clone(log)
		for i := at; i < min(at+512, len(damaged)); i++ {
			damaged[i] = byte(random.IntN(256)) * byte(random.IntN(2))
		}
		check(t, fmt.Sprintf("noise at %d", at), damaged, func(p place) bool { return p.from < at+512 && at < p.to })
	}
}

// TestOutboxCountsWhatIsDamaged: a message that was hit is counted, and what comes after it goes on.
func TestOutboxCountsWhatIsDamaged(t *testing.T) {
	dir, files := filledLog(t, 10, 1<<20)
	log, err := os.ReadFile(files[0])
	must(t, err)
	at := strings.Index(string(log), fmt.Sprintf("%-80d", 4))
	log[at+40] ^= 1
	must(t, os.WriteFile(files[0], log, 0o600))
	got, stats := numbersOf(t, dir)
	if !slices.Equal(got, []int{0, 1, 2, 3, 5, 6, 7, 8, 9}) || stats.Damaged != 1 {
		t.Errorf("got %v, %+v", got, stats)
	}
}

// TestOutboxDamageWhileOpen: the bytes change under us.
func TestOutboxDamageWhileOpen(t *testing.T) {
	dir, files := filledLog(t, 1500, 4<<20) // several segments
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
	log, err := os.ReadFile(files[0])
	must(t, err)
	f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
	must(t, err)
	payload := func(n int) int64 { return int64(strings.Index(string(log), fmt.Sprintf("%-80d", n))) }
	_, err = f.WriteAt([]byte{'0' ^ 1}, payload(0))
	must(t, err)
	frame := (payload(1) - 32) &^ 7 // here lies the length by which raft-wal reads message 1
	_, err = f.WriteAt([]byte{0}, frame+4)
	must(t, errors.Join(err, f.Close()))
	if _, err := o.journal.readIndex(2); err == nil {
		t.Error("raft-wal can still read message 1: this test has missed")
	}
	if got := next(t, o); string(got.Message().Payload) != fmt.Sprintf("%-80d", 1) {
		t.Errorf("handed out %.10q, want 1, which is intact", got.Message().Payload)
	}
	if s := o.Stats(); s.Damaged != 1 || s.Messages != 1499 {
		t.Errorf("%+v", s)
	}
	closeOutbox(t, o)
}

// TestOutboxRescue: raft-wal refuses to open these, or would delete them.
func TestOutboxRescue(t *testing.T) {
	pristine, files := filledLog(t, 1500, 4<<20)
	if len(files) < 3 {
		t.Fatalf("only %d segments", len(files))
	}
	meta := filepath.Join(pristine, "log", metadb.FileName)
	for name, spoil := range map[string]func(rebase func(string) string) error{
		"no list of segments": func(in func(string) string) error { return os.Remove(in(meta)) },
		"empty list":          func(in func(string) string) error { return os.Truncate(in(meta), 0) },
		"half a list":         func(in func(string) string) error { return os.Truncate(in(meta), 9000) },
		"noise in the list": func(in func(string) string) error {
			return os.WriteFile(in(meta), []byte(strings.Repeat("noise", 10000)), 0o600)
		},
		"head of a segment": func(in func(string) string) error {
			f, err := os.OpenFile(in(files[0]), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(make([]byte, segmentHead), 0)
			return errors.Join(err, f.Close())
		},
		"rescue was interrupted": func(in func(string) string) error {
			log := filepath.Dir(in(meta))
			return errors.Join(os.CopyFS(log+".rescued", os.DirFS(log)), os.RemoveAll(log))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "q")
			copyDir(t, pristine, dir)
			must(t, spoil(func(file string) string { return filepath.Join(dir, "log", filepath.Base(file)) }))
			got, _ := numbersOf(t, dir)
			if len(got) != 1500 || !slices.IsSorted(got) {
				t.Errorf("%d of 1500 messages are left", len(got))
			}
			got, _ = numbersOf(t, dir)
			if len(got) != 0 {
				t.Errorf("%d messages came back", len(got))
			}
		})
	}
	t.Run("a segment is cut", func(t *testing.T) {
		const cut = 30_000
		dir := filepath.Join(t.TempDir(), "q")
		copyDir(t, pristine, dir)
		must(t, os.Truncate(filepath.Join(dir, "log", filepath.Base(files[1])), cut))
		whole, err := os.ReadFile(files[1])
		must(t, err)
		var want []int
		for n := range 1500 {
			if at := strings.Index(string(whole), fmt.Sprintf("%-80d", n)); at+100 < cut {
				want = append(want, n)
			}
		}
		got, stats := numbersOf(t, dir)
		missing := slices.DeleteFunc(slices.Clone(want), func(n int) bool { return slices.Contains(got, n) })
		if len(want) < 1000 || len(missing) > 0 || !slices.IsSorted(got) || stats.Damaged < 1500-len(got) {
			t.Errorf("%d of 1500 messages are left, lost are %v, %+v", len(got), missing, stats)
		}
	})
	t.Run("a segment is gone", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "q")
		copyDir(t, pristine, dir)
		must(t, os.Remove(filepath.Join(dir, "log", filepath.Base(files[1]))))
		if got, _ := numbersOf(t, dir); len(got) < 500 || len(got) > 1400 {
			t.Errorf("%d of 1500 messages are left", len(got))
		}
	})
}

// writeNewer makes a queue in dir as a newer atbridge would.
func writeNewer(t *testing.T, dir string) {
	t.Helper()
	j, err := openJournal(filepath.Join(dir, "log"), 64<<10, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	newer := putRecord{id: 1, arrival: time.Now(), message: numbered(1)}.encode()
	newer[0] = recordVersion + 1
	binary.LittleEndian.PutUint32(newer[2:], recordSum(newer))
	_, err = j.append([][]byte{newer})
	must(t, errors.Join(err, j.close()))
}

// TestOutboxVersions: a record that a newer atbridge has written is not damaged; it is not ours to skip.
func TestOutboxVersions(t *testing.T) {
	dir := t.TempDir()
	writeNewer(t, dir)
	if _, err := OpenOutbox(OutboxConfig{Dir: dir}); err == nil || !strings.Contains(err.Error(), "a newer atbridge has written messages here (version 2") {
		t.Errorf("open: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "damaged")); err == nil {
		t.Error("the log was set aside")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(putRecord{id: 1, arrival: time.Now(), message: numbered(1), reason: "x"}.encode())
	f.Add(settledRecord{next: 9, runs: []run{{outcomeDelivered, 3, 4}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= recordHead { // else hardly any input gets past the sum
			binary.LittleEndian.PutUint32(b[2:], recordSum(b))
		}
		decodeRecord(b)
		if len(b) >= frameHead {
			parseFrame(b)
		}
	})
}
