package bridge

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRouteValidate(t *testing.T) {
	for _, c := range []struct {
		route Route
		wrong string // empty: nothing
	}{
		{Route{From: "a/+/b/#", To: "x/+/#", QoS: 1}, ""},
		{Route{From: "#", To: "#", Priority: "high"}, ""},
		{Route{From: "a", To: "b", Priority: "normal"}, ""},
		{Route{From: "/", To: "//+"}, "same wildcards"},
		{Route{From: "+/#", To: "#/+"}, "last level"},
		{Route{From: "a/+", To: "a/#"}, "same wildcards"},
		{Route{From: "", To: "a"}, "one character"},
		{Route{From: "a", To: ""}, "one character"},
		{Route{From: "a#", To: "a"}, "last level"},
		{Route{From: "a/#/b", To: "a"}, "last level"},
		{Route{From: "a", To: "b+/c"}, "+ stands alone"},
		{Route{From: "a\x00", To: "b"}, "null"},
		{Route{From: "a", To: "\xff"}, "UTF-8"},
		{Route{From: "a\x01", To: "b"}, "U+0001"},
		{Route{From: "a", To: "b\u0085"}, "U+0085"},
		{Route{From: "温度 ~/\u00a0", To: "b"}, ""},
		{Route{From: strings.Repeat("a", 65535), To: "b"}, ""},
		{Route{From: strings.Repeat("a", 65536), To: "b"}, "65535"},
		{Route{From: "a", To: "b", QoS: 2}, "qos 2 is not supported"},
		{Route{From: "a", To: "b", QoS: 3}, "0 or 1"},
		{Route{From: "a", To: "b", Priority: "urgent"}, "priority"},
	} {
		err := c.route.Validate()
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%.40q to %.40q: %v", c.route.From, c.route.To, err)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%.40q to %.40q: got %v, want something about %q", c.route.From, c.route.To, err, c.wrong)
		}
	}
}

func TestRoutesMap(t *testing.T) {
	for _, c := range []struct{ from, to, topic, want string }{
		{"sensors/#", "site7/sensors/#", "sensors/a/b", "site7/sensors/a/b"},
		{"a/+/b/#", "x/+/#", "a/1/b/2/3", "x/1/2/3"},
		{"sport/#", "s/#", "sport", "s"},   // [MQTT-4.7.1-2]
		{"sport/#", "s/#", "sport/", "s/"}, // an empty level is a level
		{"sport/#", "s/#", "sporty", ""},   //
		{"+/#", "x/+/#", "a", "x/a"},       //
		{"+", "x/+", "a/b", ""},            //
		{"+/+", "+/x/+", "/finance", "/x/finance"},
		{"a/#", "#", "a", ""},              // nothing would be left
		{"a/#", "#", "a/b", "b"},           //
		{"#", "x/#", "$SYS/load", ""},      // [MQTT-4.7.2-1]
		{"+/load", "x/+", "$SYS/load", ""}, //
		{"$SYS/#", "x/#", "$SYS/load", "x/load"},
		{"a", "b", "A", ""},     // [MQTT-4.7.3-4]
		{"#", "x/#", "a/+", ""}, // not a topic name
	} {
		got, _, ok := Routes{{From: c.from, To: c.to}}.Map(c.topic)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q to %q: %q becomes %q, %v; want %q", c.from, c.to, c.topic, got, ok, c.want)
		}
	}
	rs := Routes{{From: "a/b", To: "first", QoS: 1}, {From: "a/#", To: "second/#"}}
	if to, r, ok := rs.Map("a/b"); to != "first" || r.QoS != 1 || !ok {
		t.Errorf("the first route must win: %q %+v %v", to, r, ok)
	}
}

// levels, topics and filters over a small alphabet, so that they often meet.
var (
	drawLevel = rapid.SampledFrom([]string{"a", "b", "", "$x"})
	drawTopic = rapid.Custom(func(t *rapid.T) string {
		topic := strings.Join(rapid.SliceOfN(drawLevel, 1, 4).Draw(t, "levels"), "/")
		if topic == "" {
			return "/"
		}
		return topic
	})
	drawFilter = rapid.Custom(func(t *rapid.T) string {
		levels := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "", "$x", "+", "+"}), 1, 4).Draw(t, "levels")
		if rapid.Bool().Draw(t, "open") {
			levels = append(levels, "#")
		}
		if filter := strings.Join(levels, "/"); filter != "" {
			return filter
		}
		return "#"
	})
)

// asRegexp says what MQTT 3.1.1, section 4.7 says, in other words. (A broker is no judge: mochi-mqtt v2.7.9 does not
// let "+/#" match "a".)
func asRegexp(filter string) *regexp.Regexp {
	body := regexp.QuoteMeta(filter)
	body = strings.ReplaceAll(body, `\+`, "[^/]*")
	switch {
	case body == "#":
		body = ".*"
	case strings.HasSuffix(body, "/#"):
		body = strings.TrimSuffix(body, "/#") + "(?:/.*)?"
	}
	return regexp.MustCompile("^" + body + "$")
}

func TestRouteMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter, topic := drawFilter.Draw(t, "filter"), drawTopic.Draw(t, "topic")
		want := asRegexp(filter).MatchString(topic)
		if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
			want = false
		}
		got, _, ok := Routes{{From: filter, To: filter}}.Map(topic)
		if ok != want || ok && got != topic {
			t.Fatalf("%q on %q: %q, %v; want %v", filter, topic, got, ok, want)
		}
	})
}

// TestRouteThereAndBack: what one route does, its opposite undoes.
func TestRouteThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := drawFilter.Draw(t, "from")
		to := "x/" + strings.Join(append([]string{"y"}, wildcards(from)...), "/")
		there, back := Routes{{From: from, To: to}}, Routes{{From: to, To: from}}
		if err := there[0].Validate(); err != nil {
			t.Fatal(err)
		}
		topic := drawTopic.Draw(t, "topic")
		mapped, _, ok := there.Map(topic)
		if !ok {
			t.Skip("no match")
		}
		if again, _, ok := back.Map(mapped); !ok || again != topic {
			t.Fatalf("%q became %q and then %q, %v", topic, mapped, again, ok)
		}
	})
}

func TestLoop(t *testing.T) {
	for _, c := range []struct {
		name     string
		up, down Routes
		loops    bool
	}{
		{"both sides alike", Routes{{From: "#", To: "#"}}, Routes{{From: "#", To: "#"}}, true},
		{"apart", Routes{{From: "sensors/#", To: "site/sensors/#"}}, Routes{{From: "site/commands/#", To: "commands/#"}}, false},
		{"echo", Routes{{From: "sensors/#", To: "site/sensors/#"}}, Routes{{From: "site/#", To: "#"}}, true},
		{"only one topic", Routes{{From: "a/+", To: "c/+"}}, Routes{{From: "c/x", To: "a/y"}}, true},
		{"comes back deeper", Routes{{From: "a/+", To: "c/+"}}, Routes{{From: "c/x", To: "a/x/y"}}, false},
		{"comes back elsewhere", Routes{{From: "a/#", To: "c/#"}}, Routes{{From: "c/#", To: "b/#"}}, false},
		{"in two turns", Routes{{From: "a/#", To: "c/#"}, {From: "b/#", To: "d/#"}}, Routes{{From: "c/#", To: "b/#"}, {From: "d/#", To: "a/#"}}, true},
		{"ends after two turns", Routes{{From: "a/#", To: "c/#"}, {From: "b/#", To: "d/#"}}, Routes{{From: "c/#", To: "b/#"}}, false},
		{"system topics", Routes{{From: "#", To: "$x/#"}}, Routes{{From: "#", To: "#"}}, false},
	} {
		if err := Loop(c.up, c.down); (err != nil) != c.loops {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestLoopSeesEveryRound: whatever goes round for ever through single routes, Loop has foreseen.
func TestLoopSeesEveryRound(t *testing.T) {
	drawRoutes := rapid.Custom(func(t *rapid.T) Routes {
		var rs Routes
		for range rapid.IntRange(1, 3).Draw(t, "routes") {
			from := drawFilter.Draw(t, "from")
			fixed := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "fixed")
			rs = append(rs, Route{From: from, To: strings.Join(append([]string{fixed}, wildcards(from)...), "/")})
		}
		return rs
	})
	rapid.Check(t, func(t *rapid.T) {
		up, down := drawRoutes.Draw(t, "up"), drawRoutes.Draw(t, "down")
		topic := drawTopic.Draw(t, "topic")
		for range 10 { // more turns than there are up routes
			sent, _, ok := up.Map(topic)
			if !ok {
				return
			}
			if topic, _, ok = down.Map(sent); !ok {
				return
			}
		}
		if Loop(up, down) == nil {
			t.Fatalf("%q goes round for ever", topic)
		}
	})
}
