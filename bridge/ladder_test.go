package bridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Which rungs are taken, one failure after the other.
func TestLadder(t *testing.T) {
	type fail struct {
		how   reach
		after time.Duration // since the failure before
		want  rung
	}
	const hour = time.Hour
	same := func(how reach, after time.Duration, want ...rung) (fails []fail) {
		for _, w := range want {
			fails = append(fails, fail{how, after, w})
		}
		return fails
	}
	for name, tc := range map[string]struct {
		reset   bool
		perHour int
		fails   []fail
	}{
		"no session":              {true, 4, same(noSession, time.Second, retry, retry, pdp, restart, reset, giveUp, retry, retry, retry)},
		"no session, no line":     {false, 4, same(noSession, time.Second, retry, retry, pdp, restart, giveUp, retry)},
		"no result":               {true, 4, same(noResult, time.Second, pdp, restart, reset, giveUp, retry)},
		"no port":                 {true, 4, same(noPort, time.Second, retry, retry, retry, retry, retry, reset, retry, retry, retry, retry, retry, giveUp, retry)},
		"no port, no line":        {false, 4, same(noPort, time.Second, slices.Repeat([]rung{retry}, 20)...)},
		"no answer":               {true, 4, same(noAnswer, time.Second, retry, reset, retry, giveUp, retry)},
		"deaf":                    {true, 4, same(deaf, time.Second, reset)},
		"deaf, no line":           {false, 4, same(deaf, time.Second, retry, retry, retry)},
		"deaf, then it boots":     {true, 4, append(same(deaf, time.Second, reset), same(noAnswer, time.Second, retry, giveUp)...)},
		"restart makes it deaf":   {true, 4, append(same(noSession, time.Second, retry, retry, pdp, restart), same(noAnswer, time.Second, retry, reset)...)},
		"the broker's fault":      {true, 4, same(noFault, time.Second, slices.Repeat([]rung{retry}, 20)...)},
		"no resets wanted":        {true, 0, same(noSession, time.Second, retry, retry, pdp, giveUp, retry)},
		"the pauses grow":         {true, 60, slices.Concat(same(deaf, time.Second, reset, giveUp), same(deaf, 9*time.Minute, retry), same(deaf, time.Minute, reset, giveUp), same(deaf, 29*time.Minute, retry), same(deaf, 2*time.Minute, reset, giveUp), same(deaf, 59*time.Minute, retry), same(deaf, 2*time.Minute, reset, giveUp), same(deaf, 59*time.Minute, retry), same(deaf, 2*time.Minute, reset))},
		"the budget":              {true, 1, slices.Concat(same(deaf, 0, reset, giveUp), same(deaf, 11*time.Minute, retry), same(deaf, 50*time.Minute, reset))},
		"the budget is for both":  {true, 1, same(noSession, time.Second, retry, retry, pdp, restart, giveUp)},
		"a climb goes on an hour": {true, 4, append(same(noSession, time.Second, retry, retry, pdp), same(noSession, hour, restart, reset)...)},
	} {
		t.Run(name, func(t *testing.T) {
			l := ladder{hasReset: tc.reset, perHour: tc.perHour}
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for i, f := range tc.fails {
				now = now.Add(f.after)
				if got := l.next(f.how, now); got != f.want {
					t.Fatalf("failure %d: %s, not %s", i, got, f.want)
				}
			}
		})
	}
}

// A session that has stood takes the ladder back to its foot, but not the budget.
func TestLadderStood(t *testing.T) {
	l := ladder{hasReset: true, perHour: 2}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var got []rung
	for range 4 {
		got = append(got, l.next(deaf, now))
		l.stood()
		now = now.Add(2 * time.Minute)
	}
	if want := []rung{reset, reset, retry, retry}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func TestReachOf(t *testing.T) {
	for err, want := range map[error]reach{
		fmt.Errorf("dial: %w", modems.ConnackError(5)):            noFault,
		fmt.Errorf("online: %w", modems.SIMLockedError("no PIN")): noFault,
		fmt.Errorf("online: %w", modems.ErrOffline):               noSession,
		fmt.Errorf("dial: %w", modems.ErrNoResult):                noResult,
		targetError{errors.New("no IMEI")}:                        noFault,
		fmt.Errorf("session: %w", errRivals):                      noFault,
		fmt.Errorf("connect: TLS: %w", ErrNoTime):                 noFault,
		&tls.CertificateVerificationError{}:                       noFault,
		errors.New("anything"):                                    noSession,
	} {
		if got := reachOf(err); got != want {
			t.Errorf("%v: %d, not %d", err, got, want)
		}
	}
	if got := reachOf(allFailed{errors.New("no route"), modems.ConnackError(5)}); got != noFault {
		t.Errorf("one of two brokers answers: %d", got)
	}
	if !errors.Is(modems.SIMLockedError("x"), modems.ErrOffline) {
		t.Error("a locked SIM is no longer offline")
	}
}

// The time is booked on the rung whose effect was awaited, and the way back is named after the highest of them.
func TestRecoveryBooks(t *testing.T) {
	var r recovery
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, _, ok := r.end(now); ok {
		t.Error("there was nothing to mend")
	}
	for _, step := range []rung{retry, pdp, restart, retry} {
		r.begin(step, now)
		now = now.Add(time.Second)
	}
	by, took, ok := r.end(now.Add(time.Second))
	if by != restart || took != 5*time.Second || !ok {
		t.Errorf("by %s in %v, %v", by, took, ok)
	}
	for step, want := range map[rung]rungCount{retry: {2, 3 * time.Second}, pdp: {1, time.Second}, restart: {1, time.Second}, reset: {}} {
		if got := r.counts[step]; got != want {
			t.Errorf("%s: %+v, not %+v", step, got, want)
		}
	}
}
