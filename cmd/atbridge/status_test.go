package main

import (
	"strings"
	"testing"

	"github.com/atbridge/atbridge/bridge"
)

// Before the first session there is no broker to show.
func TestStatusOfNoSession(t *testing.T) {
	for broker, want := range map[string]int{"": 0, "b:1883": 1} {
		var out strings.Builder
		s := bridge.Status{State: bridge.Attaching, Cloud: bridge.CloudStatus{Broker: broker}}
		if err := printStatus(&out, s, false, false); err != nil || strings.Count(out.String(), "\nbroker ") != want || !strings.HasPrefix(out.String(), "state ") {
			t.Errorf("%v, broker %q:\n%s", err, broker, &out)
		}
	}
}
