package modems

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Tunable is a serial port whose rate can be changed while it is open.
type Tunable interface {
	io.ReadWriter
	SetBaud(baud int) error
	SetReadDeadline(t time.Time) error
}

// bauds are the rates that modules are delivered with or set to, the likeliest first: the family's default, what the
// faster and the older ones use, then the rest of V.250 6.2.10.
var bauds = []int{115200, 9600, 921600, 460800, 57600, 230400, 38400, 19200, 4800}

const (
	baudTries  = 3                      // the first AT may end a line of garbage, a second wake the module
	baudAnswer = 300 * time.Millisecond // an idle module answers AT within tens of milliseconds
)

// FindBaud looks for the rate at which something on port answers AT with OK: first, and then the others, of which say
// is told. It leaves the port at the rate that it returns; ErrNoAnswer if there is none, and then at first.
//
// It writes without an engine, so nothing else may use the port. A modem that waits for a payload would take the AT for
// it: listen first (Options.Quiet).
func FindBaud(ctx context.Context, port Tunable, first int, say func(string)) (int, error) {
	rates := append([]int{first}, slices.DeleteFunc(slices.Clone(bauds), func(r int) bool { return r == first })...)
	for _, rate := range rates {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := port.SetBaud(rate); err != nil {
			continue // an adapter that cannot run at this rate has no modem at it
		}
		say(fmt.Sprintf("looking for the baud rate: trying %d", rate))
		found, err := answersAT(port)
		if err != nil {
			return 0, err
		}
		if found {
			return rate, port.SetReadDeadline(time.Time{})
		}
	}
	if err := errors.Join(port.SetBaud(first), port.SetReadDeadline(time.Time{})); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%w at any of the baud rates %v", ErrNoAnswer, rates)
}

// answersAT sends AT and waits for a whole OK.
func answersAT(port Tunable) (bool, error) {
	for range baudTries {
		if _, err := port.Write([]byte("AT\r")); err != nil {
			return false, err
		}
		if err := port.SetReadDeadline(time.Now().Add(baudAnswer)); err != nil {
			return false, err
		}
		var heard []byte
		buf := make([]byte, 256)
		for {
			n, err := port.Read(buf)
			heard = append(heard, buf[:n]...)
			if bytes.Contains(heard, []byte("\nOK\r")) {
				return true, nil
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return false, err
			}
			heard = heard[max(0, len(heard)-256):] // a line of noise has no end
		}
	}
	return false, nil
}
