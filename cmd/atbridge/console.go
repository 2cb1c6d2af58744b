package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems"
)

// How long a command may take, unless the user says: AT+COPS=? takes minutes, which a daemon has not. Ctrl-C stops
// waiting earlier.
const (
	ownPatience    = 3 * time.Minute
	daemonPatience = 15 * time.Second
)

const consoleKeys = `  Tab         complete, or list what fits; again explains
  Up, Down    earlier lines, of earlier sessions too
  Ctrl-C      stop waiting for an answer
  Ctrl-]      leave; so do :quit and, on an empty line, Ctrl-D
  :data FILE  FILE answers the prompt of the next command
  :text TEXT  so does TEXT; \x1a and the like stand for bytes
  :wire       show every byte, or no longer
  :help       show this
`

func newConsoleCmd(g *globals) *cobra.Command {
	var force bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Type AT commands and see what the modem says, unasked lines too",
		Long: `Type AT commands and see what the modem says. Lines that come unasked stand with their time, and what a line means
stands behind a #. Where a daemon holds the port it goes through it.

` + consoleKeys + `
Lines are kept in $XDG_STATE_HOME/atbridge/history (or ~/.local/state/...), but for those that hold a password.`,
		Example: "  atbridge console --port /dev/ttyUSB2",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, okIn := cmd.InOrStdin().(*os.File)
			out, okOut := cmd.OutOrStdout().(*os.File)
			if !okIn || !okOut || !isTerminal(in) || !isTerminal(out) {
				return usagef("console needs a terminal; for scripts there is: atbridge send -")
			}
			if timeout < 0 {
				return usagef("--timeout is not less than 0")
			}
			far, err := g.consoleLine(cmd, force)
			if err != nil {
				return err
			}
			defer far.close()
			if timeout == 0 {
				timeout = ownPatience
				if _, ok := far.(*farDaemon); ok {
					timeout = daemonPatience
				}
			}
			c := &console{far: far, timeout: timeout, history: loadHistory(g.getenv), plain: g.plain()}
			return c.onTerminal(cmd.Context(), in, out)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "let the daemon run what would disturb it")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long an answer may take (default 3m, through the daemon 15s)")
	return cmd
}

// plain: nothing is coloured (https://no-color.org).
func (g *globals) plain() bool {
	colour, _ := g.getenv("NO_COLOR")
	kind, _ := g.getenv("TERM")
	return colour != "" || kind == "dumb"
}

// farEnd is the modem of a console: its own, or the daemon's.
type farEnd interface {
	name() string
	driver() string // empty: not known
	send(ctx context.Context, req modems.SendRequest) ([]modems.SendAnswer, error)

	// watch tells of what comes unasked, and of the wire, until ctx ends (nil) or the modem is gone for good.
	watch(ctx context.Context, wire bool, tell func(modems.Event)) error
	close()
}

func (g *globals) consoleLine(cmd *cobra.Command, force bool) (farEnd, error) {
	c, err := g.load(0)
	if err != nil {
		return nil, err
	}
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return nil, err
	}
	if daemon != nil {
		s, err := daemon.Status(cmd.Context())
		if err != nil {
			return nil, withCode(exitPort, err)
		}
		return &farDaemon{daemon, s.Modem.Port, s.Modem.Driver, force}, nil
	}
	if c, err = g.load(needPort); err != nil {
		return nil, err
	}
	port, _, err := openPort(c.Modem)
	if err != nil {
		return nil, withCode(exitPort, err)
	}
	known := c.Modem.Driver
	if known == "auto" {
		known = ""
	}
	return &farModem{modems.Raw(port, nil), fmt.Sprintf("%s at %d baud", c.Modem.Port, c.Modem.Baud), known}, nil
}

// farModem is a port that this process has opened.
type farModem struct {
	m           *modems.Modem
	port, model string
}

func (f *farModem) name() string   { return f.port }
func (f *farModem) driver() string { return f.model }
func (f *farModem) close()         { f.m.Close() }

func (f *farModem) send(ctx context.Context, req modems.SendRequest) ([]modems.SendAnswer, error) {
	return f.m.Send(ctx, req)
}

func (f *farModem) watch(ctx context.Context, wire bool, tell func(modems.Event)) error {
	defer f.m.Watch(wire, tell)()
	select {
	case <-ctx.Done():
		return nil
	case <-f.m.Done():
		return withCode(exitPort, f.m.Err())
	}
}

// farDaemon is the modem of a running daemon.
type farDaemon struct {
	client      *control.Client
	port, model string
	force       bool
}

func (f *farDaemon) name() string   { return "the daemon's modem on " + f.port }
func (f *farDaemon) driver() string { return f.model }
func (f *farDaemon) close()         {}

func (f *farDaemon) send(ctx context.Context, req modems.SendRequest) ([]modems.SendAnswer, error) {
	req.Force = f.force
	r, err := f.client.Send(ctx, req)
	if err == nil && r.Failure != nil {
		err = errors.New(r.Failure.Text)
	}
	return r.Answers, err
}

// watch begins anew when the daemon has opened its modem again.
func (f *farDaemon) watch(ctx context.Context, wire bool, tell func(modems.Event)) error {
	for {
		err := f.client.Watch(ctx, wire, func() {}, tell)
		if ctx.Err() != nil {
			return nil
		}
		if _, errStatus := f.client.Status(ctx); errStatus != nil {
			return withCode(exitPort, errors.Join(err, errStatus))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// onTerminal runs the console on a terminal in raw mode.
func (c *console) onTerminal(ctx context.Context, in, out *os.File) error {
	fd := int(in.Fd())
	was, err := term.MakeRaw(fd)
	if err != nil {
		return withCode(exitUsage, fmt.Errorf("the terminal: %w", err))
	}
	defer term.Restore(fd, was)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.keys = &keys{in: in, leave: cancel}
	c.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{c.keys, out}, consolePrompt)
	c.term.History = c.history
	c.term.AutoCompleteCallback = c.complete
	resize := func() {
		if w, h, err := term.GetSize(fd); err == nil && w > 0 {
			c.term.SetSize(w, h) // its error is one of writing, which the next line meets, too
		}
	}
	resize()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	go func() {
		for {
			select {
			case <-resized:
				resize()
			case <-ctx.Done():
				return
			}
		}
	}()
	err = c.run(ctx)
	fmt.Fprint(out, "\r\n")
	return err
}

// keys reads what is typed. Ctrl-] leaves at once, and Ctrl-C stops what is being waited for.
type keys struct {
	in    io.Reader
	leave func()
	stop  func() bool // stops the command in flight; false: there is none
}

const ctrlC, ctrlBracket = 0x03, 0x1d

func (k *keys) Read(p []byte) (int, error) {
	for {
		n, err := k.in.Read(p)
		if i := strings.IndexByte(string(p[:n]), ctrlBracket); i >= 0 {
			k.leave()
			return 0, io.EOF
		}
		if i := strings.IndexByte(string(p[:n]), ctrlC); i >= 0 && k.stop() {
			n = i // what was typed behind it was meant for what came before
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}
