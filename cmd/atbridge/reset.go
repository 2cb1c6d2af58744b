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
	// powerPress is how long PWRKEY is held to switch a module on (Quectel EC200x&EC600S TCP/IP AN V1.2, figure 1; AirM2M asks
	// for as much), and enough to switch one off.
	powerPress = 2 * time.Second
	// resetCommand is how long a command may take that resets the modem: one that cuts its power waits for it to fall.
	// A stop of the daemon waits for it (TimeoutStopSec in atbridge.service).
	resetCommand = 40 * time.Second
)

// resetter is the way to reset the modem that modem.reset and modem.power name; nil: none. With both, the two take turns: what
// the reset line does not wake is switched off. A press of PWRKEY switches a module on that is off, and off if it hangs: the next
// press, which comes when it has stayed silent for longer than it takes to go down, switches it on.
func (m *Modem) resetter() func(context.Context) error {
	pull, press := m.resetLine(), m.powerKey()
	if pull == nil || press == nil {
		if pull == nil {
			return press
		}
		return pull
	}
	pulls := 0
	return func(ctx context.Context) error {
		if pulls++; pulls%2 == 1 {
			return pull(ctx)
		}
		return press(ctx)
	}
}

// powerKey presses PWRKEY; nil: it is on no GPIO line.
func (m *Modem) powerKey() func(context.Context) error {
	line, ok := strings.CutPrefix(m.Power, "gpio:")
	if !ok {
		return nil
	}
	return func(ctx context.Context) error { return pulseGPIO(ctx, "modem.power", line, powerPress) }
}

func (m *Modem) resetLine() func(context.Context) error {
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
		return func(ctx context.Context) error { return pulseGPIO(ctx, "modem.reset", what, resetPulse) }
	case "exec":
		return func(ctx context.Context) error { return runReset(ctx, what) }
	}
	return nil
}

// outputLine is a GPIO line that was requested as an output.
type outputLine interface {
	SetValue(value int) error
	Close() error
}

// requestHigh asks the kernel for a line and drives it high. Tests put another one in its place where there is no gpio-sim.
var requestHigh = func(chip string, offset int) (outputLine, error) {
	return gpiocdev.RequestLine(chip, offset, gpiocdev.WithConsumer("atbridge"), gpiocdev.AsOutput(1))
}

// pulseGPIO drives a line such as gpiochip0/17 high for a moment: it is to close the transistor that pulls the module's
// input down.
func pulseGPIO(ctx context.Context, key, name string, length time.Duration) error {
	chip, number, _ := strings.Cut(name, "/")
	offset, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%s: %s is no line: %w", key, name, err)
	}
	line, err := requestHigh(chip, offset)
	if err != nil {
		return fmt.Errorf("%s: the GPIO line %s cannot be used: %w; see `gpioinfo`", key, name, err)
	}
	t := time.NewTimer(length)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done(): // the module is not left with its key held
	}
	return errors.Join(line.SetValue(0), line.Close())
}

// runReset runs a command of the operator's, without a shell. A stop of the daemon does not end it: it could be between off
// and on. Its arguments and what it prints may hold secrets.
func runReset(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resetCommand)
	defer cancel()
	words := strings.Fields(command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("modem.reset: %s: %w", words[0], err)
	}
	return nil
}
