package bridge

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// What can go round is looked for three times:
//
//   - in the configuration (Loop, CheckLoops), which is refused;
//   - when the modem has said its IMEI and names are filled in (Bridge.target): then there is no session, and status says why;
//   - at run time. A message that has come from the cloud never goes up again, whatever the routes say: the embedded
//     broker does not offer it, and at an existing one it is recognised when it comes back (echoes). So a loop is broken where it
//     closes, even one that has another bridge, or a rule in the cloud, as a part; Bridge.looped counts it.
//
// What cannot be recognised is a message that another program has taken off the local side and published itself.

// CheckLoops finds a route that feeds itself. one: the local broker and the one in the cloud are the same, so what is
// published on one side is on the other at once.
func CheckLoops(up, down Routes, one bool) error {
	if err := Loop(up, down); err != nil || !one {
		return err
	}
	all := Route{From: "#", To: "#"}
	for _, way := range []struct{ there, back Routes }{{up, down}, {down, up}} {
		if err := Loop(way.there, append(slices.Clone(way.back), all)); err != nil {
			return fmt.Errorf("local.broker and cloud.broker are one and the same: %w", err)
		}
	}
	return nil
}

// target is where messages go, once names are filled in and nothing goes round.
func (b *Bridge) target(id modems.Identity) (Target, error) {
	t, err := b.cfg.Target(id)
	if err != nil {
		return t, targetError{err}
	}
	up := slices.Clone(*b.up.Load())
	for i := range up {
		if t.Topic != nil {
			up[i].To = t.Topic(up[i].To)
		}
	}
	one := b.cfg.Local.Broker != nil && slices.ContainsFunc(t.Brokers, func(c modems.MQTTConfig) bool { return SameBroker(c, *b.cfg.Local.Broker) })
	if err := CheckLoops(up, t.Down, one); err != nil {
		return t, targetError{fmt.Errorf("routes: %w", err)}
	}
	return t, nil
}

// SameBroker compares addresses; that two names mean one machine it does not know.
func SameBroker(a, b modems.MQTTConfig) bool {
	local := func(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }
	return a.Port == b.Port && (a.Host == b.Host || local(a.Host) && local(b.Host))
}

// loopGuard says once of every pair of routes, and counts each time, that a message would have gone up again.
type loopGuard struct {
	mu   sync.Mutex
	said map[[2]Route]bool
}

// looped is called with a message that the down route d has brought to the local topic.
func (b *Bridge) looped(topic string, d Route) {
	_, u, ok := b.up.Load().Map(topic)
	if !ok {
		return
	}
	b.loops.Add(1)
	b.guard.mu.Lock()
	defer b.guard.mu.Unlock()
	pair := [2]Route{d, u}
	if b.guard.said[pair] {
		return
	}
	if b.guard.said == nil {
		b.guard.said = map[[2]Route]bool{}
	}
	b.guard.said[pair] = true
	b.log.Warn("a message from the cloud has a topic that an up route takes; it is not sent up again, nor is any other like it",
		"topic", topic, "down_from", d.From, "down_to", d.To, "up_from", u.From, "up_to", u.To)
}

// echoes are the messages that an existing broker will hand back. Each is swallowed once. One that does not come within
// echoPatience is no longer waited for: better a message too many than one lost that only looks like it.
type echoes struct {
	mu       sync.Mutex
	expected map[[sha256.Size]byte]echo
}

type echo struct {
	n  int
	at time.Time
}

const (
	echoPatience = 30 * time.Second
	maxEchoes    = 4096
)

func echoKey(m modems.Message) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(m.Topic+"\x00"), m.Payload...))
}

func (e *echoes) expect(m modems.Message) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.expected == nil {
		e.expected = map[[sha256.Size]byte]echo{}
	}
	if len(e.expected) >= maxEchoes {
		for key, old := range e.expected {
			if now.Sub(old.at) > echoPatience {
				delete(e.expected, key)
			}
		}
	}
	if len(e.expected) < maxEchoes {
		key := echoKey(m)
		e.expected[key] = echo{e.expected[key].n + 1, now}
	}
}

// returned reports whether m is one that was expected.
func (e *echoes) returned(m modems.Message) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.expected) == 0 {
		return false
	}
	key := echoKey(m)
	old, ok := e.expected[key]
	if old.n--; old.n <= 0 {
		delete(e.expected, key)
	} else {
		e.expected[key] = old
	}
	return ok && time.Since(old.at) <= echoPatience
}

// extend waits for all that much longer: for so long nothing could come back.
func (e *echoes) extend(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, old := range e.expected {
		old.at = old.at.Add(d)
		e.expected[key] = old
	}
}
