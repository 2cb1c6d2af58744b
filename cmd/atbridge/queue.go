package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/control"
)

func newQueueCmd(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queue list|show ID|drop ID|export",
		Example: "  atbridge queue list",
		Short:   "Look at the messages on disk, those set aside too, and drop some",
		Long: `Look at the messages on disk, those set aside too, and drop some.

Where a daemon holds the queue it is asked; otherwise the directory itself is opened, and only by its owner.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to do: atbridge queue list, show ID, drop ID or export")
			}
			return usagef("unknown command queue %s; there are list, show ID, drop ID and export", shown(args[0]))
		},
	}
	cmd.AddCommand(newQueueList(g), newQueueShow(g), newQueueDrop(g), newQueueExport(g))
	return cmd
}

func newQueueList(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [--json]",
		Short:   "One line for each message, oldest first",
		Example: "  atbridge queue list | grep poisoned",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.withQueue(cmd, func(q queue) error { return printList(cmd.Context(), cmd.OutOrStdout(), q, asJSON) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object for each message")
	return cmd
}

func newQueueShow(g *globals) *cobra.Command {
	var raw, asJSON bool
	cmd := &cobra.Command{
		Use:     "show [--raw|--json] ID",
		Short:   "One message with its payload",
		Example: "  atbridge queue show --raw 4711 > payload.bin",
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := messageID(args[0])
			if err != nil {
				return err
			}
			return g.withQueue(cmd, func(q queue) error {
				m, err := q.Message(cmd.Context(), id)
				if err != nil {
					return err
				}
				if m.Payload == nil {
					return withCode(exitRefused, errors.New(m.Reason)) // it says which message
				}
				return printMessage(cmd.OutOrStdout(), m, raw, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the bytes of the payload and nothing else")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, the payload in base64")
	cmd.MarkFlagsMutuallyExclusive("raw", "json")
	return cmd
}

func newQueueDrop(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "drop ID...",
		Example: "  atbridge queue drop 4711",
		Short:   "Give messages up; nothing brings them back",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ids []uint64
			for _, arg := range args {
				id, err := messageID(arg)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return g.withQueue(cmd, func(q queue) error {
				for _, id := range ids {
					if err := q.Drop(cmd.Context(), id); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func newQueueExport(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "export",
		Short:   "Every message as a line of JSON, its payload in base64",
		Example: "  atbridge queue export > backup.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.withQueue(cmd, func(q queue) error {
				enc := json.NewEncoder(cmd.OutOrStdout())
				unreadable := 0
				for m, err := range q.Messages(cmd.Context(), true) {
					if err == nil {
						err = enc.Encode(m)
					}
					if err != nil {
						return err
					}
					if m.Payload == nil {
						unreadable++
					}
				}
				if unreadable > 0 {
					return withCode(exitRefused, fmt.Errorf("%d messages could not be read and are exported without payload", unreadable))
				}
				return nil
			})
		},
	}
}

// queue is the queue, wherever it is.
type queue interface {
	Messages(ctx context.Context, payload bool) iter.Seq2[control.Queued, error]
	Message(ctx context.Context, id uint64) (control.Queued, error)
	Drop(ctx context.Context, id uint64) error
}

// withQueue hands the queue to do, and gives its errors their exit codes.
func (g *globals) withQueue(cmd *cobra.Command, do func(queue) error) error {
	c, err := g.load(0)
	if err != nil {
		return err
	}
	client, err := queueDaemon(cmd.Context(), c)
	if err != nil {
		return withCode(exitPort, err)
	}
	if client != nil {
		return queueError(do(client), exitPort)
	}
	if !bridge.HoldsQueue(c.Queue.Dir) {
		return usagef("no atbridge has stored anything in %s; name its configuration with --config, or the running one's socket with --socket", c.Queue.Dir)
	}
	o, err := bridge.OpenOutbox(bridge.OutboxConfig{Dir: c.Queue.Dir, MaxBytes: int64(c.Queue.MaxBytes), Log: g.logger(c)})
	if err != nil {
		return withCode(exitUsage, err)
	}
	return errors.Join(queueError(do(heldQueue{o}), exitRefused), o.Close())
}

func queueError(err error, otherwise int) error {
	var coded *exitError
	var file *fs.PathError
	switch {
	case errors.As(err, &coded), errors.As(err, &file): // the second is what could not be printed
		return err
	case errors.Is(err, bridge.ErrNoMessage):
		return withCode(exitUsage, err)
	case errors.Is(err, bridge.ErrInFlight):
		return withCode(exitRefused, fmt.Errorf("%w; try again when it is not", err))
	}
	return withCode(otherwise, err)
}

// queueDaemon is the running daemon, unless it holds another queue than the one that a configuration names.
func queueDaemon(ctx context.Context, c *Config) (*control.Client, error) {
	client, err := control.Dial(c.Status.Socket)
	if errors.Is(err, control.ErrNoDaemon) {
		return nil, nil
	}
	if err != nil || c.File == "" {
		return client, err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Queue.Dir)
	if err != nil {
		return nil, err
	}
	if dir == s.Queue.Dir || sameFile(dir, s.Queue.Dir) {
		return client, nil
	}
	return nil, nil
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// heldQueue is a queue that this process has opened.
type heldQueue struct{ o *bridge.Outbox }

func (q heldQueue) Messages(_ context.Context, payload bool) iter.Seq2[control.Queued, error] {
	return func(yield func(control.Queued, error) bool) {
		for s, err := range q.o.All() {
			if !yield(control.Describe(s, err, payload), nil) {
				return
			}
		}
	}
}

func (q heldQueue) Message(_ context.Context, id uint64) (control.Queued, error) {
	s, err := q.o.Lookup(id)
	if errors.Is(err, bridge.ErrNoMessage) {
		return control.Queued{}, err
	}
	return control.Describe(s, err, true), nil
}

func (q heldQueue) Drop(_ context.Context, id uint64) error { return q.o.Drop(id) }

func messageID(arg string) (uint64, error) {
	id, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || id == 0 {
		return 0, usagef("%s is no id of a message; atbridge queue list shows them", shown(arg))
	}
	return id, nil
}

// printList prints each line as it comes: a queue may be long.
func printList(ctx context.Context, w io.Writer, q queue, asJSON bool) error {
	const row = "%10v  %-10v  %8v  %-8v  %-10v  %s\n"
	enc := json.NewEncoder(w)
	n := 0
	for m, err := range q.Messages(ctx, false) {
		if err == nil && asJSON {
			err = enc.Encode(m)
		} else if err == nil {
			if n == 0 {
				fmt.Fprintf(w, row, "ID", "AGE", "SIZE", "PRIORITY", "STATE", "TOPIC")
			}
			what := printable(m.Topic)
			if m.Reason != "" {
				what = strings.TrimSpace(what + "  (" + printable(m.Reason) + ")")
			}
			_, err = fmt.Fprintf(w, row, m.ID, age(m), m.Size, m.Priority, m.State, what)
		}
		if err != nil {
			return err
		}
		n++
	}
	if n == 0 && !asJSON {
		_, err := fmt.Fprintln(w, "the queue is empty")
		return err
	}
	return nil
}

func age(m control.Queued) time.Duration {
	return time.Duration(m.Age * float64(time.Second)).Round(time.Second)
}

func printMessage(w io.Writer, m control.Queued, raw, asJSON bool) error {
	switch {
	case raw:
		_, err := w.Write(*m.Payload)
		return err
	case asJSON:
		return json.NewEncoder(w).Encode(m)
	}
	state := m.State
	if m.Reason != "" {
		state += ": " + printable(m.Reason)
	}
	_, err := fmt.Fprintf(w, "id        %d\nstate     %s\ntopic     %s\nqos       %d\nretain    %v\npriority  %s\narrival   %s (%v ago)\npayload   %d bytes\n\n%s\n",
		m.ID, state, printable(m.Topic), m.QoS, m.Retain, m.Priority, m.Arrival.Local().Format(time.DateTime), age(m), m.Bytes, harmless(*m.Payload))
	return err
}

// harmless is text as it is, lines and all, and anything else in escapes: it must not do anything to a terminal.
func harmless(p []byte) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if s := string(p); utf8.ValidString(s) && strings.IndexFunc(s, control) < 0 {
		return s
	}
	return atcmd.Printable(p)
}
