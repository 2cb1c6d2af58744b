package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems/modemsim"
)

// trip is a way for messages to take.
type trip struct {
	sim    modemsim.Config
	path   string
	secure bool // TLS on the host, with an authority of our own
}

// Messages go up and commands come down at the same time, at QoS 1, with payloads of every byte value: none missing,
// none changed, none twice, in order, and the line as clean as a line can be.
func TestUpAndDown(t *testing.T) {
	for name, way := range map[string]trip{
		"native": {modemsim.Config{Model: "ec600", Baud: 460800, RTT: 20 * time.Millisecond}, "native", false},
		"tcp":    {modemsim.Config{Model: "air724ug", Baud: 460800, RTT: 20 * time.Millisecond}, "tcp", false},
		"TLS":    {modemsim.Config{Model: "air724ug", Baud: 460800, RTT: 20 * time.Millisecond}, "tcp", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upAndDown(t, way)
		})
	}
}

// withoutSockets are the modules whose TCP commands nobody knows.
var withoutSockets = map[string]bool{"nt35e": true}

// TestConformance does the same for every simulated module on every path, at the rate that modules are delivered with. It
// takes minutes, so scripts/conformance.sh asks for it.
func TestConformance(t *testing.T) {
	if os.Getenv("ATBRIDGE_CONFORMANCE") == "" {
		t.Skip("it takes minutes; scripts/conformance.sh runs it")
	}
	for _, model := range modemsim.Models() {
		for _, way := range []trip{{path: "native"}, {path: "tcp"}, {path: "tcp", secure: true}} {
			if way.path == "tcp" && withoutSockets[model] {
				continue
			}
			way.sim = modemsim.Config{Model: model, Baud: 115200, RTT: 20 * time.Millisecond}
			t.Run(strings.ReplaceAll(way.name(), " ", "-"), func(t *testing.T) { upAndDown(t, way) })
		}
	}
}

func (w trip) name() string {
	name := w.sim.Model + " " + w.path
	if w.secure {
		name += " TLS"
	}
	return name
}

func upAndDown(t *testing.T, way trip) {
	const up, down = 1000, 200
	r := newRig(t, way.sim)
	r.take(way.path)
	if way.secure {
		r.secure()
	}
	r.start()
	r.online()
	atCloud, atHouse := newTally(), newTally()
	cloud, house := mustClient(t, r.cloud, "observer"), mustClient(t, r.local(), "sensor")
	collect(t, cloud, "site7/sensors/#", atCloud.got)
	collect(t, house, "commands/#", atHouse.got)

	start := time.Now()
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := range down {
			publish(t, cloud, "site7/commands/lamp", n)
		}
	})
	var tokens []paho.Token
	for n := range up {
		tokens = append(tokens, house.Publish(fmt.Sprintf("sensors/t%d", n%7), 1, false, payload(n)))
	}
	for n, token := range tokens {
		if !token.WaitTimeout(60*time.Second) || token.Error() != nil {
			t.Fatalf("message %d was not acknowledged: %v", n, token.Error())
		}
	}
	sending.Wait()
	eventually(t, "all to arrive", 3*time.Minute, func() bool { return atCloud.distinct() == up && atHouse.distinct() == down })
	took := time.Since(start)
	for name, y := range map[string]*tally{"up": atCloud, "down": atHouse} {
		if len(y.garbage) > 0 {
			t.Errorf("%s: changed: %v", name, y.garbage)
		}
		for i, n := range y.order {
			if i != n {
				t.Errorf("%s: message %d came in place of %d", name, n, i)
				break
			}
		}
	}
	eventually(t, "the queue to be empty", 10*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Queue.Messages == 0
	})
	s, err := r.status()
	if err != nil {
		t.Fatal(err)
	}
	if s.Path != way.path {
		t.Errorf("path %s", s.Path)
	}
	if l := s.Line; l.Timeouts+l.StaleAnswers+l.UnexpectedLines+l.Resyncs+l.Overruns > 0 {
		t.Errorf("the line was not clean: %s", asJSON(l))
	}
	t.Logf("| %s | %d of %d | %d of %d | %d | %d | %.1f s |", way.name(), atCloud.distinct(), up, atHouse.distinct(), down,
		len(atCloud.garbage)+len(atHouse.garbage), len(atCloud.order)-up+len(atHouse.order)-down, took.Seconds())
	if c := s.Counters; c.UpAccepted != up || c.UpDelivered != up || c.DownReceived != down || c.DownDelivered != down {
		t.Errorf("counters: %s", asJSON(c))
	}
	r.stop()
}
