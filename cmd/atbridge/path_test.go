package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// A module without an MQTT stack, and one whose stack fails, end up on path tcp by themselves, and say why.
func TestFallsToTCP(t *testing.T) {
	for _, tc := range []struct{ model, fault, why string }{
		{"air724ug", "no-mqtt", "this firmware has no MQTT stack"},
		{"ec600", "no-mqtt", "this firmware has no MQTT stack"},
		{"nt35e-q", "no-mqtt", "this firmware has no MQTT stack"},
		{"air724ug", "open=767", "the module's own MQTT stack has failed 3 times in a row: "},
		{"ec600", "open=3", "the module's own MQTT stack has failed 3 times in a row: "},
		{"nt35e-q", "conn=2", "the module's own MQTT stack has failed 3 times in a row: "},
	} {
		t.Run(tc.model+" "+tc.fault, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, modemsim.Config{Model: tc.model, Baud: 460800, Faults: []string{tc.fault}})
			r.start()
			r.online()
			s, err := r.status()
			if err != nil || s.Path != "tcp" || !strings.HasPrefix(s.Reason, "path tcp: ") || !strings.Contains(s.Reason, tc.why) {
				t.Errorf("%v, path %s, reason %s", err, s.Path, s.Reason)
			}
			atCloud := newTally()
			collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
			publish(t, mustClient(t, r.local(), "sensor"), "sensors/a", 1)
			eventually(t, "the message", 10*time.Second, func() bool { return atCloud.distinct() == 1 })
			r.stop()
		})
	}
}

// In the middle of traffic comes a message that is too large for the module's stack: the whole session moves to path tcp,
// in order, nothing is lost, and nothing that was acknowledged comes again.
func TestTooLargeForNative(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "air724ug", Baud: 460800, RTT: 20 * time.Millisecond})
	r.start()
	r.online()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	var got []string
	arrived := make(chan struct{}, 1000)
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", func(_ string, p []byte) {
		got = append(got, string(p))
		arrived <- struct{}{}
	})
	house := mustClient(t, r.local(), "sensor")
	var sent []string
	for n := range 200 {
		p := payload(n)
		if n == 100 {
			p = large
		}
		sent = append(sent, string(p))
		house.Publish("sensors/a", 1, false, p)
	}
	for range sent {
		select {
		case <-arrived:
		case <-time.After(60 * time.Second):
			t.Fatalf("%d of %d messages have arrived", len(got), len(sent))
		}
	}
	for i := range sent {
		if got[i] != sent[i] {
			t.Fatalf("message %d is another than was sent, or comes again", i)
		}
	}
	s, err := r.status()
	if err != nil || s.Path != "tcp" || s.State != bridge.Online || s.Counters.PathSwitches != 1 || s.Queue.Poisoned != 0 ||
		!strings.HasPrefix(s.Reason, "path tcp: native is tried again at ") {
		t.Errorf("%v: %s", err, asJSON(s))
	}
	if why := "could not pass the module's own stack: 16000 bytes of payload; AT+MPUBEX takes 4100"; !strings.Contains(r.log.String(), why) {
		t.Errorf("the log lacks %q", why)
	}
	r.stop()
}
