package bridge

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems"
)

// smallDisk is a file system of its own with 3 MiB.
func smallDisk(t *testing.T) (dir string, remount func(flags uintptr) error) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=0700"); err != nil {
		t.Skipf("this user may not mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(flags uintptr) error { return unix.Mount("", dir, "", unix.MS_REMOUNT|flags, "") }
}

// A disk that is really full, for segments and for raft-wal's list of them: what cannot be stored is refused, what has
// been stored is delivered, and when there is space again all goes on. In the end nothing that was accepted is missing.
func TestOutboxOnAFullDisk(t *testing.T) {
	disk, _ := smallDisk(t)
	cfg := OutboxConfig{Dir: filepath.Join(disk, "queue"), MaxBytes: 2 << 20}
	o := openOutbox(t, cfg)
	must(t, os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 2<<20), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	stored, left := 0, 0
	put := func() error {
		done := make(chan error, 1)
		o.Put(modems.Message{Topic: "t", Payload: crashPayload(stored), QoS: 1}, func(err error) { done <- err })
		err := <-done
		if err == nil {
			stored++
			left++
		}
		return err
	}
	take := func() {
		t.Helper()
		e, err := o.Next(ctx)
		must(t, err)
		if n, intact := crashNumber(e.Message().Payload); n != stored-left || !intact {
			t.Fatalf("message %d came, intact %v; want %d", n, intact, stored-left)
		}
		must(t, e.Delivered())
		left--
	}
	for err := error(nil); err == nil; {
		if err = put(); err != nil && (!errors.Is(err, ErrStore) || !errors.Is(err, syscall.ENOSPC)) {
			t.Fatalf("after %d messages: %v", stored, err)
		}
	}
	if broken := o.Stats().Broken; broken == nil || !strings.Contains(broken.Error(), "no space left") {
		t.Errorf("it does not say why: %v", broken)
	}
	for range stored / 2 { // while it is full
		take()
	}
	must(t, os.Remove(filepath.Join(disk, "ballast")))
	must(t, o.Room(ctx, numbered(0), Handling{}))
	must(t, put())
	closeOutbox(t, o)
	o = openOutbox(t, cfg)
	defer closeOutbox(t, o)
	if s := o.Stats(); s.Messages != left || s.Damaged > 0 {
		t.Errorf("%+v, want %d messages", s, left)
	}
	for left > 0 {
		take()
	}
}

// A file system that was mounted read-only, as the kernel does with a card that fails: refused, and left as it is.
func TestOutboxReadOnly(t *testing.T) {
	disk, remount := smallDisk(t)
	cfg := OutboxConfig{Dir: filepath.Join(disk, "queue"), MaxBytes: 1 << 20}
	o := openOutbox(t, cfg)
	putWait(t, o, numberedUpTo(3)...)
	closeOutbox(t, o)
	must(t, remount(unix.MS_RDONLY))
	if _, err := OpenOutbox(cfg); err == nil || !strings.Contains(err.Error(), "is not writable: read-only file system") {
		t.Errorf("read-only: %v", err)
	}
	must(t, remount(0))
	o = openOutbox(t, cfg)
	defer closeOutbox(t, o)
	if got := strings.Join(payloads(t, o), " "); got != "0 1 2" {
		t.Errorf("afterwards: %s", got)
	}
}
