package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems"
)

func newSendCmd(g *globals) *cobra.Command {
	var req modems.SendRequest
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "send [--wait PREFIX]... [--data FILE|-] [--timeout 5s] [--json] CMD...|-",
		Short: "Send AT commands; print each information line and the final result",
		Long: `Send AT commands and print each information line and the final result.

The commands run one after the other until one fails. Where a daemon holds the port they go through it, between its
own commands; it refuses those that would disturb it, unless --force is given, and those that run code on the module or
replace its firmware, unless its configuration has modem.allow_dangerous: true. With - the commands are the lines of
standard input; empty lines and those that begin with # are left out.`,
		Example: `  atbridge send --port /dev/ttyUSB2 AT+CSQ
  atbridge send 'AT+CPIN?' 'AT+CEREG?'
  atbridge send --data message.json 'AT+QMTPUBEX=0,1,1,0,"topic",42' --wait +QMTPUBEX:
  atbridge send --json - < commands.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("no command; try: atbridge send AT+CSQ")
			}
			if req.Timeout <= 0 {
				return usagef("--timeout must be more than 0")
			}
			if slices.Contains(args, "") {
				return usagef("a command is empty; is a variable not set? To see whether the modem answers: atbridge send AT")
			}
			if slices.Contains(req.Wait, "") {
				return usagef("--wait is empty; give the beginning of the line to wait for, such as +QMTOPEN:")
			}
			req.Commands = args
			if len(args) == 1 && args[0] == "-" {
				if data == "-" {
					return usagef("both the commands and the data from standard input; give one of them as a file or as arguments")
				}
				var err error
				if req.Commands, err = readCommands(cmd.Context(), cmd.InOrStdin()); err != nil {
					return err
				}
			}
			if data != "" {
				var err error
				if req.Data, err = readData(cmd.Context(), data, cmd.InOrStdin()); err != nil {
					return err
				}
			}
			waiting := newProgress(cmd.ErrOrStderr())
			waiting.say("waiting for the answer")
			answers, err := g.send(cmd, req)
			waiting.end()
			if errPrint := printAnswers(cmd.OutOrStdout(), answers, err, asJSON); errPrint != nil {
				return errPrint
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&req.Wait, "wait", nil, "then wait for a line that begins with `PREFIX`; may be repeated")
	f.StringVar(&data, "data", "", "answer the prompt of the last command with this `FILE` (-: standard input)")
	f.DurationVar(&req.Timeout, "timeout", 5*time.Second, "how long each answer may take")
	f.BoolVar(&asJSON, "json", false, "print one JSON object for each command")
	f.BoolVar(&req.Force, "force", false, "let the daemon run what would disturb it")
	return cmd
}

// send goes through the daemon that holds the port, and opens the port itself where none does.
func (g *globals) send(cmd *cobra.Command, req modems.SendRequest) ([]modems.SendAnswer, error) {
	c, err := g.load(0)
	if err != nil {
		return nil, err
	}
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return nil, err
	}
	if daemon != nil {
		r, err := daemon.Send(cmd.Context(), req)
		if err != nil {
			return nil, withCode(exitPort, err)
		}
		if r.Failure != nil {
			return r.Answers, withCode(kindCode[r.Failure.Kind], errors.New(r.Failure.Text))
		}
		return r.Answers, nil
	}
	if c, err = g.load(needPort); err != nil {
		return nil, err
	}
	port, _, err := openPort(c.Modem)
	if err != nil {
		return nil, withCode(exitPort, err)
	}
	m := modems.Raw(port, wireTap(cmd.ErrOrStderr(), c.Log.Wire))
	defer m.Close()
	answers, err := m.Send(cmd.Context(), req)
	return answers, modemError(err)
}

// daemon is the running daemon, unless it holds another port than the one that is named here.
func (g *globals) daemon(cmd *cobra.Command, c *Config) (*control.Client, error) {
	client, err := control.Dial(c.Status.Socket)
	if errors.Is(err, control.ErrNoDaemon) {
		return nil, nil
	}
	if err != nil {
		return nil, withCode(exitPort, err)
	}
	if c.Modem == nil {
		return client, nil
	}
	s, err := client.Status(cmd.Context())
	if err != nil {
		return nil, withCode(exitPort, err)
	}
	if !samePort(s.Modem.Port, c.Modem.Port) {
		return nil, nil
	}
	return client, nil
}

// samePort: the two name one device, whatever links and ids they do it by.
func samePort(a, b string) bool {
	if a == b {
		return true
	}
	deviceA, _, errA := findPort(a)
	deviceB, _, errB := findPort(b)
	if errA != nil || errB != nil {
		return false
	}
	realA, errA := filepath.EvalSymlinks(deviceA)
	realB, errB := filepath.EvalSymlinks(deviceB)
	return errA == nil && errB == nil && realA == realB
}

var kindCode = map[modems.Failure]int{
	modems.ModemRefused: exitRefused,
	modems.NoAnswerYet:  exitNoAnswer,
	modems.BadArgument:  exitUsage,
	modems.Forbidden:    exitUsage,
	modems.LineLost:     exitPort,
}

// modemError gives an error of a modem its exit code.
func modemError(err error) error {
	if err == nil {
		return nil
	}
	return withCode(kindCode[modems.KindOf(err)], err)
}

const maxData = 64 << 10

func dataName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return shown(name)
}

func readData(ctx context.Context, name string, stdin io.Reader) ([]byte, error) {
	b, err := readInput(ctx, name, stdin, maxData)
	if err != nil {
		return nil, usagef("--data: %w", err)
	}
	if len(b) == 0 {
		return nil, usagef("--data: %s is empty, and every prompt wants something: as many bytes as the command announces, or at least a Ctrl-Z (byte 1a)", dataName(name))
	}
	if len(b) > maxData {
		return nil, usagef("--data: more than %d bytes; no module takes that in one command", maxData)
	}
	return b, nil
}

// readCommands takes a command from each line.
func readCommands(ctx context.Context, stdin io.Reader) (commands []string, err error) {
	b, err := readInput(ctx, "-", stdin, maxData)
	if err != nil {
		return nil, usagef("commands from standard input: %w", err)
	}
	if len(b) > maxData {
		return nil, usagef("commands from standard input: more than %d bytes", maxData)
	}
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			commands = append(commands, l)
		}
	}
	if len(commands) == 0 {
		return nil, usagef("there is no command in standard input")
	}
	return commands, nil
}

// printedAnswer is an answer in JSON; the error stands with the last one.
type printedAnswer struct {
	modems.SendAnswer
	Error string `json:"error,omitempty"`
}

// printable is l as it is, unless it could do something to a terminal.
func printable(l string) string {
	if utf8.ValidString(l) && strings.IndexFunc(l, unicode.IsControl) < 0 {
		return l
	}
	return atcmd.Printable([]byte(l))
}

func printAnswers(w io.Writer, answers []modems.SendAnswer, failed error, asJSON bool) error {
	enc := json.NewEncoder(w)
	for i, a := range answers {
		if asJSON {
			p := printedAnswer{SendAnswer: a}
			if p.Lines == nil {
				p.Lines = []string{}
			}
			if failed != nil && i == len(answers)-1 {
				p.Error = failed.Error()
			}
			if err := enc.Encode(p); err != nil {
				return err
			}
			continue
		}
		for _, l := range a.Lines {
			if _, err := fmt.Fprintln(w, printable(l)); err != nil {
				return err
			}
		}
		if a.Final != "" {
			if _, err := fmt.Fprintln(w, a.Final); err != nil {
				return err
			}
		}
	}
	return nil
}
