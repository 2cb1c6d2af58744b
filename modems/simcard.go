package modems

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	simTimeout = 20 * time.Second // Quectel EC200x&EC600S TCP/IP AN V1.2, figure 1: CPIN within 20 s
	simRetry   = time.Second      // some modules send no +CPIN when a busy SIM has become ready
	cpinTime   = 5 * time.Second  // Quectel AT Commands Manual V1.1, 5.3
)

// SIMLockedError is an ErrOffline that only a person can mend.
type SIMLockedError string

func (e SIMLockedError) Error() string { return ErrOffline.Error() + ": " + string(e) }
func (e SIMLockedError) Unwrap() error { return ErrOffline }

// unlock waits for the SIM and enters the PIN where one is asked for, once (27.007 8.3).
func (m *Modem) unlock(ctx context.Context) error {
	m.opts.Progress("waiting for the SIM")
	ctx, cancel := context.WithTimeout(ctx, simTimeout)
	defer cancel()
	for {
		ready := m.await("+CPIN:", nil)
		r, err := m.Do(ctx, atcmd.Read("+CPIN").WithTimeout(cpinTime))
		wait, err := m.simState(ctx, bare(r, "+CPIN"), err)
		if err != nil || !wait {
			ready.stop()
			return err
		}
		retry, stop := context.WithTimeout(ctx, simRetry)
		_, err = ready.wait(retry)
		stop()
		ready.stop()
		if ctx.Err() != nil {
			return fmt.Errorf("%w: the SIM is busy and does not become ready; power the modem off and on", ErrOffline)
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// simState acts on the answer to AT+CPIN?; wait: ask again.
func (m *Modem) simState(ctx context.Context, state string, err error) (wait bool, _ error) {
	var cme atcmd.CMEError
	switch {
	case errors.As(err, &cme) && cme == atcmd.CMESIMNotInserted, errors.As(err, &cme) && cme == atcmd.CMESIMFailure:
		return false, fmt.Errorf("%w: there is no SIM, or it makes no contact (%w); insert one and power the modem off and on", ErrOffline, err)
	case atcmd.Refused(err):
		return true, nil // SIM busy, or not yet up
	case err != nil:
		return false, fmt.Errorf("asking for the SIM: %w", err)
	}
	switch state {
	case "READY":
		return false, nil
	case "SIM PIN":
		return true, m.enterPIN(ctx)
	case "SIM PUK":
		return false, SIMLockedError("the SIM is locked (PUK); unlock it in a telephone")
	}
	if strings.HasPrefix(state, "NOT") || state == "" {
		return true, nil
	}
	return false, SIMLockedError(fmt.Sprintf("the SIM asks for %q, which atbridge does not enter", state))
}

func (m *Modem) enterPIN(ctx context.Context) error {
	if m.opts.PIN == "" {
		return SIMLockedError("the SIM asks for its PIN; set modem.pin")
	}
	refused, err := m.pinRefused()
	if err != nil {
		return err
	}
	if refused {
		return SIMLockedError("the SIM has refused this PIN before, and a third wrong one locks it; set the right modem.pin (if it is right, remove the file pin-refused in queue.dir)")
	}
	// It is noted before it is entered: a refusal may come too late to be seen, and the third one locks the SIM.
	if err := m.notePIN(true); err != nil {
		return err
	}
	_, err = m.Do(ctx, atcmd.Set("+CPIN", m.opts.PIN).WithTimeout(cpinTime).WithSecret(m.opts.PIN))
	var cme atcmd.CMEError
	switch {
	case err == nil, errors.As(err, &cme) && cme == atcmd.CMESIMBusy: // accepted, or not judged
		return m.notePIN(false)
	case atcmd.Refused(err):
		return SIMLockedError(fmt.Sprintf("the SIM refused the PIN in modem.pin (%v); it will not be entered again", err))
	}
	return err
}

// The file holds digests, one a line: enough to know a PIN again, and nothing to read at a glance. Its form is for good: to
// forget a PIN that was refused may lock the SIM. Lines of another form stay where they are.
func (m *Modem) pinDigest() string {
	sum := sha256.Sum256([]byte("atbridge pin " + m.opts.PIN))
	return hex.EncodeToString(sum[:])
}

// pinRefused reports whether this PIN was entered before without being accepted.
func (m *Modem) pinRefused() (bool, error) {
	noted, err := m.notedPINs()
	return slices.Contains(noted, m.pinDigest()), err
}

func (m *Modem) notedPINs() ([]string, error) {
	if m.opts.RefusedPIN == "" {
		return m.enteredPINs, nil
	}
	b, err := os.ReadFile(m.opts.RefusedPIN)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading which PINs were refused before: %w", err)
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' }), nil
}

// notePIN remembers that the PIN is being entered, or forgets it once it was not refused.
func (m *Modem) notePIN(entering bool) error {
	noted, err := m.notedPINs()
	if err != nil {
		return err
	}
	noted = slices.DeleteFunc(noted, func(d string) bool { return d == m.pinDigest() })
	if entering {
		noted = append(noted, m.pinDigest())
	}
	if m.opts.RefusedPIN == "" {
		m.enteredPINs = noted
		return nil
	}
	if err := os.WriteFile(m.opts.RefusedPIN, []byte(strings.Join(noted, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("noting that a PIN was entered: %w", err)
	}
	return nil
}
