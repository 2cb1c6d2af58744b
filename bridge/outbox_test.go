package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// tb is what testing.T and rapid.T have in common.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func openOutbox(t tb, cfg OutboxConfig) *Outbox {
	t.Helper()
	o, err := OpenOutbox(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func closeOutbox(t tb, o *Outbox) {
	t.Helper()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

// putWait puts messages and returns when each has been reported.
func putWait(t tb, o *Outbox, messages ...modems.Message) {
	t.Helper()
	errs := make(chan error, len(messages))
	for _, m := range messages {
		o.Put(m, func(err error) { errs <- err })
	}
	for range messages {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

func next(t tb, o *Outbox) *Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e, err := o.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func numbered(n int) modems.Message {
	return modems.Message{Topic: "sensors/t", Payload: []byte(strconv.Itoa(n)), QoS: 1}
}

func numberedUpTo(n int) (ms []modems.Message) {
	for i := range n {
		ms = append(ms, numbered(i))
	}
	return ms
}

// payloads returns what All yields, poisoned messages with an exclamation mark.
func payloads(t tb, o *Outbox) (found []string) {
	t.Helper()
	for s, err := range o.All() {
		if err != nil {
			t.Fatal(err)
		}
		p := string(s.Message.Payload)
		if s.Reason != "" {
			p += "!"
		}
		found = append(found, p)
	}
	return found
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOutboxKeepsOrderAndSettlesOnce(t *testing.T) {
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir()})
	defer closeOutbox(t, o)
	putWait(t, o, numberedUpTo(4)...)
	a, b, c := next(t, o), next(t, o), next(t, o)
	must(t, b.Undelivered())
	must(t, a.Undelivered())
	if again := next(t, o); again.ID() != a.ID() || again.Attempts() != 2 {
		t.Errorf("handed out %d, attempt %d; want %d, attempt 2", again.ID(), again.Attempts(), a.ID())
	} else {
		must(t, again.Delivered())
		if err := again.Undelivered(); !errors.Is(err, errSettled) {
			t.Errorf("the second settlement: %v", err)
		}
	}
	if again := next(t, o); again.ID() != b.ID() {
		t.Errorf("handed out %d, want %d", again.ID(), b.ID())
	}
	must(t, c.Delivered())
	if last := next(t, o); string(last.Message().Payload) != "3" || last.Attempts() != 1 {
		t.Errorf("handed out %q, attempt %d", last.Message().Payload, last.Attempts())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := o.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing is waiting, but Next said %v", err)
	}
}

func TestOutboxKeepsEveryByte(t *testing.T) {
	dir := t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	want := modems.Message{Topic: "ü/" + strings.Repeat("x", 70000), Payload: all, QoS: 1, Retain: true}
	before := time.Now()
	putWait(t, o, want, modems.Message{Topic: "empty"})
	closeOutbox(t, o)
	o = openOutbox(t, OutboxConfig{Dir: dir})
	defer closeOutbox(t, o)
	e := next(t, o)
	if m := e.Message(); m.Topic != want.Topic || !bytes.Equal(m.Payload, all) || m.QoS != 1 || !m.Retain {
		t.Errorf("came back different: topic of %d bytes, payload %x, qos %d, retain %v", len(m.Topic), m.Payload, m.QoS, m.Retain)
	}
	if e.Arrival().Before(before.Truncate(0)) || e.Arrival().After(time.Now()) {
		t.Errorf("arrival %v", e.Arrival())
	}
	if m := next(t, o).Message(); m.Topic != "empty" || len(m.Payload) != 0 || m.QoS != 0 || m.Retain {
		t.Errorf("came back different: %+v", m)
	}
}

func TestOutboxPoisonStaysReadable(t *testing.T) {
	dir := t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxMessages: 2})
	putWait(t, o, numberedUpTo(2)...)
	e := next(t, o)
	must(t, e.Poison(errors.New("the topic is too long")))
	if s, err := o.Lookup(e.ID()); err != nil || s.Reason != "the topic is too long" {
		t.Errorf("before it is on the disk: %+v, %v", s, err)
	}
	o.Put(numbered(9), func(err error) {
		if !errors.Is(err, ErrQueueFull) {
			t.Errorf("a poisoned message must count towards the limit: %v", err)
		}
	})
	closeOutbox(t, o)
	o = openOutbox(t, OutboxConfig{Dir: dir, MaxMessages: 2})
	s, err := o.Lookup(e.ID())
	if err != nil || s.Reason != "the topic is too long" || string(s.Message.Payload) != "0" {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
	if got := next(t, o); got.ID() == e.ID() {
		t.Error("a poisoned message was handed out")
	} else if err := o.Drop(got.ID()); !errors.Is(err, ErrInFlight) {
		t.Errorf("drop of what is being sent: %v", err)
	}
	must(t, o.Drop(e.ID()))
	if err := o.Drop(e.ID()); !errors.Is(err, ErrNoMessage) {
		t.Errorf("the second drop: %v", err)
	}
	closeOutbox(t, o)
	o = openOutbox(t, OutboxConfig{Dir: dir})
	defer closeOutbox(t, o)
	if got := payloads(t, o); !slices.Equal(got, []string{"1"}) {
		t.Errorf("left: %v", got)
	}
}

func TestOutboxRefusesWhenFull(t *testing.T) {
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), MaxMessages: 3})
	defer closeOutbox(t, o)
	putWait(t, o, numberedUpTo(3)...)
	told := false
	o.Put(numbered(3), func(err error) { told = errors.Is(err, ErrQueueFull) })
	if !told {
		t.Fatal("a full queue must say so before Put returns")
	}
	room := make(chan error)
	go func() { room <- o.Room(context.Background(), numbered(3), Handling{}) }()
	select {
	case err := <-room:
		t.Fatal("there is no room, but Room returned", err)
	default:
	}
	must(t, next(t, o).Delivered())
	must(t, <-room)
	putWait(t, o, numbered(3))
	if s := o.Stats(); s.Rejected != 1 || s.Messages != 3 {
		t.Errorf("%+v", s)
	}
}

func TestOutboxLimitsBytesOnDisk(t *testing.T) {
	dir := t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 2 << 20})
	payload := make([]byte, 3000)
	full := false
	for !full {
		done := make(chan error, 1)
		o.Put(modems.Message{Topic: "t", Payload: payload}, func(err error) { done <- err })
		full = errors.Is(<-done, ErrQueueFull)
	}
	for range 300 { // and while it stays full
		must(t, next(t, o).Delivered())
		putWait(t, o, modems.Message{Topic: "t", Payload: payload})
	}
	if size := diskUsage(t, dir); size > 2<<20 || size < 1<<20 {
		t.Errorf("%d bytes on the disk, and max_bytes is %d", size, 2<<20)
	}
	o.Put(modems.Message{Topic: "t", Payload: make([]byte, 2<<20)}, func(err error) {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("a message larger than the queue: %v", err)
		}
	})
	if err := o.Room(context.Background(), modems.Message{Payload: make([]byte, 2<<20)}, Handling{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("room for a message larger than the queue: %v", err)
	}
	closeOutbox(t, o)
	if _, err := OpenOutbox(OutboxConfig{Dir: dir, MaxBytes: 1000}); err == nil || !strings.Contains(err.Error(), "max_bytes") {
		t.Errorf("a queue too small for one segment: %v", err)
	}
}

func diskUsage(t *testing.T, dir string) (total int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() {
			total += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	}))
	return total
}

func TestOutboxDropsOldest(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxMessages: 3, DropOldest: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	putWait(t, o, numberedUpTo(3)...)
	first := next(t, o)
	putWait(t, o, numbered(3), numbered(4))
	if got := payloads(t, o); !slices.Equal(got, []string{"0", "3", "4"}) {
		t.Errorf("what is in flight must stay: %v", got)
	}
	if s := o.Stats(); s.Dropped != 2 || s.Messages != 3 {
		t.Errorf("%+v", s)
	}
	must(t, first.Delivered())
	a, b := next(t, o), next(t, o)
	putWait(t, o, numbered(5))
	c := next(t, o)
	o.Put(numbered(6), func(err error) {
		if !errors.Is(err, ErrQueueFull) {
			t.Errorf("all are in flight: %v", err)
		}
	})
	room := make(chan error)
	go func() { room <- o.Room(context.Background(), numbered(6), Handling{}) }()
	must(t, a.Undelivered())
	must(t, <-room)
	must(t, errors.Join(b.Delivered(), c.Delivered()))
	closeOutbox(t, o)
	if !strings.Contains(log.String(), "dropped") {
		t.Errorf("the log does not say it: %s", log.String())
	}
	o = openOutbox(t, OutboxConfig{Dir: dir})
	defer closeOutbox(t, o)
	if got := payloads(t, o); !slices.Equal(got, []string{"3"}) {
		t.Errorf("after a restart: %v", got)
	}
}
