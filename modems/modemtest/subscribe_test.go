package modemtest

import (
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// What is unsubscribed from comes no more, however the module spells its result; the rest still comes.
func TestUnsubscribe(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		for what, faults := range map[string][]string{
			"as documented":  nil,
			"UNSUNSUB":       {"unsub=UNSUNSUB"},
			"UNSUBUNSUB":     {"unsub=UNSUBUNSUB"},
			"UNSUB":          {"unsub=UNSUB"},
			"results before": {"early-urc"},
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				cloud := newBroker(t, false)
				b := newBench(t, name, faults...)
				_, s := b.session(cloud, modems.Options{})
				for _, filter := range []string{"gone/#", "stays/#"} {
					if err := s.Subscribe(b.ctx, filter, 1); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Unsubscribe(b.ctx, "gone/#"); err != nil {
					t.Fatal(err)
				}
				cloud.send(modems.Message{Topic: "gone/a", Payload: []byte("x"), QoS: 1})
				cloud.send(modems.Message{Topic: "stays/a", Payload: []byte("y"), QoS: 1})
				d, err := s.Receive(b.ctx)
				if err != nil {
					t.Fatal(err)
				}
				if m := d.Message(); m.Topic != "stays/a" {
					t.Errorf("received %s", m.Topic)
				}
			})
		}
	})
}
