package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems"
)

// maxLine is the longest line that pub -l takes: no path carries a longer payload over a modem in reasonable time.
const maxLine = 1 << 20

func newPubCmd(g *globals) *cobra.Command {
	var text, file string
	var lines, null bool
	var qos qosFlag
	m := modems.Message{}
	var d directFlags
	cmd := &cobra.Command{
		Use:   "pub TOPIC [-m TEXT|-f FILE|-l] [-q 0|1]",
		Short: "Publish a message through the modem to the cloud",
		Long: `Publish a message to the broker of the configuration: through the daemon where one runs, on its session and past its
queue, else through the modem itself. The exit code is 0 once the broker has acknowledged it (QoS 1), or the modem has
sent it (QoS 0), and 5 if it is not delivered. TOPIC is the topic at the broker; no route is applied.

` + directHelp,
		Example: `  atbridge pub site7/test -m hello -q 1
  sensor | atbridge pub site7/sensors -l`,
		Args: takes("TOPIC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := 0
			for _, f := range []string{"message", "file", "lines", "null"} {
				if cmd.Flags().Changed(f) {
					given++
				}
			}
			if given != 1 {
				return usagef("give the message with one of -m TEXT, -f FILE, -l (each line of standard input) or -n (an empty one)")
			}
			m.Topic, m.QoS = args[0], byte(qos)
			if err := bridge.CheckTopic(m.Topic); err != nil {
				return usagef("%s: %w", shown(m.Topic), err)
			}
			next, err := messages(cmd.Context(), m, text, file, lines, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return g.pub(cmd, d, next)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&text, "message", "m", "", "the `TEXT`")
	f.StringVarP(&file, "file", "f", "", "a `FILE` is the message (-: standard input)")
	f.BoolVarP(&lines, "lines", "l", false, "each line of standard input is a message")
	f.BoolVarP(&null, "null", "n", false, "an empty message")
	f.VarP(&qos, "qos", "q", "`QoS`, 0 or 1")
	f.BoolVarP(&m.Retain, "retain", "r", false, "the broker keeps it for later subscribers")
	d.add(f)
	return cmd
}

// messages returns what is to be published, one after the other; io.EOF is the end.
func messages(ctx context.Context, m modems.Message, text, file string, lines bool, stdin io.Reader) (func() (modems.Message, error), error) {
	if lines {
		scan := bufio.NewScanner(interruptible{ctx, stdin})
		scan.Buffer(nil, maxLine)
		return func() (modems.Message, error) {
			if !scan.Scan() {
				if err := scan.Err(); err != nil {
					return m, usagef("standard input: %w", err)
				}
				return m, io.EOF
			}
			m.Payload = []byte(strings.TrimSuffix(scan.Text(), "\r"))
			return m, nil
		}, nil
	}
	m.Payload = []byte(text)
	if file != "" {
		var err error
		if m.Payload, err = readPayload(ctx, file, stdin); err != nil {
			return nil, err
		}
	}
	done := false
	return func() (modems.Message, error) {
		if done {
			return m, io.EOF
		}
		done = true
		return m, nil
	}, nil
}

func readPayload(ctx context.Context, file string, stdin io.Reader) ([]byte, error) {
	b, err := readInput(ctx, file, stdin, maxLine)
	if err != nil {
		return nil, usagef("-f: %w", err)
	}
	if len(b) > maxLine {
		return nil, usagef("-f: %s is larger than %d bytes", file, maxLine)
	}
	return b, nil
}

// pub publishes what next returns, and waits for each acknowledgement.
func (g *globals) pub(cmd *cobra.Command, d directFlags, next func() (modems.Message, error)) error {
	waiting := newProgress(cmd.ErrOrStderr())
	defer waiting.end()
	link, err := g.direct(cmd, d, waiting)
	if err != nil {
		return undelivered(err)
	}
	defer link.close()
	for {
		m, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		waiting.say("waiting for the acknowledgement")
		ctx, cancel := context.WithTimeout(cmd.Context(), d.timeout)
		err = link.publish(ctx, m)
		cancel()
		if err != nil {
			return undelivered(fmt.Errorf("publish to %s: %w", shown(m.Topic), err))
		}
	}
}

// undelivered gives an error of a publish its exit code: 5, unless it is known why it could not even be tried.
func undelivered(err error) error {
	var coded *exitError
	switch {
	case errors.As(err, &coded), errors.As(err, new(configErrors)), modems.LoginRefused(err), errors.Is(err, cloud.ErrToken), errors.Is(err, modems.ErrUnsupported):
		return err
	}
	return withCode(exitNotDelivered, err)
}

// directWait is how long a broker may take to acknowledge: longer than any module tries.
const directWait = time.Minute
