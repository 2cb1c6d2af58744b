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
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

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
	} else if err := o.Drop(got.ID()); !errors.Is(err, errInFlight) {
		t.Errorf("drop of what is being sent: %v", err)
	}
	must(t, o.Drop(e.ID()))
	if err := o.Drop(e.ID()); !errors.Is(err, errNoSuchID) {
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
	go func() { room <- o.Room(context.Background(), numbered(3)) }()
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
	if err := o.Room(context.Background(), modems.Message{Payload: make([]byte, 2<<20)}); !errors.Is(err, ErrTooLarge) {
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
	go func() { room <- o.Room(context.Background(), numbered(6)) }()
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

func TestOutboxDropsWhatIsTooOld(t *testing.T) {
	dir := t.TempDir()
	o := openOutbox(t, OutboxConfig{Dir: dir})
	putWait(t, o, numberedUpTo(3)...)
	o.mu.Lock()
	o.items[0].arrival = time.Now().Add(-2 * time.Hour).UnixNano()
	o.items[1].arrival = time.Date(1970, 1, 1, 0, 5, 0, 0, time.UTC).UnixNano() // no clock at boot
	o.cfg.MaxAge = time.Hour
	o.mu.Unlock()
	if got := next(t, o); string(got.Message().Payload) != "1" {
		t.Errorf("handed out %q", got.Message().Payload)
	}
	if s := o.Stats(); s.Dropped != 1 || s.Messages != 2 {
		t.Errorf("%+v", s)
	}
	closeOutbox(t, o)
}

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
	must(t, filepath.WalkDir(missing, func(name string, d os.DirEntry, err error) error {
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

func TestOutboxManyWritersKeepTheirOrder(t *testing.T) {
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir()})
	defer closeOutbox(t, o)
	const writers, each = 8, 200
	var wg, done sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			last := -1
			for i := range each {
				done.Add(1)
				o.Put(modems.Message{Topic: strconv.Itoa(w), Payload: []byte(strconv.Itoa(i))}, func(err error) {
					if err != nil || i != last+1 {
						t.Errorf("writer %d: %d was reported after %d: %v", w, i, last, err)
					}
					last = i // only the committer comes here
					done.Done()
				})
			}
		})
	}
	wg.Wait()
	done.Wait()
	expect := make(map[string]int)
	for range writers * each {
		e := next(t, o)
		m := e.Message()
		if string(m.Payload) != strconv.Itoa(expect[m.Topic]) {
			t.Fatalf("writer %s: got %s, want %d", m.Topic, m.Payload, expect[m.Topic])
		}
		expect[m.Topic]++
		must(t, e.Delivered())
	}
}

// TestOutboxModel: whatever is done to the queue, and wherever it is closed and opened again in between, it holds
// what a list in memory holds.
func TestOutboxModel(t *testing.T) {
	base := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		cfg := OutboxConfig{Dir: filepath.Join(base, strconv.Itoa(run)), MaxBytes: 1 << 20, MaxMessages: 60}
		o := openOutbox(t, cfg)
		defer func() { closeOutbox(t, o); os.RemoveAll(cfg.Dir) }()
		var model []string // in order, poisoned ones with a mark
		taken := make(map[string]*Entry)
		n := 0
		pick := func(t *rapid.T) (string, *Entry) {
			if len(taken) == 0 {
				t.Skip("nothing is in flight")
			}
			keys := make([]string, 0, len(taken))
			for k := range taken {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			k := rapid.SampledFrom(keys).Draw(t, "entry")
			e := taken[k]
			delete(taken, k)
			return k, e
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				var ms []modems.Message
				for range rapid.IntRange(1, 8).Draw(t, "messages") {
					if len(model)+len(ms) == cfg.MaxMessages {
						break
					}
					size := rapid.SampledFrom([]int{0, 10, 8000}).Draw(t, "size")
					ms = append(ms, modems.Message{Topic: strings.Repeat("t", size), Payload: []byte(strconv.Itoa(n))})
					n++
				}
				putWait(t, o, ms...)
				for _, m := range ms {
					model = append(model, string(m.Payload))
				}
			},
			"next": func(t *rapid.T) {
				for _, p := range model {
					if taken[p] == nil && !strings.HasSuffix(p, "!") {
						e := next(t, o)
						if string(e.Message().Payload) != p {
							t.Fatalf("handed out %.20q, want %.20q", e.Message().Payload, p)
						}
						taken[p] = e
						return
					}
				}
			},
			"delivered": func(t *rapid.T) {
				p, e := pick(t)
				must(t, e.Delivered())
				model = slices.DeleteFunc(model, func(q string) bool { return q == p })
			},
			"undelivered": func(t *rapid.T) {
				_, e := pick(t)
				must(t, e.Undelivered())
			},
			"poison": func(t *rapid.T) {
				p, e := pick(t)
				must(t, e.Poison(errors.New("x")))
				model[slices.Index(model, p)] += "!"
			},
			"reopen": func(t *rapid.T) {
				closeOutbox(t, o)
				o = openOutbox(t, cfg)
				clear(taken)
			},
			"": func(t *rapid.T) {
				if got := payloads(t, o); !slices.Equal(got, model) {
					t.Fatalf("the queue holds %.10q, want %.10q", got, model)
				}
				if s := o.Stats(); s.Messages != len(model) {
					t.Fatalf("%+v, want %d messages", s, len(model))
				}
			},
		})
	})
}

// TestOutboxForgetsWhatIsSettled: neither a message that stays for ever nor the years let the log grow.
func TestOutboxForgetsWhatIsSettled(t *testing.T) {
	dir := t.TempDir()
	cfg := OutboxConfig{Dir: dir, MaxBytes: 2 << 20}
	o := openOutbox(t, cfg)
	putWait(t, o, numberedUpTo(2)...)
	must(t, next(t, o).Poison(errors.New("for ever")))
	stays := next(t, o)
	payload := make([]byte, 2000)
	for range 200 {
		ms := make([]modems.Message, 20)
		for i := range ms {
			ms[i] = modems.Message{Topic: "t", Payload: payload}
		}
		putWait(t, o, ms...)
		for range ms {
			must(t, next(t, o).Delivered())
		}
	}
	if size := diskUsage(t, dir); size > 1<<20 {
		t.Errorf("two messages take %d bytes on the disk", size)
	}
	must(t, stays.Undelivered())
	if again := next(t, o); again.ID() != stays.ID() || string(again.Message().Payload) != "1" {
		t.Errorf("handed out %d %.20q", again.ID(), again.Message().Payload)
	}
	closeOutbox(t, o)
	o = openOutbox(t, cfg)
	defer closeOutbox(t, o)
	if got := payloads(t, o); !slices.Equal(got, []string{"0!", "1"}) {
		t.Errorf("after a restart: %.20q", got)
	}
	putWait(t, o, numbered(7))
	for s := range o.All() {
		if string(s.Message.Payload) == "7" && s.ID < 4000 {
			t.Errorf("id %d was given out before", s.ID)
		}
	}
}
