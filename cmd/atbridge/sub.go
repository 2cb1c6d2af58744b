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
	var qos uint8
	var count int
	var verbose bool
	var wait time.Duration
	var d directFlags
	cmd := &cobra.Command{
		Use:   "sub FILTER [-q 0|1] [-C N]",
		Short: "Print the messages that the cloud has for FILTER",
		Long: `Subscribe at the broker of the configuration, and print each message on a line, until stopped: through the daemon
where one runs, on its session and beside its routes, else through the modem itself.

` + directHelp,
		Example: `  atbridge sub 'site7/commands/#' -v
  atbridge sub site7/commands/lamp -C 1 -W 30s`,
		Args: takes("FILTER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if qos > 1 {
				return usagef("-q %d: there are 0 and 1", qos)
			}
			if count < 0 || wait < 0 {
				return usagef("-C and -W are not less than 0")
			}
			if err := (bridge.Route{From: args[0], To: args[0]}).Validate(); err != nil {
				return usagef("%s: %w", shown(args[0]), err)
			}
			return g.sub(cmd, d, args[0], qos, printing{cmd.OutOrStdout(), verbose, count}, wait)
		},
	}
	f := cmd.Flags()
	f.Uint8VarP(&qos, "qos", "q", 0, "`QoS`, 0 or 1")
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
	defer link.close()
	waiting.end()
	ctx, stop := context.WithCancelCause(cmd.Context())
	defer stop(nil)
	if wait > 0 {
		timer := time.AfterFunc(wait, func() { stop(errQuiet) })
		defer timer.Stop()
	}
	err = link.subscribe(ctx, filter, qos, func(m modems.Message) {
		if ctx.Err() == nil {
			p.print(m, stop)
		}
	})
	switch why := context.Cause(ctx); {
	case err != nil:
		return err
	case errors.Is(why, errEnough), cmd.Context().Err() != nil:
		return nil
	case errors.Is(why, errQuiet):
		return withCode(exitNoAnswer, fmt.Errorf("%w: %v", errQuiet, wait))
	default:
		return why // of printing
	}
}

var (
	errEnough = errors.New("enough messages")
	errQuiet  = errors.New("the time is over")
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
