package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/atcmd/transcript"
)

func newReplayCmd(*globals) *cobra.Command {
	var link string
	var timed bool
	cmd := &cobra.Command{
		Use:   "replay FILE [--link PATH] [--timed]",
		Short: "Play a transcript back as a modem on a pseudo-terminal",
		Long: `Play a transcript back as a modem on a pseudo-terminal, until stopped.

It says what the modem said, in the recorded order, and takes what the host said; *** takes anything. It ends with exit
code 1 when the host sends something else, or more, or when it is stopped before the end.`,
		Example: `  atbridge replay session.at --link /tmp/modem
  atbridge send --port /tmp/modem ATI 'AT+CPIN?'`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			script, err := readTranscript(cmd.Context(), args[0])
			if err != nil {
				return usagef("%w", err)
			}
			if len(script.Entries) == 0 {
				return usagef("%s holds nothing to play", args[0])
			}
			pty, name, err := offerPTY(link)
			if err != nil {
				return err
			}
			defer removeLink(link)
			fmt.Fprintf(cmd.OutOrStdout(), "%s plays at %s; Ctrl-C ends it\n", args[0], name)
			var options []transcript.Option
			if timed {
				options = append(options, transcript.Timed())
			}
			ended := func() { fmt.Fprintf(cmd.OutOrStdout(), "%s has been played to its end\n", args[0]) }
			hangUp := context.AfterFunc(cmd.Context(), func() { pty.Close() }) // ends a wait for the host
			err = replay(cmd.Context(), script, pty, ended, options...)
			if hangUp() {
				err = errors.Join(err, pty.Close())
			}
			return withCode(exitRefused, err)
		},
	}
	cmd.Flags().StringVar(&link, "link", "", "make `PATH` a symbolic link to the pseudo-terminal")
	cmd.Flags().BoolVar(&timed, "timed", false, "keep the recorded pauses")
	return cmd
}

func readTranscript(ctx context.Context, name string) (*transcript.Transcript, error) {
	f, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	script, err := transcript.Parse(interruptible{ctx, f})
	if err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	return script, nil
}

// replay plays script, and then stays, silent, until ctx ends.
func replay(ctx context.Context, script *transcript.Transcript, line io.ReadWriter, ended func(), options ...transcript.Option) error {
	if err := script.Play(ctx, line, options...); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before the end: %w", err)
		}
		return err
	}
	ended()
	more := make([]byte, 256)
	n, err := line.Read(more)
	switch {
	case n > 0:
		return fmt.Errorf("after the end the host sent %q", more[:n])
	case ctx.Err() != nil:
		return nil
	}
	return err
}
