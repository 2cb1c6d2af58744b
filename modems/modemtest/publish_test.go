package modemtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// Every third prompt is lost. The module leaves its data state by itself, the message is refused, and the next try
// passes: nothing is published that was never sent, and the session stands.
func TestLostPrompts(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		excuse(t, name, "lost prompts")
		cloud := newBroker(t, false)
		b := newBench(t, name, "drop-prompt=3")
		_, s := b.session(cloud, modems.Options{})
		refused := 0
		for i := range 6 {
			m := modems.Message{Topic: "t", Payload: fmt.Append(nil, "message ", i), QoS: 1}
			r, err := s.Publish(b.ctx, m)
			if errors.Is(err, modems.ErrRefused) {
				refused++
				r, err = s.Publish(b.ctx, m)
			}
			if err != nil {
				t.Fatal(err)
			}
			if out := r.Wait(b.ctx); out != modems.Acked {
				t.Fatal(out)
			}
			cloud.want(m)
		}
		if refused == 0 || s.Err() != nil {
			t.Errorf("%d refused; %v", refused, s.Err())
		}
	})
}

// A publish that the module reports as failed is no delivery.
func TestFailedPublish(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		b := newBench(t, name, "pub-fail=2")
		_, s := b.session(newBroker(t, false), modems.Options{})
		for i, want := range []modems.Outcome{modems.Acked, modems.Failed, modems.Acked, modems.Failed} {
			r, err := s.Publish(b.ctx, modems.Message{Topic: "t", Payload: []byte("x"), QoS: 1})
			if errors.Is(err, modems.ErrRefused) && want == modems.Failed {
				continue // it said so at once
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Wait(b.ctx); got != want {
				t.Errorf("publish %d: %v, want %v", i, got, want)
			}
		}
	})
}

// A result that leaves open whether the broker has the message is neither an acknowledgement nor a failure.
func TestUncertainPublish(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		b := newBench(t, name, "uncertain=2")
		_, s := b.session(newBroker(t, false), modems.Options{})
		for i, want := range []modems.Outcome{modems.Acked, modems.Unknown, modems.Acked} {
			r, err := s.Publish(b.ctx, modems.Message{Topic: "t", Payload: []byte("x"), QoS: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Wait(b.ctx); got != want {
				t.Errorf("publish %d: %v, want %v", i, got, want)
			}
		}
	})
}
