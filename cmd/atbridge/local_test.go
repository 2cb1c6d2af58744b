package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// newDesk is a rig without a modem: path host, and a real broker as the cloud.
func newDesk(t *testing.T, local string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: new(syncBuffer)}
	r.cloud, r.tls, r.ca = mosquitto(t)
	r.file = filepath.Join(r.dir, "atbridge.yaml")
	write(t, r.file, fmt.Sprintf(`path: {mode: host}
cloud: {broker: "mqtt://%s", client_id: site7}
local: {%s}
routes:
  up:   [{from: "sensors/#", to: "site7/sensors/#"}]
  down: [{from: "site7/commands/#", to: "commands/#"}]
queue: {dir: %s}
status: {socket: %s}
`, r.cloud, local, filepath.Join(r.dir, "queue"), filepath.Join(r.dir, "sock")), 0o600)
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", r.log.tail(6000))
		}
	})
	return r
}

// lasting connects with a session that lasts; its messages go to got.
func lasting(t *testing.T, addr, id string, got func(paho.Message)) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetProtocolVersion(4).SetAutoReconnect(false).
		SetCleanSession(false).SetOrderMatters(true).SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { got(m) }))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal("connect:", token.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// kill -9, again and again, while commands come down: what has been acknowledged to the cloud reaches a local client
// whose session lasts, though it is away most of the time.
func TestKillDown(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 2))
	r := newDesk(t, `listen: "127.0.0.1:0"`)
	app := mustClient(t, r.cloud, "app")
	r.start()
	r.online()
	c := lasting(t, r.local(), "lamp", func(paho.Message) {})
	if token := c.Subscribe("commands/#", 1, nil); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	c.Disconnect(100)
	const rounds, each = 8, 40
	for round := range rounds {
		for i := range each {
			publish(t, app, "site7/commands/lamp", round*each+i)
			if i == each/2 {
				daemon := r.daemon.Process
				time.AfterFunc(time.Duration(chance.IntN(30))*time.Millisecond, func() { daemon.Kill() })
			}
		}
		r.kill()
		r.start()
		r.online()
	}
	atLamp := newTally()
	lasting(t, r.local(), "lamp", func(m paho.Message) { atLamp.got(m.Topic(), m.Payload()) })
	eventually(t, "all commands to arrive", 60*time.Second, func() bool { return atLamp.distinct() == rounds*each })
	last := -1
	for _, n := range atLamp.order {
		if n > last+1 {
			t.Fatalf("%d comes after %d", n, last)
		}
		last = max(last, n)
	}
	t.Logf("%d commands, %d of them twice", rounds*each, len(atLamp.order)-rounds*each)
	if len(atLamp.garbage) > 0 {
		t.Errorf("changed on the way: %v", atLamp.garbage)
	}
	r.stop()
}

// The same upwards with an existing local broker: what it has acknowledged to a publisher reaches the cloud, though the
// daemon is killed and is away for a while.
func TestKillWithLocalBroker(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 3))
	house, _, _ := mosquitto(t)
	r := newDesk(t, `broker: "mqtt://`+house+`"`)
	atCloud, atHouse := newTally(), newTally()
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
	collect(t, mustClient(t, house, "lamp"), "commands/#", atHouse.got)
	r.start()
	r.online()
	eventually(t, "the local broker", 10*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Local.Connected && s.Local.Broker == house
	})
	sensor, app := mustClient(t, house, "sensor"), mustClient(t, r.cloud, "app")
	const rounds, each = 6, 60
	for round := range rounds {
		daemon := r.daemon.Process
		time.AfterFunc(time.Duration(chance.IntN(100))*time.Millisecond, func() { daemon.Kill() })
		for i := range each {
			publish(t, sensor, "sensors/a", round*each+i)
			publish(t, app, "site7/commands/a", round*each+i)
		}
		r.kill()
		r.start()
	}
	for what, y := range map[string]*tally{"cloud": atCloud, "house": atHouse} {
		eventually(t, "all to reach the "+what, 60*time.Second, func() bool { return y.distinct() == rounds*each })
		last := -1
		y.mu.Lock()
		for _, n := range y.order {
			if n > last+1 {
				t.Errorf("%s: %d comes after %d", what, n, last)
			}
			last = max(last, n)
		}
		t.Logf("%s: %d messages, %d of them twice", what, rounds*each, len(y.order)-rounds*each)
		y.mu.Unlock()
	}
	r.stop()
}
