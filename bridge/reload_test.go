package bridge

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// A route that is new after SIGHUP delivers what the broker has retained for it, and sends at once.
func TestNewRouteGetsRetained(t *testing.T) {
	t.Parallel()
	const n = 20
	c := newCloud(t)
	var down atomic.Pointer[Routes]
	down.Store(&Routes{})
	b := overModem(t, modemsim.Config{Model: "ec600"}, time.Minute, c, func(cfg *Config, _ *modemsim.Sim) {
		target := cfg.Target
		cfg.Path, cfg.Modem = "host", nil
		cfg.Target = func(id modems.Identity) (Target, error) {
			t, err := target(id)
			t.Down = *down.Load()
			return t, err
		}
	})
	b.running(t)
	until(t, "a session", 20*time.Second, func() bool { return b.Status().State == Online })
	other := dialRaw(t, c.addr, "other", true)
	var fresh Routes
	for i := range n {
		topic := fmt.Sprintf("r/%d", i)
		m := publishPacket(topic, "x", 1, uint16(i+1))
		m.Retain = true
		other.send(m)
		expect[*packets.PubackPacket](other)
		fresh = append(fresh, Route{From: topic, To: "down/" + topic, QoS: 1})
	}
	down.Store(&fresh)
	b.SetRoutes(Routes{{From: "up/#", To: "up/#", QoS: 1}})
	until(t, "the retained messages", 20*time.Second, func() bool { return b.Status().Counters.DownReceived >= n })
	until(t, "all of them", 5*time.Second, func() bool { return b.Status().Counters.DownDelivered == n })
}

// Who listens for a moment does not lower the QoS of the daemon's own subscription.
func TestAtLeast(t *testing.T) {
	routes := Routes{{From: "a/#", QoS: 1}, {From: "b", QoS: 0}}
	for filter, want := range map[string]byte{"a/#": 1, "b": 0, "a/b": 0} {
		if got := routes.atLeast(filter, 0); got != want {
			t.Errorf("%s: %d", filter, got)
		}
	}
}
