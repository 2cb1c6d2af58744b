package bridge

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// putAs puts one message for each letter, named by it and its place: n normal, h high, e expendable. It returns which
// were not taken.
func putAs(t *testing.T, o *Outbox, letters string) (refused string) {
	t.Helper()
	for i, l := range letters {
		done := make(chan error, 1)
		m := modems.Message{Topic: "t", Payload: []byte(string(l) + string(rune('0'+i))), QoS: 1}
		o.PutAs(m, Handling{High: l == 'h', Expendable: l == 'e'}, func(err error) { done <- err })
		switch err := <-done; {
		case errors.Is(err, ErrQueueFull):
			refused += string(l)
		case err != nil:
			t.Fatal(err)
		}
	}
	return refused
}

// handOut takes n messages.
func handOut(t *testing.T, o *Outbox, n int) (names string, entries []*Entry) {
	t.Helper()
	for range n {
		e := next(t, o)
		names += string(e.Message().Payload) + " "
		entries = append(entries, e)
	}
	return strings.TrimSpace(names), entries
}

// What is high goes first, each lane in its order, also after it was given back, and after a restart.
func TestOutboxLanes(t *testing.T) {
	cfg := OutboxConfig{Dir: t.TempDir()}
	o := openOutbox(t, cfg)
	putAs(t, o, "nhnhen")
	got, taken := handOut(t, o, 4)
	if got != "h1 h3 n0 n2" {
		t.Errorf("handed out %s", got)
	}
	for _, i := range []int{2, 0, 3, 1} { // in whatever order they come back
		must(t, taken[i].Undelivered())
	}
	putAs(t, o, "h")
	if got, _ := handOut(t, o, 7); got != "h1 h3 h0 n0 n2 e4 n5" {
		t.Errorf("handed out again: %s", got)
	}
	closeOutbox(t, o)
	o = openOutbox(t, cfg)
	if got, taken := handOut(t, o, 7); got != "h1 h3 h0 n0 n2 e4 n5" {
		t.Errorf("after a restart: %s", got)
	} else {
		must(t, taken[0].Poison(errors.New("x")))
	}
	closeOutbox(t, o)
	o = openOutbox(t, cfg)
	defer closeOutbox(t, o)
	if s, err := o.Lookup(2); err != nil || !s.High || s.State != "poisoned" {
		t.Errorf("a poisoned one keeps its lane: %+v, %v", s, err)
	}
	if got, _ := handOut(t, o, 6); got != "h3 h0 n0 n2 e4 n5" {
		t.Errorf("after a second restart: %s", got)
	}
}

// TestOutboxOverboard: who goes when the queue is full, and who never goes for whom.
func TestOutboxOverboard(t *testing.T) {
	for name, tc := range map[string]struct {
		dropOldest   bool
		before, then string
		flying       int
		left         string
		refused      string
		drops        Drops
	}{
		"reject":                           {false, "nnn", "n", 0, "n0 n1 n2", "n", Drops{}},
		"reject, QoS 0 goes":               {false, "nen", "nn", 0, "n0 n2 n0", "n", Drops{QoS0: 1}},
		"reject, QoS 0 comes":              {false, "nen", "e", 0, "n0 e1 n2", "e", Drops{QoS0: 1}},
		"oldest":                           {true, "nnn", "nn", 0, "n2 n0 n1", "", Drops{Full: 2}},
		"QoS 0 before the oldest":          {true, "nen", "nn", 0, "n2 n0 n1", "", Drops{Full: 1, QoS0: 1}},
		"QoS 0 before normal before high":  {true, "hne", "hhh", 0, "h0 h1 h2", "", Drops{Full: 2, QoS0: 1}},
		"normal never before high":         {true, "hhh", "n", 0, "h0 h1 h2", "n", Drops{}},
		"QoS 0 for QoS 0":                  {true, "een", "e", 0, "e1 n2 e0", "", Drops{QoS0: 1}},
		"QoS 0 never for what is better":   {true, "nnn", "e", 0, "n0 n1 n2", "e", Drops{QoS0: 1}},
		"not what is in flight":            {true, "enn", "n", 1, "e0 n2 n0", "", Drops{Full: 1}},
		"all in flight":                    {true, "een", "n", 3, "e0 e1 n2", "n", Drops{}},
		"reject, QoS 0 that is in flight":  {false, "enn", "n", 1, "e0 n1 n2", "n", Drops{}},
		"reject, QoS 0 and none in flight": {false, "een", "nn", 1, "e0 n2 n0", "n", Drops{QoS0: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), MaxMessages: 3, DropOldest: tc.dropOldest, Log: slog.New(slog.NewTextHandler(&log, nil))})
			putAs(t, o, tc.before)
			handOut(t, o, tc.flying)
			refused := putAs(t, o, tc.then)
			left := strings.Join(payloads(t, o), " ")
			s := o.Stats()
			if left != tc.left || refused != tc.refused || s.DroppedBy != tc.drops || s.Messages != 3 {
				t.Errorf("left %s, refused %q, %+v; want %s, %q, %+v", left, refused, s, tc.left, tc.refused, tc.drops)
			}
			if told := strings.Count(strings.ReplaceAll(tc.refused, "e", ""), "n"); s.Rejected != told {
				t.Errorf("%d count as rejected, want %d", s.Rejected, told)
			}
			closeOutbox(t, o)
			if dropped := strings.Contains(log.String(), "dropped"); dropped != (tc.drops != Drops{}) {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}

// A large message for which not enough can go: then nothing goes.
func TestOutboxDropsNothingInVain(t *testing.T) {
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), MaxBytes: 1 << 20, DropOldest: true})
	defer closeOutbox(t, o)
	large := modems.Message{Topic: "t", Payload: make([]byte, 200<<10)}
	putWait(t, o, large, numbered(1), large)
	_, taken := handOut(t, o, 3)
	must(t, taken[1].Undelivered())
	refused := make(chan error, 1)
	o.Put(modems.Message{Topic: "t", Payload: make([]byte, 400<<10)}, func(err error) { refused <- err })
	if err := <-refused; !errors.Is(err, ErrQueueFull) {
		t.Fatal(err)
	}
	if s := o.Stats(); s.Dropped != 0 || s.Messages != 3 {
		t.Errorf("%+v", s)
	}
}

// Room is there for a message with QoS 1 as soon as one with QoS 0 may go for it.
func TestOutboxRoomOfTheExpendable(t *testing.T) {
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir(), MaxMessages: 2})
	defer closeOutbox(t, o)
	putAs(t, o, "en")
	_, taken := handOut(t, o, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	room := make(chan error)
	go func() { room <- o.Room(ctx, numbered(1), Handling{}) }()
	select {
	case err := <-room:
		t.Fatal("there is no room, but Room returned", err)
	default:
	}
	must(t, taken[0].Undelivered())
	must(t, <-room)
	if refused := putAs(t, o, "n"); refused != "" {
		t.Error("refused all the same")
	}
}

// TestOutboxOldFiles: what atbridge wrote before there were lanes, and poisoned ones, opens as it was.
func TestOutboxOldFiles(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "testdata/outbox-v1.tar.gz", dir)
	o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
	if got := payloads(t, o); !slices.Equal(got, []string{"1!", "2", "4", "5", "\x00\xff\r\nOK\r\n", ""}) {
		t.Errorf("it holds %q", got)
	}
	for s, err := range o.All() {
		must(t, err)
		if s.High || s.Expendable || s.Message.Retain != (s.ID == 7) || (s.Message.QoS == 1) != (s.ID < 8) || s.Arrival.Year() < 2026 {
			t.Errorf("%+v", s)
		}
	}
	if s := o.Stats(); s.Damaged > 0 || s.Poisoned != 1 {
		t.Errorf("%+v", s)
	}
	putAs(t, o, "h")
	if got, _ := handOut(t, o, 2); got != "h0 2" {
		t.Errorf("handed out %q", got)
	}
	closeOutbox(t, o)
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		must(t, err)
		name := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(name, 0o700))
			continue
		}
		b, err := io.ReadAll(r)
		must(t, err)
		must(t, os.WriteFile(name, b, 0o600))
	}
}
