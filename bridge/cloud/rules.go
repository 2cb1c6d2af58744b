package cloud

import (
	"fmt"
	"strings"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Rules are what a platform forbids. A zero field is no rule. QoS 2 and a will are nowhere used.
type Rules struct {
	Name                       string // of the platform, for people
	KeepAliveMin, KeepAliveMax time.Duration
	ClientID                   int    // longest, bytes
	ClientIDMarks              string // that may stand in it beside letters and digits
	Topic, Levels              int    // longest, bytes, and the most levels
	TopicMarks                 string // that may stand in it beside letters, digits and /, a $ at its beginning only; empty: any
	Payload                    int    // largest, bytes
	Subscriptions              int    // the most at one time
	NoRetain                   bool
	Keys                       string // the configuration's keys to look at when the login is refused
}

// CheckClientID refuses a client id that the platform would not take.
func (r Rules) CheckClientID(id string) error {
	if r.ClientID > 0 && (len(id) > r.ClientID || !made(id, r.ClientIDMarks)) {
		return fmt.Errorf("the client id %q is none for %s, which takes up to %d letters, digits and %s", id, r.Name, r.ClientID, r.ClientIDMarks)
	}
	return nil
}

// CheckTopic refuses a topic, or a filter, that the platform would not take.
func (r Rules) CheckTopic(topic string) error {
	switch {
	case r.Topic > 0 && len(topic) > r.Topic:
		return fmt.Errorf("%q has %d characters, and %s takes topics of %d", topic, len(topic), r.Name, r.Topic)
	case r.Levels > 0 && strings.Count(topic, "/") >= r.Levels:
		return fmt.Errorf("%q has %d levels, and %s takes topics of %d", topic, strings.Count(topic, "/")+1, r.Name, r.Levels)
	case r.TopicMarks != "" && (strings.LastIndex(topic, "$") > 0 || !made(topic, r.TopicMarks+"/")):
		return fmt.Errorf("%q is no topic for %s, which takes letters, digits, / and %s, and $ at the beginning only", topic, r.Name, r.TopicMarks)
	}
	return nil
}

// Check refuses a message that the platform would not take.
func (r Rules) Check(m modems.Message) error {
	err := r.CheckTopic(m.Topic)
	switch {
	case err != nil:
	case r.Payload > 0 && len(m.Payload) > r.Payload:
		err = fmt.Errorf("the message has %d bytes, and %s takes %d", len(m.Payload), r.Name, r.Payload)
	case r.NoRetain && m.Retain:
		err = fmt.Errorf("%s keeps no messages for later subscribers; leave retain out", r.Name)
	default:
		return nil
	}
	return fmt.Errorf("%w: %w", modems.ErrMessage, err)
}

// made reports whether s consists of letters, digits and marks.
func made(s, marks string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune(marks, c))
	})
}
