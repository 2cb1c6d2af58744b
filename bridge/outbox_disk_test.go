package bridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"

	"github.com/atbridge/atbridge/modems"
)

// breakableDisk is the real disk until it is told to fail.
type breakableDisk struct {
	privateFS
	fail   atomic.Pointer[error] // of every write
	unsync atomic.Pointer[error] // of every sync, after it has written
	half   atomic.Bool           // a write that fails writes half of it
	syncs  atomic.Int64
}

func newBreakableDisk() *breakableDisk { return &breakableDisk{privateFS: privateFS{walfs.New()}} }

func (d *breakableDisk) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if err := d.fail.Load(); err != nil {
		return nil, *err
	}
	f, err := d.privateFS.Create(dir, name, size)
	return breakableFile{f, d}, err
}

func (d *breakableDisk) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := d.privateFS.OpenWriter(dir, name)
	if err != nil {
		return nil, err
	}
	return breakableFile{f, d}, nil
}

type breakableFile struct {
	types.WritableFile
	disk *breakableDisk
}

func (f breakableFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.disk.fail.Load(); err != nil {
		if f.disk.half.Load() {
			f.WritableFile.WriteAt(b[:len(b)/2], at)
		}
		return 0, *err
	}
	return f.WritableFile.WriteAt(b, at)
}

func (f breakableFile) Sync() error {
	f.disk.syncs.Add(1)
	err := f.WritableFile.Sync()
	if unsync := f.disk.unsync.Load(); unsync != nil {
		return *unsync
	}
	return err
}

// TestOutboxSharesTheFsync: all that wait when an fsync begins share the next one.
func TestOutboxSharesTheFsync(t *testing.T) {
	d := newBreakableDisk()
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), disk: d})
	defer closeOutbox(t, o)
	putWait(t, o, numbered(0))
	before := d.syncs.Load()
	first, release := make(chan bool), make(chan bool)
	o.Put(numbered(1), func(error) { first <- true; <-release }) // holds the committer
	<-first
	errs := make(chan error, 500)
	for n := range 500 {
		o.Put(numbered(n), func(err error) { errs <- err })
	}
	release <- true
	for range 500 {
		must(t, <-errs)
	}
	if n := d.syncs.Load() - before; n != 2 {
		t.Errorf("%d syncs for one message, and then for 500 that waited together", n)
	}
}

// TestOutboxCollects: with an interval, messages that come one by one share an fsync too.
func TestOutboxCollects(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newBreakableDisk()
		o := openOutbox(t, OutboxConfig{Dir: dir, Sync: time.Minute, disk: d})
		defer closeOutbox(t, o)
		var stored atomic.Int64
		start := time.Now()
		for n := range 20 {
			o.Put(numbered(n), func(err error) { must(t, err); stored.Add(1) })
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if n := d.syncs.Load(); n > 0 || stored.Load() > 0 {
			t.Errorf("%d syncs within the interval, %d messages", n, stored.Load())
		}
		time.Sleep(time.Until(start.Add(time.Minute)))
		synctest.Wait()
		if n := d.syncs.Load(); n != 1 || stored.Load() != 20 {
			t.Errorf("%d syncs for %d messages", n, stored.Load())
		}
	})
}

func TestOutboxOutlivesAFailingDisk(t *testing.T) {
	for _, failure := range []struct {
		name   string
		breaks func(*breakableDisk, *error)
	}{
		{"write", func(d *breakableDisk, err *error) { d.fail.Store(err) }},
		{"torn write", func(d *breakableDisk, err *error) { d.half.Store(err != nil); d.fail.Store(err) }},
		{"sync", func(d *breakableDisk, err *error) { d.unsync.Store(err) }},
	} {
		t.Run(failure.name, func(t *testing.T) {
			d := newBreakableDisk()
			dir := t.TempDir()
			cfg := OutboxConfig{Dir: dir, MaxBytes: 1 << 20, disk: d}
			o := openOutbox(t, cfg)
			payload := strings.Repeat("x", 3000)
			var want []string
			for round := range 3 {
				for i := range 15 { // some rounds fill a segment
					p := fmt.Sprintf("%d.%d %s", round, i, payload)
					putWait(t, o, modems.Message{Topic: "t", Payload: []byte(p)})
					want = append(want, p)
				}
				flying := next(t, o)
				noSpace := error(&os.PathError{Op: "write", Path: "x.wal", Err: syscall.ENOSPC})
				failure.breaks(d, &noSpace)
				must(t, flying.Delivered()) // its settlement must outlive the failure
				want = want[1:]
				for range 40 {
					done := make(chan error, 1)
					o.Put(modems.Message{Topic: "t", Payload: []byte("refused " + payload)}, func(err error) { done <- err })
					if err := <-done; !errors.Is(err, ErrStore) || !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("the disk is full, but done got %v", err)
					}
				}
				if _, err := OpenOutbox(OutboxConfig{Dir: dir}); err == nil {
					t.Fatal("the lock was lost")
				}
				failure.breaks(d, nil)
				must(t, o.Room(context.Background(), numbered(0), Handling{}))
			}
			if got := payloads(t, o); !slices.Equal(got, want) {
				t.Fatalf("the queue holds %.10q, want %.10q", got, want)
			}
			closeOutbox(t, o)
			o = openOutbox(t, cfg)
			if got := payloads(t, o); !slices.Equal(got, want) {
				t.Fatalf("after a restart the queue holds %.10q, want %.10q", got, want)
			}
			for i, p := range want {
				e := next(t, o)
				if string(e.Message().Payload) != p {
					t.Fatalf("message %d is %.10q, want %.10q", i, e.Message().Payload, p)
				}
			}
			closeOutbox(t, o)
		})
	}
}

func TestOutboxCloseWhileTheDiskFails(t *testing.T) {
	d := newBreakableDisk()
	dir := t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir, disk: d})
	putWait(t, o, numberedUpTo(2)...)
	e := next(t, o)
	full := error(syscall.ENOSPC)
	d.fail.Store(&full)
	must(t, e.Delivered())
	if err := o.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close: %v", err)
	}
	o = openOutbox(t, OutboxConfig{Dir: dir})
	defer closeOutbox(t, o)
	if got := payloads(t, o); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("left: %v", got)
	}
}

// A full disk takes no new message and no note of a delivery. The messages on it are delivered all the same, and give
// their space back: the first note that can be written again is written then.
func TestOutboxDrainsOnAFullDisk(t *testing.T) {
	const messages = 400
	dir := t.TempDir()
	d := newBreakableDisk()
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 1 << 20, disk: d}) // segments of 64 KiB
	for i := range messages {
		m := numbered(i)
		m.Payload = append(m.Payload, make([]byte, 1000)...)
		putWait(t, o, m)
	}
	before := len(segmentFiles(t, dir))
	full := error(syscall.ENOSPC)
	d.fail.Store(&full)
	refused := make(chan error, 1)
	o.Put(numbered(messages), func(err error) { refused <- err })
	if err := <-refused; !errors.Is(err, ErrStore) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for i := range messages {
		e, err := o.Next(ctx)
		if err != nil {
			t.Fatalf("message %d: %v (%v)", i, err, o.Stats().Broken)
		}
		if err := e.Delivered(); err != nil {
			t.Fatal(err)
		}
	}
	for len(segmentFiles(t, dir)) >= before {
		select {
		case <-ctx.Done():
			t.Fatalf("%d segments still, and there were %d", len(segmentFiles(t, dir)), before)
		case <-time.After(10 * time.Millisecond):
		}
	}
	d.fail.Store(nil)
	if err := o.Room(ctx, numbered(messages), Handling{}); err != nil {
		t.Fatal(err)
	}
	putWait(t, o, numbered(messages))
	closeOutbox(t, o)
	o = openOutbox(t, OutboxConfig{Dir: dir})
	defer closeOutbox(t, o)
	if s := o.Stats(); s.Messages != 1 {
		t.Errorf("%d messages after a restart, want the last one", s.Messages)
	}
}

func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
