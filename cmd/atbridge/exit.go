package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems"
)

// The exit codes that scripts rely on.
const (
	exitDone         = 0
	exitRefused      = 1 // the modem or the broker refused
	exitUsage        = 2 // usage or configuration
	exitNoAnswer     = 3 // no answer in time
	exitPort         = 4 // the port cannot be opened or was lost
	exitNotDelivered = 5
	exitFault        = 70 // a fault of atbridge itself, EX_SOFTWARE of sysexits.h
)

// exitError is an error that knows its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode gives err an exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// usagef is an error of whoever typed the command or wrote the configuration.
func usagef(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}

// exitCode maps an error to the process's exit code. A code given with withCode wins over what the error looks like.
func exitCode(err error) int {
	var coded *exitError
	var connack modems.ConnackError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, new(configErrors)), errors.Is(err, modems.ErrUnsupported):
		return exitUsage
	case errors.As(err, &connack), errors.Is(err, modems.ErrRefused):
		return exitRefused
	case errors.Is(err, modems.ErrMessage):
		return exitNotDelivered
	case errors.Is(err, context.DeadlineExceeded):
		return exitNoAnswer
	}
	return exitRefused
}

// printError says err once. Errors of a configuration keep the form file:line: that editors jump to.
func printError(w io.Writer, err error) {
	if list := configErrors(nil); errors.As(err, &list) {
		fmt.Fprintln(w, list.Error())
		return
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "atbridge: interrupted")
		return
	}
	fmt.Fprintln(w, "atbridge: "+strings.TrimSpace(err.Error()))
}

// reportPanic turns a panic into one sentence. The trace goes to a file when a person is watching, and onto stderr
// when that is a log, so that a bug report can hold it either way.
func reportPanic(w io.Writer, cause any) int {
	trace := fmt.Appendf(nil, "%s\npanic: %v\n\n%s", versionLine(), cause, debug.Stack())
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		if name, err := writeTrace(trace); err == nil {
			fmt.Fprintf(w, "atbridge: a fault of atbridge itself; please report it with the file %s\n", name)
			return exitFault
		}
	}
	fmt.Fprintf(w, "atbridge: a fault of atbridge itself; please report it with the lines below\n%s", trace)
	return exitFault
}

func writeTrace(trace []byte) (string, error) {
	f, err := os.CreateTemp("", "atbridge-fault-*.txt") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(trace)
	return f.Name(), errors.Join(err, f.Close())
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
