package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
)

func newSubCmd(g *globals) *cobra.Command {
	var qos qosFlag
	var count int
	var verbose bool
	var wait time.Duration
	var d directFlags
	cmd := &cobra.Command{
		Use:   "sub FILTER [-q 0|1] [-C N]",
		Short: "Print the messages that the cloud has for FILTER",
		Long: `Subscribe at the broker of the configuration, and print each message on a line, until stopped: through the daemon
where one runs, on its session and beside its routes, else through the modem itself. A session that ends is opened again, as
mosquitto_sub does it; what the broker had for it meanwhile is not seen.

` + directHelp,
		Example: `  atbridge sub 'site7/commands/#' -v
  atbridge sub site7/commands/lamp -C 1 -W 30s`,
		Args: takes("FILTER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 || wait < 0 {
				return usagef("-C and -W are not less than 0")
			}
			if err := bridge.CheckFilter(args[0]); err != nil {
				return usagef("%s: %w", shown(args[0]), err)
			}
			return g.sub(cmd, d, args[0], byte(qos), printing{cmd.OutOrStdout(), verbose, count}, wait)
		},
	}
	f := cmd.Flags()
	f.VarP(&qos, "qos", "q", "`QoS`, 0 or 1")
	f.IntVarP(&count, "count", "C", 0, "end after `N` messages (0: never)")
	f.BoolVarP(&verbose, "verbose", "v", false, "print the topic before the message")
	f.DurationVarP(&wait, "wait", "W", 0, "end after `D` (0s: never)")
	d.add(f)
	return cmd
}

// printing is how messages are printed, and how many.
type printing struct {
	w       io.Writer
	verbose bool
	left    int // 0: no end
}

func (g *globals) sub(cmd *cobra.Command, d directFlags, filter string, qos byte, p printing, wait time.Duration) error {
	waiting := newProgress(cmd.ErrOrStderr())
	defer waiting.end()
	link, err := g.direct(cmd, d, waiting)
	if err != nil {
		return err
	}
	defer func() { link.close() }()
	waiting.end()
	asked := cmd.Context()
	ctx, stop := context.WithCancelCause(asked)
	defer stop(nil)
	if wait > 0 {
		timer := time.AfterFunc(wait, func() { stop(errQuiet) })
		defer timer.Stop()
	}
	cmd.SetContext(ctx)
	for again := (retries{}); ; {
		err = link.subscribe(ctx, filter, qos, func(m modems.Message) {
			if ctx.Err() == nil {
				p.print(m, stop)
			}
		})
		for errors.Is(err, errSessionLost) && again.in(ctx, cmd.ErrOrStderr(), err) {
			link.close()
			link, err = g.redirect(cmd, d)
		}
		if err != nil || ctx.Err() != nil {
			break
		}
	}
	switch why := context.Cause(ctx); {
	case why == nil:
		return err
	case errors.Is(why, errEnough), asked.Err() != nil:
		return nil
	case errors.Is(why, errQuiet):
		return withCode(exitNoAnswer, fmt.Errorf("%w: %v", errQuiet, wait))
	default:
		return why // of printing
	}
}

// redirect finds the way again, whatever has closed it, unless somebody has to mend that.
func (g *globals) redirect(cmd *cobra.Command, d directFlags) (directLink, error) {
	waiting := newProgress(cmd.ErrOrStderr())
	defer waiting.end()
	link, err := g.direct(cmd, d, waiting)
	switch {
	case err == nil:
		return link, nil
	case modems.LoginRefused(err), exitCode(err) == exitUsage:
		return noLink{}, err
	}
	return noLink{}, fmt.Errorf("%w: %w", errSessionLost, err)
}

// noLink is what there is to close when there is no way.
type noLink struct{ directLink }

func (noLink) close() {}

// retries is how long to wait before the next attempt: twice as long each time, unless a session has stood in between.
type retries struct {
	wait time.Duration
	last time.Time
}

const firstRetry, longestRetry = time.Second, time.Minute

// in says why the session has ended, and waits. It is false if ctx ends meanwhile.
func (r *retries) in(ctx context.Context, stderr io.Writer, why error) bool {
	if ctx.Err() != nil {
		return false
	}
	if r.wait = min(2*r.wait, longestRetry); r.wait == 0 || time.Since(r.last) > 2*longestRetry {
		r.wait = firstRetry
	}
	fmt.Fprintf(stderr, "atbridge: %v; trying again in %v\n", why, r.wait)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(r.wait):
		r.last = time.Now()
		return true
	}
}

var (
	errEnough = errors.New("enough messages")
	errQuiet  = errors.New("the time is over")

	// errSessionLost: a session that stood has ended.
	errSessionLost = errors.New("the session has ended")
)

// print writes the payload as it is, as mosquitto_sub does, and stops after the last one that is wanted.
func (p *printing) print(m modems.Message, stop func(error)) {
	text := append(m.Payload[:len(m.Payload):len(m.Payload)], '\n')
	if p.verbose {
		text = append([]byte(m.Topic+" "), text...)
	}
	if _, err := p.w.Write(text); err != nil {
		stop(err)
		return
	}
	if p.left--; p.left == 0 {
		stop(errEnough)
	}
}
