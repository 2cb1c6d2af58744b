package bridge

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/atbridge/atbridge/modems"
)

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

func filtered(list []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !keep(s) })
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
				if len(model) == cfg.MaxMessages {
					t.Skip("it is full")
				}
				errs := make(chan error, 8)
				some := rapid.IntRange(1, min(8, cfg.MaxMessages-len(model))).Draw(t, "messages")
				for range some {
					size := rapid.SampledFrom([]int{0, 10, 8000}).Draw(t, "size")
					lane := rapid.SampledFrom([]string{"", "h"}).Draw(t, "lane")
					p := lane + strconv.Itoa(n)
					o.PutAs(modems.Message{Topic: strings.Repeat("t", size), Payload: []byte(p)}, Handling{High: lane == "h"}, func(err error) { errs <- err })
					model = append(model, p)
					n++
				}
				for range some {
					must(t, <-errs)
				}
			},
			"next": func(t *rapid.T) {
				high := func(p string) bool { return p[0] == 'h' }
				normal := func(p string) bool { return p[0] != 'h' }
				for _, p := range slices.Concat(filtered(model, high), filtered(model, normal)) {
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
