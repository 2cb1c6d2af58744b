package main

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems"
)

// conventions are what a platform wants of messages beyond MQTT: frames, no retain, QoS 0 where it knows no other. The
// pumps ask them; target replaces them for each session, when the names are known.
type conventions struct {
	log   *slog.Logger
	alink *cloud.Alink
	rules atomic.Pointer[messageRules]
}

type messageRules struct {
	platform cloud.Rules
	rrpc     bool          // answers on rrpc/response go with QoS 0
	up, down bridge.Routes // the topics on the platform that have frames, each from itself to itself
}

func newConventions(log *slog.Logger) *conventions {
	v := &conventions{log: log, alink: cloud.NewAlink()}
	v.rules.Store(&messageRules{})
	return v
}

// use takes the routes of c with their names filled.
func (v *conventions) use(c *Config, p cloud.Platform, vals map[string]string) error {
	f := filler{vals: vals}
	rules := messageRules{platform: p.Rules(), rrpc: c.Cloud.Aliyun != nil}
	framed := func(topic string) bridge.Route {
		topic = f.fill("routes", topic)
		return bridge.Route{From: topic, To: topic}
	}
	for _, r := range c.Routes.Up {
		if r.Wrap != "" {
			rules.up = append(rules.up, framed(r.To))
		}
	}
	for _, r := range c.Routes.Down {
		if r.Wrap != "" {
			rules.down = append(rules.down, framed(r.From))
		}
	}
	v.rules.Store(&rules)
	return f.err
}

func covers(routes bridge.Routes, topic string) bool {
	_, _, ok := routes.Map(topic)
	return ok
}

// outgoing is bridge.Config.Outgoing.
func (v *conventions) outgoing(id uint64, m *modems.Message) error {
	rules := v.rules.Load()
	if rules.platform.NoRetain {
		m.Retain = false
	}
	if rules.rrpc && strings.HasPrefix(m.Topic, "/sys/") && strings.Contains(m.Topic, "/rrpc/response/") {
		m.QoS = 0
	}
	if !covers(rules.up, m.Topic) {
		return rules.platform.Check(*m)
	}
	frame, err := v.alink.Wrap(m.Topic, id, m.Payload, covers(rules.down, m.Topic+"_reply"))
	if err != nil {
		return fmt.Errorf("%w: %w", modems.ErrMessage, err)
	}
	m.Payload = frame
	return rules.platform.Check(*m)
}

// incoming is bridge.Config.Incoming. What is no frame comes as it is: somebody has sent it for a reason.
func (v *conventions) incoming(from string, m *modems.Message) (answer modems.Message, err error) {
	rules := v.rules.Load()
	if !covers(rules.down, from) {
		return answer, nil
	}
	u, err := v.alink.Unwrap(from, m.Payload, func(replyTo string) bool { return covers(rules.up, replyTo) })
	if err != nil {
		v.log.Warn("a message comes without its frame", "topic", from, "why", err)
		return answer, nil
	}
	if u.Failed != nil {
		v.log.Warn("a message was delivered and not taken", "why", u.Failed)
	}
	m.Payload = u.Payload
	if u.ReplyTo != "" {
		answer = modems.Message{Topic: u.ReplyTo, Payload: u.Reply, QoS: 1}
	}
	return answer, nil
}
