package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems/modemsim"
)

// A kill between a prompt and its payload leaves the modem waiting for data: nothing of the next run may end in it.
func TestKill(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 60 * time.Millisecond})
	killed(t, r, max(10, kills()/10), 1300*time.Millisecond, 15*time.Millisecond) // about what the line carries
}

// As fast as this machine is.
func TestKillHost(t *testing.T) {
	t.Parallel()
	cloud, _, _ := mosquitto(t)
	killed(t, newHostRig(t, cloud), kills(), 400*time.Millisecond, 500*time.Microsecond)
}

// kills is how often the daemon is killed: scripts/kill.sh sets it.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("ATBRIDGE_KILLS")); err == nil {
		return n
	}
	return 12
}

// killed is kill -9, again and again, while messages go up: every message that the local broker has acknowledged
// arrives, unchanged, and no record of the queue is ever damaged.
func killed(t *testing.T, r *rig, kills int, within, pace time.Duration) {
	seed, err := strconv.ParseUint(os.Getenv("ATBRIDGE_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	atCloud := newTally()
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)

	acked := map[int]bool{}
	next := 0
	for kill := 0; kill <= kills; kill++ {
		r.start()
		if chance.IntN(4) > 0 { // else it is killed while it gets ready, too
			r.online()
		}
		house, err := client(t, r.local(), "sensor")
		if err != nil {
			t.Fatal(err)
		}
		if s, err := r.status(); err != nil || s.Queue.Damaged > 0 {
			t.Fatalf("after %d kills: %s, %v", kill, asJSON(s.Queue), err)
		}
		killAt := time.After(within/20 + time.Duration(chance.Int64N(int64(within))))
		if kill == kills {
			killAt = nil
		}
		next = publishUntil(t, house, killAt, pace, next, acked)
		if kill < kills {
			r.kill()
		}
		house.Disconnect(0)
	}
	eventually(t, "all that was acknowledged to arrive", 60*time.Second, func() bool { return len(missing(acked, atCloud)) == 0 })
	t.Logf("%d kills, %d published, %d acknowledged, %d arrived, %d of them again", kills, next, len(acked), len(atCloud.count), len(atCloud.order)-len(atCloud.count))
	if len(atCloud.garbage) > 0 {
		t.Errorf("changed on the way: %v", atCloud.garbage)
	}
	if len(acked) < 5*kills {
		t.Errorf("only %d messages were acknowledged: the test did not test much", len(acked))
	}
	r.stop()
}

// publishUntil publishes with a window until the moment comes (nil: 100 messages), and notes what was acknowledged.
func publishUntil(t *testing.T, c paho.Client, moment <-chan time.Time, every time.Duration, from int, acked map[int]bool) (next int) {
	t.Helper()
	type flight struct {
		n     int
		token paho.Token
	}
	var flying []flight
	settle := func(all bool) {
		for len(flying) > 0 {
			f := flying[0]
			if all {
				f.token.WaitTimeout(10 * time.Second)
			}
			select {
			case <-f.token.Done():
				if f.token.Error() == nil {
					acked[f.n] = true
				}
				flying = flying[1:]
			default:
				return
			}
		}
	}
	pace := time.NewTicker(every)
	defer pace.Stop()
	for n := from; ; n++ {
		if moment == nil && n == from+100 {
			settle(true)
			return n
		}
		flying = append(flying, flight{n, c.Publish("sensors/t", 1, false, payload(n))})
		settle(false)
		select {
		case <-moment:
			settle(false)
			return n + 1
		case <-pace.C:
		}
	}
}

func missing(acked map[int]bool, y *tally) (list []int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for n := range acked {
		if y.count[n] == 0 {
			list = append(list, n)
		}
	}
	return list
}
