package bridge

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func openTestStore(t *testing.T, file string) (*store, *lockedBuffer) {
	t.Helper()
	log := new(lockedBuffer)
	s, err := openStore(file, slog.New(slog.NewTextHandler(log, nil)))
	must(t, err)
	t.Cleanup(func() { s.close() })
	return s, log
}

// reopened is what a start after kill -9 finds: what is on the disk at this moment.
func reopened(t *testing.T, file string) (map[string][]byte, string) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	return loaded(t, b)
}

func loaded(t *testing.T, b []byte) (map[string][]byte, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "local")
	must(t, os.WriteFile(file, b, 0o600))
	s, log := openTestStore(t, file)
	return maps.Clone(s.values), log.String()
}

func TestStoreFlushIsDurable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	s, _ := openTestStore(t, file)
	want := map[string][]byte{}
	for i := range 100 {
		key, value := fmt.Sprint("k", i%10), bytes.Repeat([]byte{byte(i)}, i)
		s.set(key, value)
		want[key] = value
		if i%7 == 0 {
			s.set(key, nil)
			delete(want, key)
		}
		must(t, s.flush().wait())
		if got, _ := reopened(t, file); !maps.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("after %d changes the disk holds %d keys, want %d", i, len(got), len(want))
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestStoreStaysSmall: what is out of date is given back.
func TestStoreStaysSmall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	s, _ := openTestStore(t, file)
	big := bytes.Repeat([]byte("x"), 100_000)
	for i := range 100 {
		s.set(fmt.Sprint("k", i%3), big)
		must(t, s.flush().wait())
	}
	must(t, s.close())
	info, err := os.Stat(file)
	must(t, err)
	if info.Size() > 2_000_000 {
		t.Errorf("three values of 100 kB take %d bytes", info.Size())
	}
	if got, _ := reopened(t, file); len(got) != 3 {
		t.Errorf("%d keys", len(got))
	}
}

// TestStoreTorn: whatever part of the last write is missing, all before it is there.
func TestStoreTorn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	s, _ := openTestStore(t, file)
	s.set("a", []byte("first"))
	must(t, s.flush().wait())
	whole, err := os.ReadFile(file)
	must(t, err)
	s.set("b", []byte("second"))
	must(t, s.flush().wait())
	more, err := os.ReadFile(file)
	must(t, err)
	for cut := len(whole); cut < len(more); cut++ {
		got, log := loaded(t, more[:cut])
		if string(got["a"]) != "first" || got["b"] != nil {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		if torn := strings.Contains(log, "not written whole"); torn != (cut > len(whole)) {
			t.Errorf("cut at %d: the log says %q", cut, log)
		}
	}
}

// TestStoreFlippedBit: one bit costs at most one value, the file is kept, and it is said.
func TestStoreFlippedBit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	s, _ := openTestStore(t, file)
	for i := range 5 {
		s.set(fmt.Sprint("k", i), fmt.Appendf(nil, "value %d", i))
	}
	must(t, s.close())
	whole, err := os.ReadFile(file)
	must(t, err)
	for bit := range 8 * len(whole) {
		damaged := bytes.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		dir := t.TempDir()
		file := filepath.Join(dir, "local")
		must(t, os.WriteFile(file, damaged, 0o600))
		log := new(lockedBuffer)
		s, err := openStore(file, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil && strings.Contains(err.Error(), "another version") {
			continue // a bit of the version: refused, and nothing is touched
		}
		must(t, err)
		if len(s.values) < 4 {
			t.Errorf("bit %d: %d values are left", bit, len(s.values))
		}
		for key, value := range s.values {
			if string(value) != "value "+strings.TrimPrefix(key, "k") {
				t.Errorf("bit %d: %q is %q", bit, key, value)
			}
		}
		kept, err := os.ReadFile(file + ".damaged")
		if err != nil || !bytes.Equal(kept, damaged) || !strings.Contains(log.String(), "kept_in") {
			t.Errorf("bit %d: the file is not kept (%v), or nothing is said: %s", bit, err, log)
		}
		must(t, s.close())
	}
}

func TestStoreOfAnotherVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	must(t, os.WriteFile(file, []byte("atbridge local 2\nwhatever"), 0o600))
	if _, err := openStore(file, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Error(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "atbridge local 2\nwhatever" {
		t.Errorf("the file was touched: %q %v", b, err)
	}
}

// TestStoreAfterAnError: who waits is told, and when the disk works again nothing is missing.
func TestStoreAfterAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	s, log := openTestStore(t, file)
	s.set("a", []byte("1"))
	must(t, s.flush().wait())
	must(t, os.Mkdir(file+".new", 0o700)) // no new log either
	s.f.Close()                           // the committer waits for work
	s.set("b", []byte("2"))
	if s.flush().wait() == nil {
		t.Fatal("a write into a closed file was reported as done")
	}
	if s.flush().wait() == nil {
		t.Fatal("nothing has changed, and yet it is done")
	}
	must(t, os.Remove(file+".new"))
	must(t, s.flush().wait())
	if got, _ := reopened(t, file); string(got["a"]) != "1" || string(got["b"]) != "2" {
		t.Errorf("%q", got)
	}
	if text := log.String(); strings.Count(text, "cannot be stored") == 0 || !strings.Contains(text, "stored again") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestStoreWithoutAName: while the new log has its name only in memory, a power cut would bring back the old one, and nothing
// that is written from then on counts as done. What counted as done before is in both.
func TestStoreWithoutAName(t *testing.T) {
	dir := t.TempDir()
	file, old := filepath.Join(dir, "local"), filepath.Join(dir, "old")
	log := new(lockedBuffer)
	var fails atomic.Bool
	s, err := openStoreOn(file, slog.New(slog.NewTextHandler(log, nil)), func(dir string) error {
		if fails.Load() {
			return syscall.EIO
		}
		return syncDir(dir)
	})
	must(t, err)
	defer s.close()
	must(t, os.Link(file, old)) // what the power cut would bring back
	fails.Store(true)
	size := func() int64 {
		info, err := os.Stat(file)
		must(t, err)
		return info.Size()
	}
	for before := int64(0); size() >= before; { // until it is written anew
		before = size()
		s.set("big", bytes.Repeat([]byte("x"), 300_000))
		s.set("a", fmt.Append(nil, before))
		must(t, s.flush().wait())
		if size() >= before {
			continue
		}
		b, err := os.ReadFile(old)
		must(t, err)
		if got, _ := loaded(t, b); string(got["a"]) != fmt.Sprint(before) {
			t.Errorf("the old log says %q, though %d was done", got["a"], before)
		}
	}
	s.set("b", []byte("later"))
	if s.flush().wait() == nil {
		t.Error("what a power cut would take back was reported as done")
	}
	fails.Store(false)
	must(t, s.flush().wait())
	if got, _ := reopened(t, file); string(got["b"]) != "later" || len(got) != 3 {
		t.Errorf("%d keys, b is %q", len(got), got["b"])
	}
	if text := log.String(); !strings.Contains(text, "cannot be stored") || !strings.Contains(text, "stored again") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestStoreModel: any changes, any restarts.
func TestStoreModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		must(t, err)
		file := filepath.Join(dir, "local")
		s, err := openStore(file, slog.New(slog.DiscardHandler))
		must(t, err)
		want := map[string][]byte{}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			key := rapid.SampledFrom([]string{"a", "b\x00c", "", storeMark}).Draw(rt, "key")
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				s.set(key, nil)
				delete(want, key)
			case 1:
				must(t, s.close())
				s, err = openStore(file, slog.New(slog.DiscardHandler))
				must(t, err)
			default:
				value := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "value")
				value = append(value, storeMark...)
				s.set(key, value)
				want[key] = value
			}
			if !maps.EqualFunc(s.values, want, bytes.Equal) {
				rt.Fatalf("%q, want %q", s.values, want)
			}
		}
		must(t, s.close())
	})
}
