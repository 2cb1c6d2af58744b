package modemtest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// Firmware whose AT+QMTPUB takes no length carries every payload but those that its data state would end in. These are
// refused before a byte is sent.
func TestCtrlZ(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		for what, faults := range map[string][]string{
			"alone": nil, "echoed": {"view"}, "two prompts": {"dup-prompt"}, "results before OK": {"early-urc"}, "prompt on its own line": {"prompt=crlf"},
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				cloud := newBroker(t, false)
				b := newBench(t, name, append(faults, "pub-ctrlz")...)
				m, s := b.session(cloud, modems.Options{})
				refused := 0
				for i, p := range slices.Concat(payloads, payloads) {
					up := modems.Message{Topic: "t", Payload: p, QoS: byte(i / len(payloads))}
					if !bytes.ContainsAny(p, "\x1a\x1b") {
						b.publish(s, up)
						cloud.want(up)
						continue
					}
					before := m.Counters().BytesOut
					if _, err := s.Publish(b.ctx, up); !errors.Is(err, modems.ErrMessage) {
						t.Errorf("%q: %v", p, err)
					}
					if after := m.Counters().BytesOut; after != before {
						t.Errorf("%q: %d bytes were sent", p, after-before)
					}
					refused++
				}
				if refused != 6 {
					t.Errorf("%d refused", refused)
				}
			})
		}
	})
}
