package modemtest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// AT+MPUBEX and AT+MPUB have limits of their own; what the firmware says of the first counts.
func TestAirLimits(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		faults []string
		limit  int
	}{
		"as documented":        {nil, 4100},
		"the firmware says":    {[]string{"mpubex-max=3000"}, 3000},
		"with blanks":          {[]string{"mpubex-max=3000", "spaces"}, 3000},
		"no counted publish":   {[]string{"no-mpubex"}, 2384},
		"blanks, and no range": {[]string{"spaces"}, 4100},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cloud := newBroker(t, false)
			b := newBench(t, "air724ug", tc.faults...)
			_, s := b.session(cloud, modems.Options{})
			if got := s.Limits().Payload; got != tc.limit {
				t.Errorf("%d bytes, want %d", got, tc.limit)
			}
			most := modems.Message{Topic: "t", Payload: bytes.Repeat([]byte("x"), tc.limit), QoS: 1}
			b.publish(s, most)
			cloud.want(most)
			most.Payload = append(most.Payload, 'x')
			if _, err := s.Publish(b.ctx, most); !errors.Is(err, modems.ErrMessage) {
				t.Errorf("one byte more: %v", err)
			}
		})
	}
}
