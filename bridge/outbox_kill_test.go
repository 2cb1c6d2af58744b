package bridge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// childDir tells the test binary to be the process that is killed.
const childDir = "ATBRIDGE_TEST_OUTBOX"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		putUntilKilled(dir)
	}
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
	}
	modemtest.SideBySide(16)
	os.Exit(m.Run())
}

// putUntilKilled puts numbers, a few of them large, and settles some; it prints what is certain.
func putUntilKilled(dir string) {
	o, err := OpenOutbox(OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	first, _ := strconv.Atoi(os.Getenv(childDir + "_FIRST"))
	var say sync.Mutex
	print := func(what string, n int) {
		say.Lock()
		defer say.Unlock()
		fmt.Println(what, n)
	}
	go func() {
		for {
			e, err := o.Next(context.Background())
			if err != nil {
				print("error", 0)
			}
			n, _ := strconv.Atoi(strings.TrimRight(string(e.Message().Payload), " "))
			switch {
			case n%10 == 3:
				e.Poison(errors.New("three"))
			case n%10 == 7: // stays in flight
			default:
				print("settled", n) // the message may be gone from now on
				e.Delivered()
			}
		}
	}()
	window := make(chan bool, 30)
	for n := first; ; n++ {
		window <- true
		o.Put(modems.Message{Topic: "t", Payload: fmt.Appendf(nil, "%-*d", 1+n%5*700, n)}, func(err error) {
			switch {
			case err == nil:
				print("stored", n)
			case !errors.Is(err, ErrQueueFull):
				print("error", n)
			}
			<-window
		})
	}
}

// TestOutboxSurvivesKill kills a process that fills and empties the queue, again and again, and looks for every
// message that it reported as stored and had not begun to settle.
func TestOutboxSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	stored, settled, first := make(map[int]bool), make(map[int]bool), 0
	kills := 12
	if n, err := strconv.Atoi(os.Getenv("ATBRIDGE_KILLS")); err == nil { // scripts/kill.sh
		kills = n
	}
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir, childDir+"_FIRST="+strconv.Itoa(first))
		out, err := child.StdoutPipe()
		must(t, err)
		child.Stderr = os.Stderr
		must(t, child.Start())
		lines := bufio.NewScanner(out)
		if lines.Scan() { // it lives
			kill := time.AfterFunc(time.Duration(20+random.IntN(200))*time.Millisecond, func() { child.Process.Kill() })
			defer kill.Stop()
		}
		for ok := true; ok; ok = lines.Scan() {
			what, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(number)
			switch {
			case err != nil || what == "error":
				t.Fatalf("the child says %q", lines.Text())
			case what == "stored":
				stored[n] = true
			case what == "settled":
				settled[n] = true
			}
			first = max(first, n+1)
		}
		child.Wait() // killed
		first += 100 // what was on its way when it died

		o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
		last := -1
		found := make(map[int]bool)
		for s, err := range o.All() {
			must(t, err)
			n, err := strconv.Atoi(strings.TrimRight(string(s.Message.Payload), " "))
			must(t, err)
			if n <= last {
				t.Fatalf("%d comes after %d", n, last)
			}
			last, found[n] = n, true
		}
		for n := range stored {
			if !settled[n] && !found[n] {
				t.Fatalf("%d was stored, and is lost", n)
			}
		}
		if s := o.Stats(); s.Damaged > 0 {
			t.Fatalf("%+v", s)
		}
		for s := range o.All() { // so that the queue does not fill up
			must(t, o.Drop(s.ID))
		}
		clear(stored)
		closeOutbox(t, o)
	}
	t.Logf("%d messages, %d kills", first-100*kills, kills)
}
