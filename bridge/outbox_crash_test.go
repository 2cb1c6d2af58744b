package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft-wal/metadb"

	"github.com/atbridge/atbridge/modems"
)

// crashDir tells the test binary to be the process whose every write is watched.
const crashDir = "ATBRIDGE_TEST_CRASH"

// crashPayload is long for some numbers, so that segments fill.
func crashPayload(n int) []byte {
	return append([]byte(strconv.Itoa(n)+" "), strings.Repeat(string(rune('a'+n%26)), n%7*500)...)
}

func crashNumber(p []byte) (n int, intact bool) {
	digits, _, _ := strings.Cut(string(p), " ")
	n, err := strconv.Atoi(digits)
	return n, err == nil && string(p) == string(crashPayload(n))
}

// liveAndLeave does everything to a queue that it knows: it fills segments, empties them from the front, sets aside,
// drops, rewrites what pins the head, fails to write, is closed and opened again. It prints what is certain at that moment.
func liveAndLeave(dir string) error {
	n, _ := strconv.Atoi(os.Getenv(crashDir + "_FIRST"))
	rounds, _ := strconv.Atoi(os.Getenv(crashDir + "_ROUNDS"))
	d := newBreakableDisk()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for life := range 2 {
		o, err := OpenOutbox(OutboxConfig{Dir: dir, MaxBytes: 1 << 20, disk: d})
		if err != nil {
			return err
		}
		put := func(some int) {
			stored := make(chan error, some)
			for i := range some {
				o.PutAs(modems.Message{Topic: "t", Payload: crashPayload(n + i), QoS: 1}, Handling{High: (n+i)%11 == 3}, func(err error) {
					if err == nil {
						fmt.Println("stored", n+i)
					}
					stored <- err
				})
			}
			for range some {
				<-stored
			}
			n += some
		}
		settle := func(some int, how func(e *Entry, n int) error) error {
			for range some {
				e, err := o.Next(ctx)
				if err != nil {
					return err
				}
				n, _ := crashNumber(e.Message().Payload)
				if err := how(e, n); err != nil {
					return err
				}
			}
			return nil
		}
		deliver := func(e *Entry, n int) error {
			fmt.Println("settled", n) // it may be gone from now on
			return e.Delivered()
		}
		poison := func(e *Entry, _ int) error { return e.Poison(errors.New("to be looked at")) }
		for round := range rounds {
			put(1 + round%5*2)
			err := settle(1, poison)
			if round%4 > 0 {
				err = errors.Join(err, settle(round%5*2, deliver))
			}
			if err != nil {
				return err
			}
			for s, err := range o.All() {
				if err == nil && s.State == "poisoned" && round%3 == 0 {
					n, _ := crashNumber(s.Message.Payload)
					fmt.Println("settled", n)
					err = o.Drop(s.ID)
				}
				if err != nil {
					return err
				}
			}
			if round == rounds/2 && life == 0 {
				full := error(&os.PathError{Op: "write", Path: "x.wal", Err: syscall.ENOSPC})
				d.half.Store(true)
				d.fail.Store(&full)
				put(2)
				d.fail.Store(nil)
				if err := o.Room(ctx, modems.Message{}, Handling{}); err != nil {
					return err
				}
			}
		}
		if err := o.Close(); err != nil {
			return err
		}
	}
	return nil
}

func crashChild(dir string) {
	if err := liveAndLeave(dir); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestOutboxSurvivesEveryCall: a kill before and after every call that writes, and at every sync a power cut that
// leaves nothing, or any of the sectors and names, of what was not synced. The queue opens, holds what its publishers
// were told that it holds, and takes more. The calls are those of a real process, seen by strace.
func TestOutboxSurvivesEveryCall(t *testing.T) {
	cuts, rounds := 2, 16
	if n, err := strconv.Atoi(os.Getenv("ATBRIDGE_CUTS")); err == nil { // scripts/kill.sh
		cuts, rounds = n, 60
	}
	for name, prepare := range map[string]func(t *testing.T, dir string) (present int){
		"from nothing": func(*testing.T, string) int { return 0 },
		"after a kill in a rotation": func(t *testing.T, dir string) int {
			return unsealedLog(t, filepath.Join(dir, "log"), func(n int) []byte { return crashPayload(n) })
		},
		"without the list of segments": func(t *testing.T, dir string) int {
			o := openOutbox(t, OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
			for n := range 80 {
				putWait(t, o, modems.Message{Topic: "t", Payload: crashPayload(n), QoS: 1})
			}
			closeOutbox(t, o)
			must(t, os.Remove(filepath.Join(dir, "log", metadb.FileName)))
			return 80
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "queue")
			must(t, os.Mkdir(dir, 0o700))
			stored, settled := map[int]bool{}, map[int]bool{}
			first := prepare(t, dir)
			for n := range first {
				stored[n] = true
			}
			disk := newDisk(t, dir)
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), crashDir+"="+dir, crashDir+"_FIRST="+strconv.Itoa(first), crashDir+"_ROUNDS="+strconv.Itoa(rounds))
			calls := traced(t, child)
			seed := randomSeed(t)
			random := rand.New(rand.NewPCG(seed, 0))
			scratch := scratchDir(t)
			states, syncs, ended := 0, 0, 0 // ended: segments that the queue has given back
			for i, c := range calls {
				if c.name == "write" && strings.HasPrefix(c.args[1], "s") {
					what, number, _ := strings.Cut(strings.TrimSpace(c.args[1]), " ")
					n, err := strconv.Atoi(number)
					must(t, err)
					map[string]map[int]bool{"stored": stored, "settled": settled}[what][n] = true
					continue
				}
				check := func(what string, left map[string][]byte) {
					states++
					disk.lay(t, left, scratch)
					if err := keepsPromises(scratch, stored, settled); err != nil {
						t.Fatalf("%s at call %d, %s %.80q: %v", what, i, c.name, c.args, err)
					}
				}
				if c.name == "fsync" || c.name == "fdatasync" {
					check("power cut, all unsynced lost", disk.afterCut(nil))
					for range cuts {
						check("power cut", disk.afterCut(random))
					}
				}
				switch disk.do(t, c) {
				case "write":
					check("kill", disk.afterKill())
				case "sync":
					syncs++
				}
				if c.name == "unlinkat" && strings.HasSuffix(c.args[1], ".wal") {
					ended++
				}
			}
			must(t, disk.sameAs(t)) // or it was another disk that was tested
			if len(stored) < 20 || len(settled) < 10 || syncs < 50 || ended == 0 {
				t.Errorf("%d stored, %d settled, %d syncs, %d segments given back: not much was tested", len(stored), len(settled), syncs, ended)
			}
			t.Logf("%d calls, %d syncs, %d messages, %d segments given back: %d states", len(calls), syncs, len(stored), ended, states)
		})
	}
}

// keepsPromises opens the queue in dir and looks for every message that was stored and not about to be settled.
func keepsPromises(dir string, stored, settled map[int]bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil { // not even that was on the disk
		return err
	}
	o, err := OpenOutbox(OutboxConfig{Dir: dir, MaxBytes: 1 << 20})
	if err != nil {
		return err
	}
	found := map[int]bool{}
	last := -1
	for s, err := range o.All() {
		if err != nil {
			return errors.Join(err, o.Close())
		}
		n, intact := crashNumber(s.Message.Payload)
		if !intact || n <= last {
			return errors.Join(fmt.Errorf("message %d comes after %d, intact: %v", n, last, intact), o.Close())
		}
		found[n], last = true, n
	}
	for n := range stored {
		if !settled[n] && !found[n] {
			return errors.Join(fmt.Errorf("message %d was stored, and is lost", n), o.Close())
		}
	}
	if s := o.Stats(); s.Damaged > 0 {
		return errors.Join(fmt.Errorf("%d records are damaged", s.Damaged), o.Close())
	}
	took := make(chan error, 1)
	o.Put(modems.Message{Topic: "t", Payload: []byte("one more")}, func(err error) { took <- err })
	return errors.Join(<-took, o.Close())
}

// scratchDir is in memory where that is possible: no power will be cut there.
func scratchDir(t *testing.T) string {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "atbridge-test-"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		return filepath.Join(dir, "queue")
	}
	return filepath.Join(t.TempDir(), "queue")
}

// randomSeed is another one each time, unless ATBRIDGE_SEED says which.
func randomSeed(t *testing.T) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("ATBRIDGE_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return seed
}
