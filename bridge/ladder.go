package bridge

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// rung is a step of the recovery ladder. Each costs more than the one below it, and mends more.
type rung int

const (
	retry   rung = iota // a new attempt, after a while: the port, or the session
	pdp                 // the data connection is taken down and brought up
	restart             // the module restarts, by its own command
	reset               // the reset line, or whatever modem.reset names
	giveUp              // nothing above retry for a while
	rungs
)

// rungNames are words of the status and the metrics.
var rungNames = [rungs]string{"retry", "pdp", "restart", "reset", "pause"}

func (r rung) String() string { return rungNames[r] }

// reach is how far an attempt came: it says which rungs could mend anything.
type reach int

const (
	noPort    reach = iota // the port cannot be opened
	noAnswer               // nothing on it answers AT
	deaf                   // a modem that was there answers no more, and the engine has asked in vain
	noResult               // the modem answers, but what it has begun never ends: a dial, a publish
	noSession              // the modem answers, but there is no way to the network, or no session
	noFault                // neither the modem nor the network: the broker says no, the SIM wants a person, the port is not ours
)

// retries is how many retries come before the first rung above. A deaf modem gets none: it has been asked three
// times already. Nor does one that owes a result: the next dial may take two minutes to fail again.
var retries = [...]int{noPort: 5, noAnswer: 1, deaf: 0, noResult: 0, noSession: 2}

// pauses are between two climbs of the ladder that did not help: the first at once, then these (Quectel
// EC200x&EC600S TCP/IP AN V1.2, figure 1: 10 min, 30 min, 1 h). In between, retries go on.
var pauses = []time.Duration{10 * time.Minute, 30 * time.Minute, time.Hour}

// ladder decides what to try next. It knows no clock.
type ladder struct {
	hasReset bool
	perHour  int // restarts and resets

	tries  int         // retries since the last rung above
	at     rung        // the highest rung of this climb
	climbs int         // that did not help
	until  time.Time   // nothing above retry before that
	spent  []time.Time // restarts and resets of the last hour
}

// stood begins at the bottom again: what was done has helped. A module that works for a moment after every reset is left to
// the budget.
func (l *ladder) stood() { l.tries, l.at, l.climbs, l.until = 0, retry, 0, time.Time{} }

// next returns what to try after an attempt has failed.
func (l *ladder) next(how reach, now time.Time) rung {
	if how == noFault || now.Before(l.until) {
		return retry
	}
	if (l.at == retry || how <= noAnswer) && l.tries < retries[how] { // after a restart it may still boot
		l.tries++
		return retry
	}
	for r := l.at + 1; r < giveUp; r++ {
		if l.take(r, how, now) {
			l.at, l.tries = r, 0
			return r
		}
	}
	if l.at == retry { // there is nothing else
		return retry
	}
	l.until = now.Add(pauses[min(l.climbs, len(pauses)-1)])
	l.climbs++
	l.tries, l.at = 0, retry
	return giveUp
}

// take reports whether r may be taken and could mend anything, and pays for it.
func (l *ladder) take(r rung, how reach, now time.Time) bool {
	if r < reset && how < noResult || r == reset && !l.hasReset {
		return false
	}
	return r == pdp || l.spend(now)
}

// spend takes one restart or reset from the budget, if there is one left.
func (l *ladder) spend(now time.Time) bool {
	for len(l.spent) > 0 && now.Sub(l.spent[0]) >= time.Hour {
		l.spent = l.spent[1:]
	}
	if len(l.spent) >= l.perHour {
		return false
	}
	l.spent = append(l.spent, now)
	return true
}

// reachOf says what the end of a session, or of the way to one, tells of the modem.
func reachOf(err error) reach {
	var refused modems.ConnackError
	var locked modems.SIMLockedError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var target targetError
	switch {
	case errors.As(err, &refused), errors.As(err, &certificate), errors.As(err, &alert), errors.Is(err, errRivals), errors.Is(err, errSuspect): // the cloud answers
		return noFault
	case errors.As(err, &locked), errors.As(err, &target), errors.Is(err, ErrNoTime):
		return noFault
	case errors.Is(err, modems.ErrNoResult):
		return noResult
	}
	return noSession
}

// reachOfPort tells a port that is not there from one that is, and not ours.
func reachOfPort(err error) reach {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EWOULDBLOCK) {
		return noFault
	}
	return noPort
}

// targetError: what is configured cannot be made into a login.
type targetError struct{ error }

func (e targetError) Unwrap() error { return e.error }

// rungCount is what one rung has cost so far.
type rungCount struct {
	times uint64
	took  time.Duration
}

// recovery follows the way back from a failure.
type recovery struct {
	counts [rungs]rungCount
	begun  time.Time // when the failure was noticed; zero: nothing is to be mended
	last   rung      // the one whose effect is awaited
	since  time.Time
	most   rung // since begun
}

func (r *recovery) begin(step rung, now time.Time) {
	r.settle(now)
	if r.begun.IsZero() {
		r.begun, r.most = now, retry
	}
	if step < giveUp {
		r.most = max(r.most, step)
	}
	r.counts[step].times++
	r.last, r.since = step, now
}

// settle books the time since the last rung on it.
func (r *recovery) settle(now time.Time) {
	if !r.begun.IsZero() {
		r.counts[r.last].took += now.Sub(r.since)
	}
}

// end: a session stands again. It returns by which rung, and how long that took; ok: there was something to mend.
func (r *recovery) end(now time.Time) (by rung, took time.Duration, ok bool) {
	if r.begun.IsZero() {
		return 0, 0, false
	}
	r.settle(now)
	took = now.Sub(r.begun)
	r.begun = time.Time{}
	return r.most, took, true
}
