package atcmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// ErrTimeout: no final result code within the command's timeout. The engine gets back in step by itself.
	ErrTimeout = errors.New("no answer in time")

	// ErrClosed: the port is gone, or the engine was closed.
	ErrClosed = errors.New("the line is closed")

	// ErrResync: the modem answers nothing any more, or may be left in its data state. The line must be reopened.
	ErrResync = errors.New("the modem has stopped answering")

	// ErrOverrun: URCs came faster than they were taken; one would have been lost.
	ErrOverrun = errors.New("the modem sends faster than its messages are taken")

	// ErrPrompt: the modem asks for data that the command does not bring. Nothing is written until it has given up.
	ErrPrompt = errors.New("the modem asks for data, and the command brings none")

	// ErrReboot: the modem started anew while a command was in flight.
	ErrReboot = errors.New("the modem has rebooted")

	errRefused = errors.New("ERROR")
)

// CommandError is the DCE's refusal of one command.
type CommandError struct {
	Command string // the command line, secrets masked
	Result  string // the final result code as it came
	Err     error  // CMEError, CMSError, or what the command's Final says
}

func (e *CommandError) Error() string { return brief(e.Command) + ": " + e.Err.Error() }

func (e *CommandError) Unwrap() error { return e.Err }

// Refused reports whether err is the modem's own refusal, rather than silence or a lost line.
func Refused(err error) bool {
	var ce *CommandError
	return errors.As(err, &ce)
}

// LineError is a failure of the line while a command was in flight; it wraps ErrTimeout, ErrClosed and so on.
type LineError struct {
	Command string // secrets masked
	Phase   string // what was waited for
	Err     error
}

func (e *LineError) Error() string {
	if e.Phase == "" {
		return fmt.Sprintf("%s: %v", brief(e.Command), e.Err)
	}
	return fmt.Sprintf("%s: %v (waiting for %s)", brief(e.Command), e.Err, e.Phase)
}

func (e *LineError) Unwrap() error { return e.Err }

const masked = "***"

// mask replaces each secret in s, the longest first: one may be part of another.
func mask(s string, secrets []string) string {
	secrets = slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return len(b) - len(a) })
	for _, sec := range secrets {
		if sec != "" {
			s = strings.ReplaceAll(s, sec, masked)
		}
	}
	return s
}

// brief is as much of a command as tells which one it is.
func brief(command string) string {
	const most = 80
	if len(command) <= most {
		return command
	}
	return strings.ToValidUTF8(command[:most-3], "") + "..."
}
