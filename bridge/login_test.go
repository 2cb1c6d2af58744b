package bridge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// When somebody else is suspected to use the identity: the third time in a row that the broker ends a session soon.
func TestRivals(t *testing.T) {
	byBroker := fmt.Errorf("%w (+QMTSTAT: 0,1)", modems.ErrByBroker)
	other := errors.New("the network failed")
	type end struct {
		err   error
		stood time.Duration
	}
	soon, long := end{byBroker, time.Second}, end{byBroker, time.Hour}
	for name, tc := range map[string]struct {
		ends []end
		want bool
	}{
		"once":        {[]end{soon}, false},
		"twice":       {[]end{soon, soon}, false},
		"three times": {[]end{soon, soon, soon}, true},
		"and again":   {[]end{soon, soon, soon, soon}, true},
		"stood long":  {[]end{soon, soon, long, soon, soon}, false},
		"another end": {[]end{soon, soon, {other, time.Second}, soon}, false},
	} {
		r := rivals{}
		var err error
		for _, e := range tc.ends {
			err = r.ended(e.err, e.stood, "site7")
		}
		if got := errors.Is(err, errRivals); got != tc.want || !errors.Is(err, modems.ErrByBroker) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := renew(t.Context(), began.Add(time.Hour)); !errors.Is(err, errLoginEnds) || time.Since(began) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := renew(ctx, time.Time{}); err != nil {
			t.Error(err)
		}
	})
}
