package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/atbridge/atbridge/modems"
)

// attach opens the configured port and talks to the modem until it is known, at another baud rate if nothing answers at
// the configured one. The error has its exit code.
func (c *Config) attach(ctx context.Context, stderr io.Writer, waiting *progress) (*modems.Modem, error) {
	m, err := c.attachAt(ctx, c.Modem.Baud, stderr, waiting)
	if !errors.Is(err, modems.ErrNoAnswer) || ctx.Err() != nil {
		return m, err
	}
	port, _, errOpen := openPort(c.Modem)
	if errOpen != nil {
		return nil, withCode(exitPort, errOpen)
	}
	rate, errSearch := modems.FindBaud(ctx, port, int(c.Modem.Baud), waiting.say)
	if errClose := port.Close(); errSearch != nil || errClose != nil || Baud(rate) == c.Modem.Baud {
		return nil, err // what was wrong at the configured rate says more
	}
	waiting.end()
	fmt.Fprintf(stderr, "atbridge: the modem answers at %d baud, not at %d; use --baud %d or set modem.baud\n", rate, c.Modem.Baud, rate)
	return c.attachAt(ctx, Baud(rate), stderr, waiting)
}

func (c *Config) attachAt(ctx context.Context, rate Baud, stderr io.Writer, waiting *progress) (*modems.Modem, error) {
	at := *c.Modem
	at.Baud = rate
	port, urcPort, err := openPort(&at)
	if err != nil {
		return nil, withCode(exitPort, err)
	}
	o := c.modemOptions(wireTap(stderr, c.Log.Wire), waiting.say)
	o.Port = urcPort
	m, err := modems.Attach(ctx, port, o)
	if errors.Is(err, modems.ErrUnsupported) {
		return nil, withCode(exitUsage, err)
	}
	if err != nil {
		return nil, modemError(fmt.Errorf("%s: %w", c.Modem.Port, err))
	}
	return m, nil
}
