package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/atbridge/atbridge/bridge/mqtt"
)

// Route maps the topics of one side to topics of the other. What + and # stand for in From is carried over, by
// position, to the wildcards of To.
type Route struct {
	From, To string
	QoS      byte
	Priority string // "normal" (or "") or "high"
}

// Routes are tried in order; the first that matches wins.
type Routes []Route

// maxString is the longest string MQTT can carry: its length is two bytes [MQTT-1.5.3].
const maxString = 65535

// Validate says in one sentence what is wrong with r.
func (r Route) Validate() error {
	if err := checkFilter(r.From); err != nil {
		return fmt.Errorf("route from %q: %w", r.From, err)
	}
	if err := checkFilter(r.To); err != nil {
		return fmt.Errorf("route to %q: %w", r.To, err)
	}
	if !slices.Equal(wildcards(r.From), wildcards(r.To)) {
		return fmt.Errorf("route from %q to %q: both need the same wildcards in the same order, because + and # carry over by position", r.From, r.To)
	}
	switch {
	case r.QoS == 2:
		return fmt.Errorf("route from %q: qos 2 is not supported, use 1: every message is stored until the broker has acknowledged it", r.From)
	case r.QoS > 2:
		return fmt.Errorf("route from %q: qos must be 0 or 1", r.From)
	}
	switch r.Priority {
	case "", "normal", "high":
		return nil
	}
	return fmt.Errorf("route from %q: priority must be normal or high, not %q", r.From, r.Priority)
}

// checkFilter says what is wrong with a filter, or a topic, that is sent to a broker.
func checkFilter(filter string) error {
	if err := checkGrammar(filter); err != nil {
		return err
	}
	return mqtt.CheckText(filter)
}

// checkGrammar is that of topic filters: MQTT 3.1.1, section 4.7.
func checkGrammar(filter string) error {
	switch {
	case filter == "": // [MQTT-4.7.3-1]
		return errors.New("a topic needs at least one character")
	case len(filter) > maxString: // [MQTT-4.7.3-3]
		return fmt.Errorf("a topic has at most %d bytes", maxString)
	case strings.ContainsRune(filter, 0): // [MQTT-4.7.3-2]
		return errors.New("a topic cannot contain the null character")
	case !utf8.ValidString(filter): // [MQTT-1.5.3-1]
		return errors.New("a topic must be UTF-8 text")
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case strings.Contains(level, "#") && (level != "#" || i < len(levels)-1): // [MQTT-4.7.1-2]
			return errors.New("# stands alone as the last level")
		case strings.Contains(level, "+") && level != "+": // [MQTT-4.7.1-3]
			return errors.New("+ stands alone in its level")
		}
	}
	return nil
}

func wildcards(filter string) []string {
	var found []string
	for level := range strings.SplitSeq(filter, "/") {
		if level == "+" || level == "#" {
			found = append(found, level)
		}
	}
	return found
}

// Map returns where topic goes and the route that says so. No route may match: then the topic stays where it is.
// A route that would leave nothing of the topic (from "a/#" to "#", topic "a") does not match it.
func (rs Routes) Map(topic string) (to string, r Route, ok bool) {
	if strings.ContainsAny(topic, "+#") { // a topic name has no wildcards [MQTT-3.3.2-2]
		return "", Route{}, false
	}
	for _, r := range rs {
		if to, ok := r.apply(topic); ok {
			return to, r, true
		}
	}
	return "", Route{}, false
}

// apply maps pattern, a topic or a filter, as far as r.From covers it.
func (r Route) apply(pattern string) (string, bool) {
	bound, ok := overlap(strings.Split(pattern, "/"), strings.Split(r.From, "/"))
	if !ok {
		return "", false
	}
	var out []string
	for level := range strings.SplitSeq(r.To, "/") {
		if level == "+" || level == "#" {
			out = append(out, bound[0]...)
			bound = bound[1:]
			continue
		}
		out = append(out, level)
	}
	to := strings.Join(out, "/")
	return to, to != ""
}

// overlap reports whether some topic matches both patterns, and which part of a each wildcard of b stands for.
// A topic without wildcards is a pattern too: then this is the match of MQTT 3.1.1, section 4.7.
func overlap(a, b []string) (bound [][]string, ok bool) {
	// "The Server MUST NOT match Topic Filters starting with a wildcard character with Topic Names beginning
	// with a $ character" [MQTT-4.7.2-1]; and so neither can one filter of each kind have a topic in common.
	if dollar(a[0]) && wild(b[0]) || wild(a[0]) && dollar(b[0]) {
		return nil, false
	}
	for {
		switch {
		case len(b) > 0 && b[0] == "#": // # takes the parent level too [MQTT-4.7.1-2], then it stands for nothing
			return append(bound, a), true
		case len(a) > 0 && a[0] == "#": // whatever b still asks for, a allows
			for _, level := range b {
				if wild(level) {
					bound = append(bound, []string{level})
				}
			}
			return bound, true
		case len(a) == 0 || len(b) == 0:
			return bound, len(a) == len(b)
		case b[0] == "+":
			bound = append(bound, a[:1])
		case a[0] != "+" && a[0] != b[0]:
			return nil, false
		}
		a, b = a[1:], b[1:]
	}
}

func wild(level string) bool   { return level == "+" || level == "#" }
func dollar(level string) bool { return strings.HasPrefix(level, "$") }

// Loop finds an up route that feeds itself: what it sends up comes down again under a topic that goes up again,
// and so on round for ever. It returns a sentence that names the routes, or nil.
func Loop(up, down Routes) error {
	walked := make([]bool, len(up)) // the up routes between here and where the walk began
	var walk func(sent string) error
	walk = func(sent string) error { // sent: the topics that have gone up, as a pattern
		for _, d := range down {
			back, ok := d.apply(sent)
			if !ok {
				continue
			}
			for i, u := range up {
				again, ok := u.apply(back)
				switch {
				case !ok:
					continue
				case walked[i]:
					return fmt.Errorf("the up route from %q to %q feeds itself: the down route from %q to %q brings its messages back", u.From, u.To, d.From, d.To)
				}
				walked[i] = true
				if err := walk(again); err != nil {
					return err
				}
				walked[i] = false
			}
		}
		return nil
	}
	for i, u := range up {
		walked[i] = true
		if err := walk(u.To); err != nil {
			return err
		}
		walked[i] = false
	}
	return nil
}

// asks reports whether one of rs takes exactly this filter.
func (rs Routes) asks(filter string) bool {
	return slices.ContainsFunc(rs, func(r Route) bool { return r.From == filter })
}

// filters are what a client that wants all these topics subscribes to: none of them covers another, for some brokers
// deliver a message once for each filter that matches.
func (rs Routes) filters() []string {
	list := []string{}
	for _, r := range rs {
		covered := slices.ContainsFunc(list, func(f string) bool { return covers(f, r.From) })
		if !covered {
			list = slices.DeleteFunc(list, func(f string) bool { return covers(r.From, f) })
			list = append(list, r.From)
		}
	}
	return list
}

// covers reports whether a matches every topic that b matches.
func covers(a, b string) bool {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	if wild(as[0]) && dollar(bs[0]) { // [MQTT-4.7.2-1]
		return false
	}
	for i, level := range as {
		switch {
		case level == "#":
			return true
		case i == len(bs):
			return false
		case level == "+" && bs[i] != "#":
		case level != bs[i]:
			return false
		}
	}
	// "a/#" matches "a" too [MQTT-4.7.1-2], which "a/+" does not; and nothing that is left of b may match more
	return len(as) == len(bs)
}

// atLeast is the QoS to ask for filter with, so that no route that asks for it gets less than its own.
func (rs Routes) atLeast(filter string, qos byte) byte {
	for _, r := range rs {
		if r.From == filter {
			qos = max(qos, r.QoS)
		}
	}
	return qos
}
