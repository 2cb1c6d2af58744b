package modemtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// BenchmarkNative publishes at QoS 1 with 100 bytes of payload and a topic of 34 through the simulated EC600 at 115200
// baud, latency none, and reports the rate as a share of what the line allows: command line, prompt, payload and OK
// are 171 bytes, and no more than the window is in flight.
//
// At 60 ms both bounds nearly coincide, and the simulator prints no result URC while it takes a payload: a result that
// falls there comes 1.7 ms after the next OK, and its place in the window with it.
func BenchmarkNative(b *testing.B) {
	for name, rtt := range map[string]time.Duration{"0ms": 0, "60ms": 60 * time.Millisecond, "800ms": 800 * time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			cloud := newBroker(b, false)
			sim, err := modemsim.Start(modemsim.Config{Model: "ec600", Baud: 115200, RTT: rtt})
			if err != nil {
				b.Fatal(err)
			}
			defer sim.Close()
			port, err := tty.Open(sim.Path(), 115200)
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			m, err := modems.Attach(ctx, port, modems.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			if err := m.Online(ctx); err != nil {
				b.Fatal(err)
			}
			s, err := m.DialMQTT(ctx, cloud.config())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(ctx)
			msg := modems.Message{Topic: strings.Repeat("t", 34), Payload: make([]byte, 100), QoS: 1}
			const bytes = 171
			one := bytes / 11520.0
			bound := min(1/one, float64(s.Limits().Window)/(rtt.Seconds()+one))
			var last modems.Receipt
			start := time.Now()
			n := 0
			for b.Loop() {
				r, err := s.Publish(ctx, msg)
				if err != nil {
					b.Fatal(err)
				}
				last = r
				n++
			}
			took := time.Since(start)
			if last.Wait(ctx) != modems.Acked {
				b.Fatal(s.Err())
			}
			b.ReportMetric(100*float64(n)/took.Seconds()/bound, "%ofbound")
			b.ReportMetric(float64(n)/took.Seconds(), "msg/s")
		})
	}
}
