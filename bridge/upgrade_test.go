package bridge

import (
	"bytes"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// What a release has written, the next one reads; what it writes under the same version, the one before reads too. The files
// in testdata are those of version 1: a test here that fails asks for a new version, and for keeping the old files beside the
// new ones.

// TestOutboxRecordForm: the records are, byte for byte, those of version 1.
func TestOutboxRecordForm(t *testing.T) {
	put := putRecord{
		id: 300, arrival: time.Unix(1800000000, 5), reason: "why", handling: Handling{High: true},
		message: modems.Message{Topic: "a/b", Payload: []byte{0, 0xff}, QoS: 1, Retain: true},
	}
	settled := settledRecord{next: 301, runs: []run{{outcomeDelivered, 1, 200}, {outcomeDropped, 250, 1}}}
	for want, record := range map[string][]byte{
		"0101a9b6c9cdac028580d09de9ceb8fd180d03612f620377687900ff": put.encode(),
		"0102e699e689ad020101c80102fa0101":                         settled.encode(),
	} {
		if got := hex.EncodeToString(record); got != want {
			t.Errorf("written is\n%s\nversion 1 is\n%s", got, want)
		}
	}
}

// TestOutboxRefusedUnchanged: a queue that this program refuses opens where it comes from as it was.
func TestOutboxRefusedUnchanged(t *testing.T) {
	dir := t.TempDir()
	writeNewer(t, dir)
	before := segmentsIn(t, dir)
	if _, err := OpenOutbox(OutboxConfig{Dir: dir}); err == nil {
		t.Fatal("a newer queue is opened")
	}
	if after := segmentsIn(t, dir); len(before) == 0 || !maps.EqualFunc(before, after, bytes.Equal) {
		t.Errorf("%d segments, now %d, or not the same", len(before), len(after))
	}
}

func segmentsIn(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.wal"))
	must(t, err)
	for _, name := range names {
		files[name], err = os.ReadFile(name)
		must(t, err)
	}
	return files
}

// lampAndState makes sessions, messages and retained ones in file: version 1 holds the same.
func lampAndState(t *testing.T, file string) {
	t.Helper()
	l := startLocal(t, LocalConfig{File: file}, func(modems.Message, func(error)) bool { return false })
	c := dialRaw(t, l.Addr(), "lamp", false)
	c.subscribe("commands/#", 1)
	c.subscribe("state", 0)
	c.Close()
	for _, m := range []modems.Message{
		{Topic: "commands/lamp", Payload: []byte("on"), QoS: 1},
		{Topic: "commands/lamp", Payload: []byte{0, 0xff, '\r', '\n'}, QoS: 1},
		{Topic: "state", Payload: []byte("day"), QoS: 1, Retain: true},
	} {
		must(t, l.Deliver(t.Context(), m))
	}
	must(t, l.Close())
}

// TestLocalOldFiles: the sessions that an earlier atbridge has stored go on, and what is stored now it could read.
func TestLocalOldFiles(t *testing.T) {
	golden, err := os.ReadFile("testdata/local-v1")
	must(t, err)
	fresh := filepath.Join(t.TempDir(), "local")
	lampAndState(t, fresh)
	want, log := loaded(t, golden)
	if got, _ := reopened(t, fresh); !maps.EqualFunc(got, want, bytes.Equal) || log != "" {
		t.Errorf("stored is\n%q\nversion 1 holds\n%q\n%s", got, want, log)
	}

	file := filepath.Join(t.TempDir(), "local")
	must(t, os.WriteFile(file, golden, 0o600))
	l := startLocal(t, LocalConfig{File: file}, func(modems.Message, func(error)) bool { return false })
	c := resume(t, l.Addr(), "lamp")
	for _, payload := range []string{"on", "\x00\xff\r\n"} {
		if p := c.take(); p.TopicName != "commands/lamp" || string(p.Payload) != payload {
			t.Errorf("got %s %q", p.TopicName, p.Payload)
		}
	}
	c.subscribe("state", 0)
	if p := c.take(); p.TopicName != "state" || string(p.Payload) != "day" || !p.Retain {
		t.Errorf("got %s %q", p.TopicName, p.Payload)
	}
}
