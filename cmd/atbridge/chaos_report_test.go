//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// outage is how one calamity went.
type outage struct {
	name    string
	began   time.Time
	noticed time.Time // the daemon has said so; zero: it did not have to
	over    time.Time // the world was put right
	back    time.Time // a message has left the module that reached the cloud
}

// detect is from the beginning, mend from the moment at which the world was right again.
func (o outage) detect() (d time.Duration, ok bool) {
	return o.noticed.Sub(o.began), !o.noticed.IsZero()
}
func (o outage) mend() time.Duration { return o.back.Sub(o.over) }

func (o outage) String() string {
	noticed := "not noticed"
	if d, ok := o.detect(); ok {
		noticed = "noticed after " + seconds(d)
	}
	return fmt.Sprintf("%s  %-24s lasted %s, %s, back %s later", o.began.Format("15:04:05"), o.name, seconds(o.over.Sub(o.began)), noticed, seconds(o.mend()))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func middleAndWorst(all []time.Duration) string {
	if len(all) == 0 {
		return fmt.Sprintf("%9s %9s", "-", "-")
	}
	slices.Sort(all)
	return fmt.Sprintf("%9s %9s", seconds(all[len(all)/2]), seconds(all[len(all)-1]))
}

// report prints the table, and what became of the messages.
func (c *chaos) report() {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s, a simulated modem at 115200 baud with the latencies of its fact sheet, 60 ms round trip\n", c.kind)
	fmt.Fprintf(&b, "%-24s %5s   %-19s   %-19s\n", "", "times", "noticed: median", "worst   back: median  worst")
	for _, f := range calamities {
		var count int
		var detect, mend []time.Duration
		for _, o := range c.outages {
			if o.name != f.name {
				continue
			}
			count++
			mend = append(mend, o.mend())
			if d, ok := o.detect(); ok {
				detect = append(detect, d)
			}
		}
		if count > 0 {
			fmt.Fprintf(&b, "%-24s %5d   %s   %s\n", f.name, count, middleAndWorst(detect), middleAndWorst(mend))
		}
	}
	lostUp, lostDown := c.up.lost(c.up.acked), c.down.lost(c.down.taken)
	fmt.Fprintf(&b, "up: %d acknowledged to local publishers, %d arrived, %d missing, %d duplicates, %d overtaken\n",
		len(c.up.acked), len(c.up.arrived), len(lostUp), c.up.duplicates(), c.up.overtaken())
	fmt.Fprintf(&b, "down: %d acknowledged by the cloud, %d acknowledged to it, %d arrived, %d missing, %d duplicates",
		len(c.down.acked), len(c.down.taken), len(c.down.arrived), len(lostDown), c.down.duplicates())
	if c.kind.path == "native" {
		b.WriteString("; missing are those that the module had acknowledged while nobody listened to it")
	}
	c.t.Log(b.String())
}
