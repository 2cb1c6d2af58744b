//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The long form is that of scripts/chaos.sh, which sets these.
const (
	chaosFor    = "ATBRIDGE_CHAOS"        // how long
	chaosSeed   = "ATBRIDGE_CHAOS_SEED"   // of the order and of all that is drawn
	chaosModels = "ATBRIDGE_CHAOS_MODELS" // such as "ec600/native ec600/tcp"
	chaosOnly   = "ATBRIDGE_CHAOS_ONLY"   // calamities whose names contain this
	chaosCalm   = "ATBRIDGE_CHAOS_CALM"   // between two of them, at most
)

// mended is the longest that anything here may take to be well again.
const mended = 5 * time.Minute

// Everything breaks, one thing after the other, in an order that the seed draws, while messages go both ways. What a
// local publisher has a PUBACK for arrives at the cloud, in order; that log of PUBACKs is the only truth.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(chaosSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", chaosSeed, err)
		}
	}
	t.Logf("seed %d", seed)
	kinds := []chaosKind{{"ec600", "native"}, {"ec600", "tcp"}}
	if text := os.Getenv(chaosModels); text != "" {
		kinds = nil
		for word := range strings.FieldsSeq(text) {
			model, path, _ := strings.Cut(word, "/")
			kinds = append(kinds, chaosKind{model, path})
		}
	}
	long, _ := time.ParseDuration(os.Getenv(chaosFor))
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			if long == 0 {
				t.Parallel()
			}
			c := newChaos(t, kind, seed)
			c.start()
			c.online()
			finish := c.traffic()
			c.ravage(long / time.Duration(len(kinds)))
			c.settle(finish)
			c.report()
			c.judge()
			c.stop()
		})
	}
}

// ravage strikes until the time is over, or with each of the short form's calamities once.
func (c *chaos) ravage(long time.Duration) {
	c.t.Helper()
	end := time.Now().Add(long)
	for round := 0; round == 0 || time.Now().Before(end); round++ {
		drawn := slices.Clone(calamities)
		c.chance.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
		struck := 0
		for _, f := range drawn {
			switch {
			case long == 0 && !strings.Contains(f.short, c.kind.path) && os.Getenv(chaosOnly) == "", !strings.Contains(f.name, os.Getenv(chaosOnly)):
				continue
			case f.only != nil && !f.only(c):
				if round == 0 {
					c.t.Logf("left out on %s: %s", c.kind, f.name)
				}
				continue
			case long > 0 && round > 0 && time.Now().After(end):
				return
			}
			struck++
			c.strike(f)
		}
		if struck == 0 {
			c.t.Fatal("there is no such calamity")
		}
	}
}

// strike lets one thing happen, puts it right, and waits until messages pass again.
func (c *chaos) strike(f calamity) {
	c.t.Helper()
	lasts := time.Duration(0)
	if f.lasts > 0 {
		lasts = f.lasts/4 + time.Duration(c.chance.Int64N(int64(f.lasts*3/4)))
	}
	if f.lose { // something is to be on its way
		c.tap.hold()
		c.waitFor(3*time.Second, func() bool { return len(c.tap.held) > 0 })
	}
	mark := len(c.log.String())
	f.begin(c)
	if f.lose {
		c.tap.release(true)
	}
	o := outage{name: f.name, began: time.Now(), over: time.Now()}
	well := func() bool {
		if o.noticed.IsZero() && c.daemon != nil && c.uneasy(mark) {
			o.noticed = time.Now()
		}
		return time.Since(o.began) >= lasts
	}
	if !c.waitFor(lasts+time.Minute, well) {
		c.t.Fatal("the world has stopped")
	}
	if f.end != nil {
		f.end(c)
		o.over = time.Now()
	}
	recovered := func() (ok bool) {
		well()
		o.back, ok = c.up.through(o.over)
		return ok
	}
	if !c.waitFor(mended, recovered) {
		c.t.Fatalf("%v after %q nothing reaches the cloud", mended, f.name)
	}
	c.outages = append(c.outages, o)
	if testing.Verbose() {
		fmt.Println(o)
	}
	longest, err := time.ParseDuration(os.Getenv(chaosCalm))
	if err != nil {
		longest = 1500 * time.Millisecond
	}
	calm := longest/4 + time.Duration(c.chance.Int64N(int64(longest*3/4)))
	c.waitFor(calm, func() bool { return false }) // but for a daemon that ends
}

// settle stops making messages, and waits until the daemon says that it has delivered all, and a moment longer. It waits
// for as long as the backlog shrinks: an Air724UG takes three messages a second, and each fault has added to it.
func (c *chaos) settle(finish func(time.Duration) bool) {
	c.t.Helper()
	if !finish(time.Minute) {
		c.t.Error("a publisher does not get its acknowledgements")
	}
	left, shrunk := -1, time.Now()
	c.waitFor(time.Hour, func() bool {
		if s, err := c.status(); err == nil && s.Queue.Messages != left {
			left, shrunk = s.Queue.Messages, time.Now()
		}
		return left == 0 || time.Since(shrunk) > mended
	})
	c.waitFor(3*time.Second, func() bool { return len(c.up.lost(c.up.acked))+len(c.down.lost(c.down.taken)) == 0 })
}

func (c *chaos) judge() {
	c.t.Helper()
	if lost := c.up.lost(c.up.acked); len(lost) > 0 {
		c.t.Errorf("%d messages that the local broker has acknowledged never arrived: %v", len(lost), lost)
	}
	if n := c.up.overtaken(); n > 0 {
		c.t.Errorf("%d messages were overtaken", n)
	}
	if garbage := append(c.up.garbage, c.down.garbage...); len(garbage) > 0 {
		c.t.Errorf("changed on the way: %q", garbage)
	}
	if lost := c.down.lost(c.down.taken); len(lost) > 0 && c.kind.path != "native" {
		c.t.Errorf("%d messages that the daemon has acknowledged never reached the house: %v", len(lost), lost)
	}
	if len(c.up.acked) == 0 || len(c.down.arrived) == 0 {
		c.t.Error("nothing happened")
	}
}
