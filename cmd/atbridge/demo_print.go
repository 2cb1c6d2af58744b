package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

var demoColours = map[string]string{"sensor": "33", "cloud": "36", "local": "35", "bridge": "32", "->": "2", "<-": "2"}

var errLost = errors.New("not every message arrived")

func lost(format string, args ...any) error {
	return withCode(exitRefused, fmt.Errorf("%w: "+format, append([]any{errLost}, args...)...))
}

// say prints one line: when, who, what.
func (d *demo) say(who, format string, args ...any) {
	if d.quiet {
		return
	}
	text := fmt.Sprintf("%6.2fs  %-6s  %s", time.Since(d.start).Seconds(), who, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	if c := demoColours[who]; d.colour && c != "" {
		text = "\x1b[" + c + "m" + text + "\x1b[0m"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintln(d.out, text)
}

// wire shows the AT traffic, each line beside what it brings about.
func (d *demo) wire(sent bool, text []byte) {
	d.say(arrow(sent), "%s", atcmd.Printable(text))
}

// summary prints the count, and is an error if something is missing. interrupted: the demo was stopped before its end.
func (d *demo) summary(interrupted bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	sent, delivered, duplicates := len(d.sentAt), len(d.arrived), 0
	for _, times := range d.arrived {
		duplicates += times - 1
	}
	missing := sent - delivered
	median := time.Duration(0)
	if len(d.delays) > 0 {
		slices.Sort(d.delays)
		median = d.delays[len(d.delays)/2]
	}
	if !d.quiet {
		fmt.Fprintln(d.out)
	}
	fmt.Fprintf(d.out, "up:   %d sent, %d delivered, %d lost, %d duplicates, median delay %v\n", sent, delivered, missing, duplicates, median.Round(100*time.Microsecond))
	fmt.Fprintf(d.out, "down: %d sent, %d delivered\n", d.commands, d.obeyed)
	switch {
	case missing > 0 && interrupted:
		return lost("%d of %d were on their way when it was stopped", missing, sent)
	case missing > 0:
		return lost("%d of %d", missing, sent)
	case d.unknown > 0:
		return lost("%d arrived that were never sent", d.unknown)
	case d.commands == 0 && !interrupted:
		return lost("the bridge did not come online in time to send a command down")
	case d.obeyed < d.commands:
		return lost("the command did not arrive at the local side")
	}
	return nil
}
