package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/warthog618/modem/trace"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/transcript"
	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/modems"
)

func newRecordCmd(g *globals) *cobra.Command {
	var link string
	cmd := &cobra.Command{
		Use:   "record --port P FILE [--link PATH]",
		Short: "Write a session with a modem to a transcript, secrets masked",
		Long: `Write a session with a modem to a transcript, until stopped.

It stands between the modem and whatever speaks to it: it opens the port, offers a pseudo-terminal in its place, and
writes to FILE what passes, every byte of it. Arguments of commands that carry PINs or passwords stand as ***.
Identities (IMEI, IMSI, phone numbers) and messages stand as they are, and so does all data: on path tcp without TLS the
password of the MQTT session is in it. Look before you give a transcript away.`,
		Example: `  atbridge record --port /dev/ttyUSB2 --link /tmp/modem session.at
  atbridge send --port /tmp/modem ATI 'AT+CPIN?'     # or run, minicom, ...
  atbridge replay session.at --link /tmp/modem       # later, without the modem`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.load(needPort)
			if err != nil {
				return err
			}
			port, _, err := openPort(c.Modem)
			if err != nil {
				return withCode(exitPort, err)
			}
			defer port.Close()
			pty, name, err := offerPTY(link)
			if err != nil {
				return err
			}
			defer pty.Close()
			defer removeLink(link)
			out, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return usagef("%s exists; name a new file", args[0])
			}
			if err != nil {
				return usagef("%w", err)
			}
			defer out.Close()
			source := fmt.Sprintf("source: recorded by %s, %s, %s at %d baud", versionLine(), time.Now().UTC().Format(time.RFC3339), c.Modem.Port, c.Modem.Baud)
			rec := transcript.NewRecorder(out, source, "firmware: what ATI and AT+CGMR say below")
			fmt.Fprintf(cmd.OutOrStdout(), "the modem is at %s, and %s is written; Ctrl-C ends it\n", name, args[0])
			err = record(cmd.Context(), pty, port, atcmd.NewMonitor(both(rec.Tap, wireTap(cmd.ErrOrStderr(), c.Log.Wire)), modems.Typed))
			return errors.Join(withCode(exitPort, err), withCode(exitUsage, rec.Err()), out.Close())
		},
	}
	cmd.Flags().StringVar(&link, "link", "", "make `PATH` a symbolic link to the pseudo-terminal")
	return cmd
}

// offerPTY makes a pseudo-terminal, and link a link to it.
func offerPTY(link string) (pty *tty.PTY, name string, err error) {
	if pty, err = tty.OpenPTY(); err != nil {
		return nil, "", withCode(exitPort, err)
	}
	if link == "" {
		return pty, pty.Path, nil
	}
	if err := makeLink(pty.Path, link); err != nil {
		return nil, "", errors.Join(err, pty.Close())
	}
	return pty, link + " (" + pty.Path + ")", nil
}

func removeLink(link string) {
	if link != "" {
		os.Remove(link) // a link that is left is replaced by the next one
	}
}

func both(a, b atcmd.Tap) atcmd.Tap {
	if b == nil {
		return a
	}
	return func(sent bool, text []byte) { a(sent, text); b(sent, text) }
}

// heard is what one end has said.
type heard struct {
	host  bool
	bytes []byte
	err   error // the end has ended
}

// ear is a Logger of package trace, which hands it what was read as bytes, before anything is formatted: so secrets can
// be masked first. Only reads are heard: what an end has read was not yet passed on, and so nothing stands in the
// transcript before what caused it.
type ear func(p []byte)

func (e ear) Printf(_ string, v ...any) { e(v[0].([]byte)) }

// listen reads from one end of the line.
func listen(ctx context.Context, end io.ReadWriter, host bool, to chan<- heard) {
	say := func(h heard) {
		select {
		case to <- h:
		case <-ctx.Done():
		}
	}
	tap := trace.New(end, trace.WithLogger(ear(func(p []byte) { say(heard{host: host, bytes: bytes.Clone(p)}) })))
	for buf := make([]byte, 4096); ctx.Err() == nil; {
		if _, err := tap.Read(buf); err != nil {
			say(heard{host: host, err: err})
			return
		}
	}
}

// record passes on what each end says to the other, and tells the monitor first. It ends when ctx does, without an error,
// or when an end does.
func record(ctx context.Context, host, modem io.ReadWriter, m *atcmd.Monitor) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer m.Flush()
	said := make(chan heard)
	go listen(ctx, host, true, said)
	go listen(ctx, modem, false, said)
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-said:
			to := host
			if h.host {
				m.FromHost(h.bytes)
				to = modem
			} else {
				m.FromModem(h.bytes)
			}
			if _, err := to.Write(h.bytes); err != nil || h.err != nil {
				return errors.Join(h.err, err)
			}
		}
	}
}
