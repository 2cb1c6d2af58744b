package bridge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOutboxBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir})
	if _, err := OpenOutbox(OutboxConfig{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another atbridge") {
		t.Errorf("the second open: %v", err)
	}
	closeOutbox(t, o)
	closeOutbox(t, openOutbox(t, OutboxConfig{Dir: dir}))
}

func TestOutboxDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := OpenOutbox(OutboxConfig{Dir: file}); err == nil || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("a file: %v", err)
	}
	missing := filepath.Join(dir, "a", "b")
	o := openOutbox(t, OutboxConfig{Dir: missing})
	putWait(t, o, numberedUpTo(10)...)
	closeOutbox(t, o)
	must(t, filepath.WalkDir(missing, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(name)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others can read it", name, info.Mode())
		}
		return err
	}))
	if os.Geteuid() == 0 {
		foreign := filepath.Join(dir, "foreign")
		must(t, os.Mkdir(foreign, 0o700))
		must(t, os.Chown(foreign, 1234, 1234))
		if _, err := OpenOutbox(OutboxConfig{Dir: foreign}); err == nil || !strings.Contains(err.Error(), "belongs to user 1234") {
			t.Errorf("another owner: %v", err)
		}
		return // root may write anywhere
	}
	closed := filepath.Join(dir, "closed")
	must(t, os.Mkdir(closed, 0o500))
	if _, err := OpenOutbox(OutboxConfig{Dir: closed}); err == nil || !strings.Contains(err.Error(), "not writable") {
		t.Errorf("not writable: %v", err)
	}
	if _, err := OpenOutbox(OutboxConfig{Dir: filepath.Join(closed, "x")}); err == nil || !strings.Contains(err.Error(), "cannot be created") {
		t.Errorf("not to be created: %v", err)
	}
}
