package bridge

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// When auto takes which path.
func TestPaths(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	failed := errors.New("no answer")
	unfit := fmt.Errorf("%w: no will", modems.ErrUnsupported)
	refused := fmt.Errorf("dial: %w", modems.ConnackError(5))
	type end struct {
		err   error
		stood bool
		after time.Duration // of the session
		other bool
	}
	for name, tc := range map[string]struct {
		mode    string
		sockets bool
		ends    []end
		path    string // in the end
	}{
		"at first":                  {"auto", true, nil, "native"},
		"fixed":                     {"native", true, []end{{unfit, false, 0, false}, {failed, false, 0, false}, {failed, false, 0, false}, {failed, false, 0, false}}, "native"},
		"fixed to tcp":              {"tcp", true, []end{{failed, false, 0, false}}, "tcp"},
		"no sockets":                {"auto", false, []end{{unfit, false, 0, false}, {failed, false, 0, false}, {failed, false, 0, false}, {failed, false, 0, false}}, "native"},
		"unfit":                     {"auto", true, []end{{unfit, false, 0, true}}, "tcp"},
		"unfit, for good":           {"auto", true, []end{{unfit, false, 0, true}, {failed, false, time.Hour, false}}, "tcp"},
		"too large":                 {"auto", true, []end{{errOtherPath, true, 0, true}}, "tcp"},
		"two failures":              {"auto", true, []end{{failed, false, 0, false}, {failed, false, 0, false}}, "native"},
		"three failures":            {"auto", true, []end{{failed, false, 0, false}, {failed, false, 0, false}, {failed, false, 0, true}}, "tcp"},
		"not in a row":              {"auto", true, []end{{failed, false, 0, false}, {failed, false, 0, false}, {failed, true, 0, false}, {failed, false, 0, false}}, "native"},
		"the broker refuses":        {"auto", true, []end{{refused, false, 0, false}, {refused, false, 0, false}, {refused, false, 0, false}}, "native"},
		"held":                      {"auto", true, []end{{errOtherPath, true, 0, true}, {failed, true, 29 * time.Minute, false}}, "tcp"},
		"the hold is over":          {"auto", true, []end{{errOtherPath, true, 0, true}, {errHoldOver, true, 30 * time.Minute, true}}, "native"},
		"over while nothing stands": {"auto", true, []end{{errOtherPath, true, 0, true}, {failed, false, 31 * time.Minute, false}}, "native"},
		"tcp does not work either":  {"auto", true, []end{{errOtherPath, true, 0, true}, {failed, false, 0, false}, {failed, false, 0, false}, {failed, false, 0, true}}, "native"},
		"once more is enough":       {"auto", true, []end{{errOtherPath, true, 0, true}, {errHoldOver, true, 30 * time.Minute, true}, {failed, false, 0, true}}, "tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			p := paths{mode: tc.mode, hold: nativeHold}
			at := now
			for i, e := range tc.ends {
				path, _ := p.choose(at)
				at = at.Add(e.after)
				if got := p.ended(path, e.err, e.stood, tc.sockets, at); got != e.other {
					t.Errorf("end %d: %v", i, got)
				}
			}
			path, why := p.choose(at)
			if path != tc.path || (why != nil) != (path == "tcp" && tc.mode == "auto") {
				t.Errorf("%s, %v", path, why)
			}
			if left := p.left(at); (left > 0) != (why != nil && p.unfit == nil) {
				t.Errorf("held for %v", left)
			}
		})
	}
}
