package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/warthog618/go-gpiocdev"

	"github.com/atbridge/atbridge/atcmd/tty"
)

const (
	// resetPulse is longer than the reset pulses that makers ask for, which are parts of a second.
	resetPulse = time.Second
	// resetCommand is how long a command may take that resets the modem: one that cuts its power waits for it to fall.
	resetCommand = time.Minute
)

// resetter is the way to reset the modem that modem.reset names; nil: none.
func (m *Modem) resetter() func(context.Context) error {
	kind, what, _ := strings.Cut(m.Reset, ":")
	switch kind {
	case "dtr", "rts":
		return func(ctx context.Context) error {
			device, _, err := findPort(m.Port)
			if err != nil {
				return err
			}
			return tty.Pulse(ctx, device, kind, resetPulse)
		}
	case "gpio":
		return func(ctx context.Context) error { return pulseGPIO(ctx, what) }
	case "exec":
		return func(ctx context.Context) error { return runReset(ctx, what) }
	}
	return nil
}

// pulseGPIO drives a line such as gpiochip0/17 high for a moment: it is to close the transistor that pulls the module's
// reset input down.
func pulseGPIO(ctx context.Context, name string) error {
	chip, number, _ := strings.Cut(name, "/")
	offset, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("modem.reset: %s is no line: %w", name, err)
	}
	line, err := gpiocdev.RequestLine(chip, offset, gpiocdev.WithConsumer("atbridge"), gpiocdev.AsOutput(1))
	if err != nil {
		return fmt.Errorf("modem.reset: the GPIO line %s cannot be used: %w; see `gpioinfo`", name, err)
	}
	t := time.NewTimer(resetPulse)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done(): // the module is not left in reset
	}
	return errors.Join(line.SetValue(0), line.Close())
}

// runReset runs a command of the operator's, without a shell.
func runReset(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(ctx, resetCommand)
	defer cancel()
	words := strings.Fields(command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("modem.reset: %s: %w %s", command, err, strings.TrimSpace(string(out[:min(len(out), 200)])))
	}
	return nil
}
