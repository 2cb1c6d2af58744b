package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/control"
)

func newStatusCmd(g *globals) *cobra.Command {
	var watch, asJSON bool
	cmd := &cobra.Command{
		Use:     "status [--watch] [--json]",
		Short:   "Say what the daemon is doing",
		Example: "  atbridge status --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load(0)
			if err != nil {
				return err
			}
			client, err := control.Dial(c.Status.Socket)
			if errors.Is(err, control.ErrNoDaemon) {
				err = fmt.Errorf("%w; start one with: atbridge run --config FILE", err)
			}
			if err != nil {
				return withCode(exitPort, err)
			}
			for {
				s, err := client.Status(cmd.Context())
				if err != nil {
					return withCode(exitPort, err)
				}
				if err := printStatus(cmd.OutOrStdout(), s, asJSON, watch); err != nil {
					return err
				}
				if !watch {
					return nil
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(time.Second):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again every second")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printStatus(w io.Writer, s bridge.Status, asJSON, again bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	if f, ok := w.(*os.File); again && ok && isTerminal(f) {
		fmt.Fprint(w, "\x1b[H\x1b[2J") // home, clear
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		if text := strings.TrimSpace(fmt.Sprintf(format, args...)); text != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, text)
		}
	}
	row("state", "%s since %s", s.State, s.Since.Local().Format("15:04:05"))
	row("why", "%s", s.Reason)
	if s.Cloud.Broker != "" { // a session has been tried
		row("broker", "%s (path %s, client id %s)", s.Cloud.Broker, s.Path, s.Cloud.ClientID)
	}
	if s.Modem.Port != "" {
		row("modem", "%s %s on %s (driver %s)", s.Modem.Manufacturer, s.Modem.Model, s.Modem.Port, s.Modem.Driver)
		row("network", "%s", describe(s.Network))
	}
	row("queue", "%d waiting, %d bytes on disk, oldest %v", s.Queue.Messages, s.Queue.Bytes, time.Duration(s.Queue.OldestSeconds*float64(time.Second)).Round(time.Second))
	if q := s.Queue; q.Poisoned+q.Rejected+q.Dropped+q.Damaged > 0 {
		row("", "%d set aside, %d rejected, %d dropped, %d damaged", q.Poisoned, q.Rejected, q.Dropped, q.Damaged)
	}
	row("up", "%d accepted, %d delivered", s.Counters.UpAccepted, s.Counters.UpDelivered)
	row("down", "%d received, %d delivered", s.Counters.DownReceived, s.Counters.DownDelivered)
	if n := s.Counters.Loops; n > 0 {
		row("loops", "%d messages from the cloud would have gone up again", n)
	}
	if l := s.Local; l.Connected {
		row("local", "%s", l.Broker)
	} else {
		row("local", "%s: %s", l.Broker, l.Reason)
	}
	if l := s.Local; l.Waiting+int(l.Dropped) > 0 {
		row("", "%d wait for local subscribers, %d dropped", l.Waiting, l.Dropped)
	}
	if l := s.Line; l.Commands > 0 {
		row("line", "%d commands, %d timeouts, %d stale answers, %d unexpected lines", l.Commands, l.Timeouts, l.StaleAnswers, l.UnexpectedLines)
	}
	row("recovery", "%s", climbed(s.Recovery))
	return t.Flush()
}

// climbed says which rungs of the recovery ladder were taken; empty: none was.
func climbed(rungs map[string]bridge.RungStatus) string {
	var taken []string
	for _, name := range slices.Sorted(maps.Keys(rungs)) {
		if r := rungs[name]; r.Times > 0 {
			taken = append(taken, fmt.Sprintf("%s %d× (%v)", name, r.Times, time.Duration(r.Seconds*float64(time.Second)).Round(100*time.Millisecond)))
		}
	}
	return strings.Join(taken, ", ")
}

func describe(n bridge.NetworkStatus) string {
	if !n.Registered {
		return "not registered"
	}
	parts := []string{"registered"}
	if n.Roaming {
		parts[0] = "registered, roaming"
	}
	if n.Operator != "" {
		parts = append(parts, n.Operator)
	}
	if n.RSSI != 0 {
		parts = append(parts, fmt.Sprintf("%d dBm", n.RSSI))
	}
	if n.Address != "" {
		parts = append(parts, n.Address)
	}
	return strings.Join(parts, ", ")
}
