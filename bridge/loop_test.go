package bridge

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"pgregory.net/rapid"

	"github.com/atbridge/atbridge/modems"
)

func TestCheckLoops(t *testing.T) {
	for _, c := range []struct {
		name     string
		up, down Routes
		one      bool
		loops    bool
	}{
		{"two brokers", Routes{{From: "#", To: "site/#"}}, nil, false, false},
		{"one broker", Routes{{From: "#", To: "site/#"}}, nil, true, true},
		{"one broker, apart", Routes{{From: "house/#", To: "site/#"}}, Routes{{From: "cmd/#", To: "house-cmd/#"}}, true, false},
		{"one broker, wildcards", Routes{{From: "+/temp", To: "site/+"}}, nil, true, true},
		{"one broker, down alone", nil, Routes{{From: "cmd/#", To: "cmd/out/#"}}, true, true},
		{"one broker, back and forth", Routes{{From: "a/#", To: "b/#"}}, Routes{{From: "b/#", To: "a/#"}}, true, true},
		{"echo", Routes{{From: "#", To: "site/#"}}, Routes{{From: "site/cmd/#", To: "cmd/#"}}, false, true},
	} {
		if err := CheckLoops(c.up, c.down, c.one); (err != nil) != c.loops {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestFilters: what is subscribed to is what the routes take, and no filter covers another.
func TestFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rs Routes
		for range rapid.IntRange(1, 4).Draw(t, "routes") {
			from := drawFilter.Draw(t, "from")
			rs = append(rs, Route{From: from, To: strings.Join(append([]string{"x"}, wildcards(from)...), "/")})
		}
		topic := drawTopic.Draw(t, "topic")
		_, _, taken := rs.Map(topic)
		matched := 0
		filters := rs.filters()
		for _, f := range filters {
			if _, _, ok := (Routes{{From: f, To: "x/" + f}}).Map(topic); ok {
				matched++
			}
		}
		if taken != (matched > 0) {
			t.Fatalf("routes %v, filters %q: %q is taken by the routes: %v", rs, filters, topic, taken)
		}
		for i, a := range filters {
			for j, b := range filters {
				if i != j && covers(a, b) {
					t.Fatalf("%q covers %q", a, b)
				}
			}
		}
	})
}

// overHost is a bridge on path host from a local side to a broker.
func overHost(t *testing.T, cloud string, local LocalConfig, up, down Routes, log *lockedBuffer) *Bridge {
	t.Helper()
	b, err := New(Config{
		Path: "host",
		Up:   up,
		Target: func(modems.Identity) (Target, error) {
			return Target{
				Brokers: []modems.MQTTConfig{at(t, cloud, "site7")}, Down: down,
				Topic: func(topic string) string { return strings.ReplaceAll(topic, "{name}", "site7") },
			}, nil
		},
		Local: local,
		Queue: OutboxConfig{Dir: filepath.Join(t.TempDir(), "queue")},
		Log:   slog.New(slog.NewTextHandler(log, nil)),
	})
	must(t, err)
	return b
}

func at(t *testing.T, addr, client string) modems.MQTTConfig {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	return modems.MQTTConfig{Host: host, Port: n, ClientID: client, KeepAlive: time.Minute}
}

func (b *Bridge) online(t *testing.T) {
	t.Helper()
	until(t, "the bridge to be online", 3*patience, func() bool { return b.Status().State == Online })
}

// TestLoopInTheCloud: a rule in the cloud sends back what has gone up, under a topic that goes up again. No
// configuration of ours shows it; the message goes up once.
func TestLoopInTheCloud(t *testing.T) {
	for _, side := range []string{"embedded", "broker"} {
		t.Run(side, func(t *testing.T) {
			rule := newMosquitto(t) // the cloud
			local := LocalConfig{Listen: "127.0.0.1:0"}
			if side == "broker" {
				cfg := at(t, newMosquitto(t).addr, "bridge")
				local = LocalConfig{Broker: &cfg}
			}
			log := new(lockedBuffer)
			b := overHost(t, rule.addr, local, Routes{{From: "sensors/#", To: "site/#", QoS: 1}}, Routes{{From: "back/#", To: "sensors/#", QoS: 1}}, log)
			b.running(t)
			b.online(t)
			until(t, "the local side", patience, func() bool { return b.Status().Local.Connected })
			cloud := dialRaw(t, rule.addr, "rule", true)
			cloud.subscribe("site/#", 1)
			house := dialRaw(t, b.LocalAddr(), "house", true)
			house.subscribe("sensors/#", 1)
			for i := range 3 {
				house.publish("sensors/a", strconv.Itoa(i), 1)
				acknowledged, seen := false, 0
				for !acknowledged || seen < 1 {
					switch p := house.any().(type) {
					case *packets.PubackPacket:
						acknowledged = true
					case *packets.PublishPacket:
						seen++
						t.Logf("house: %s", p.Payload)
					}
				}
				p := cloud.take()
				if p.TopicName != "site/a" || string(p.Payload) != strconv.Itoa(i) {
					t.Fatalf("the cloud gets %v", p)
				}
				cloud.publish("back/a", string(p.Payload), 1)
				expect[*packets.PubackPacket](cloud)
				if p := house.take(); string(p.Payload) != strconv.Itoa(i) {
					t.Errorf("the house gets %v", p)
				}
			}
			until(t, "the loops to be counted", patience, func() bool { return b.Status().Counters.Loops == 3 })
			house.publish("sensors/a", "end", 1) // goes up behind whatever is on its way
			if p := cloud.take(); string(p.Payload) != "end" {
				t.Errorf("it goes round: %s", p.Payload)
			}
			if n := strings.Count(log.String(), "not sent up again"); n != 1 || !strings.Contains(log.String(), "down_from=back/# down_to=sensors/# up_from=sensors/# up_to=site/#") {
				t.Errorf("the log says so %d times:\n%s", n, log)
			}
		})
	}
}

// TestLoopWithAName: what only shows when names are filled in keeps the bridge from going online, and status says why.
func TestLoopWithAName(t *testing.T) {
	cloud := newCloud(t)
	b := overHost(t, cloud.addr, LocalConfig{Listen: "127.0.0.1:0"}, Routes{{From: "a/#", To: "{name}/#"}}, Routes{{From: "site7/#", To: "a/#"}}, new(lockedBuffer))
	b.running(t)
	until(t, "the reason", patience, func() bool {
		s := b.Status()
		return s.State == BackingOff && strings.Contains(s.Reason, "feeds itself") && strings.Contains(s.Reason, "site7/#")
	})
}

// TestDownWaitsForTheLocalSide: while the local broker is away, the one in the cloud keeps the messages; and so it does
// when the bridge is stopped meanwhile.
func TestDownWaitsForTheLocalSide(t *testing.T) {
	cloud, house := newMosquitto(t), newMosquitto(t)
	local := at(t, house.addr, "bridge")
	down := Routes{{From: "cmd/#", To: "cmd/#", QoS: 1}}
	start := func() (stop func()) {
		b := overHost(t, cloud.addr, LocalConfig{Broker: &local}, nil, down, new(lockedBuffer))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		b.online(t)
		return func() { cancel(); must(t, receive(t, ended, "the end")) }
	}
	stop := start()
	sub := dialRaw(t, house.addr, "sub", false)
	sub.subscribe("cmd/#", 1)
	house.save()
	house.kill()
	publishMany(dialRaw(t, cloud.addr, "app", true), "cmd/a", 0, 30)
	stop()
	stop = start()
	publishMany(dialRaw(t, cloud.addr, "app", true), "cmd/a", 30, 60)
	house.start()
	sub = dialRaw(t, house.addr, "sub", false)
	got := map[string]bool{}
	for last := -1; len(got) < 60; {
		p := sub.take()
		n, err := strconv.Atoi(string(p.Payload))
		must(t, err)
		if n > last+1 {
			t.Fatalf("%d comes after %d", n, last)
		}
		last = max(last, n)
		got[string(p.Payload)] = true
	}
	stop()
}
