package modemsim

import (
	"fmt"
	"slices"
	"strings"
)

// mqttKey is a key of AT+QMTCFG (MQTT AN V1.0, 3.2.1): numbers if it has ranges, else strings,
// as many as least says, or a will. The test
// forms are those of a real EC600S (log L2), which differ from the manual here and there.
type mqttKey struct {
	name   string
	test   string
	ranges [][2]int
	least  int // how many values a write must give
	values []int
}

var mqttKeys = []mqttKey{
	{"version", "(3,4)", [][2]int{{3, 4}}, 1, []int{3}},
	{"pdpcid", "(1-15)", [][2]int{{1, 15}}, 1, []int{1}},
	{"ssl", "(0,1),(0-5)", [][2]int{{0, 1}, {0, 5}}, 1, []int{0, 0}},
	{"keepalive", "(0-3600)", [][2]int{{0, 3600}}, 1, []int{120}},
	{"session", "(0,1)", [][2]int{{0, 1}}, 1, []int{1}},
	{"timeout", "(1-1200),(1-10),(0,1)", [][2]int{{1, 1200}, {0, 10}, {0, 1}}, 3, []int{5, 3, 0}},
	{"will", `(0,1),(0-2),(0,1),"willtopic","willmessage"`, nil, 0, nil},
	{"willex", `(0,1),(0-2),(0,1),"willtopic",(0-256)`, nil, 0, nil},
	{"recv/mode", "(0,1),(0,1)", [][2]int{{0, 1}, {0, 1}}, 1, []int{0, 0}},
	{"send/mode", "(0,1)", [][2]int{{0, 1}}, 1, []int{0}},
	{"onenet", `"product id","access key"`, nil, 2, nil},
	{"aliauth", `"product key","device name","device secret"`, nil, 3, nil},
	{"hwauth", `"device id","device secret"`, nil, 2, nil},
	{"hwprodid", `"product id","product secret","nodeid"`, nil, 3, nil},
	{"qmtping", "(5-60)", [][2]int{{5, 60}}, 1, []int{5}},
	{"dataformat", "(0,1),(0,1)", [][2]int{{0, 1}, {0, 1}}, 2, []int{0, 0}},
	{"view/mode", "(0,1)", [][2]int{{0, 1}}, 1, []int{0}},
	{"CTWing", `"client_id","feature_string"`, nil, 2, nil},
	{"edit/timeout", "(0,1),(1-180)", [][2]int{{0, 1}, {1, 180}}, 1, []int{0, 30}},
}

// will is a client's last will; its message may be anything.
type will struct {
	on          bool
	qos, retain int
	topic       string
	message     []byte
}

func (q *quectel) qmtcfgList() reply {
	for _, k := range mqttKeys {
		if !q.missing(k.name) {
			q.info(`+QMTCFG: "%s",(0-5),%s`, k.name, k.test)
		}
	}
	return okay
}

// missing reports whether a fault takes a key away.
func (q *quectel) missing(key string) bool {
	return key == "edit/timeout" && q.f.noEdit || key == "recv/mode" && q.f.noRecvMode
}

// qmtcfg is AT+QMTCFG. A write succeeds only while there is no connection.
func (q *quectel) qmtcfg(a *args) reply {
	name := a.key()
	i := slices.IndexFunc(mqttKeys, func(k mqttKey) bool { return strings.EqualFold(k.name, name) })
	c := q.clients[a.num(0, 5)]
	if a.bad || i < 0 || q.missing(name) {
		return failed
	}
	k := mqttKeys[i]
	if a.end() {
		q.info(`+QMTCFG: "%s"%s`, k.name, c.configured(k))
		return okay
	}
	if c.state != clientClosed {
		return failed
	}
	switch {
	case k.ranges != nil:
		return c.setNumbers(k, a)
	case k.name == "will":
		return c.setWill(a, false)
	case k.name == "willex":
		return c.setWill(a, true)
	}
	return c.setStrings(k, a)
}

func (c *client) configured(k mqttKey) string {
	var b strings.Builder
	switch {
	case k.name == "ssl" && c.ints["ssl"][0] == 0:
		return ",0" // the context is left out while TLS is off
	case k.ranges != nil:
		for _, n := range c.ints[k.name] {
			fmt.Fprintf(&b, ",%d", n)
		}
	case k.name == "will" || k.name == "willex":
		if !c.will.on {
			return ",0"
		}
		fmt.Fprintf(&b, `,1,%d,%d,"%s"`, c.will.qos, c.will.retain, c.will.topic)
		if k.name == "will" {
			fmt.Fprintf(&b, `,"%s"`, c.will.message)
		} else {
			fmt.Fprintf(&b, ",%d", len(c.will.message))
		}
	default:
		for i := range k.least {
			value := ""
			if i < len(c.strings[k.name]) {
				value = c.strings[k.name][i]
			}
			fmt.Fprintf(&b, `,"%s"`, value)
		}
	}
	return b.String()
}

func (c *client) setNumbers(k mqttKey, a *args) reply {
	values := slices.Clone(c.ints[k.name])
	given := 0
	for ; given < len(k.ranges) && a.more(); given++ {
		values[given] = a.num(k.ranges[given][0], k.ranges[given][1])
	}
	// "ssl" needs its context when TLS is switched on (MQTT AN V1.0, 3.2.1, note 3).
	if !a.end() || given < k.least || k.name == "ssl" && values[0] == 1 && given < 2 {
		return failed
	}
	c.ints[k.name] = values
	return okay
}

func (c *client) setStrings(k mqttKey, a *args) reply {
	var values []string
	for range k.least {
		values = append(values, a.str(1, 256))
	}
	if strings.HasPrefix(k.name, "hw") && a.more() {
		a.num(0, 1) // hw_time_enable
	}
	if !a.end() {
		return failed
	}
	c.strings[k.name] = values
	return okay
}

func (c *client) setWill(a *args, ask bool) reply {
	w := will{on: a.num(0, 1) == 1}
	if !w.on {
		if !a.end() {
			return failed
		}
		c.will = w
		return okay
	}
	w.qos, w.retain, w.topic = a.num(0, 2), a.num(0, 1), a.str(1, 256)
	if !ask {
		w.message = []byte(a.str(0, 256))
		if !a.end() {
			return failed
		}
		c.will = w
		return okay
	}
	n := a.num(0, 256)
	if !a.end() {
		return failed
	}
	return c.q.ask(n, c.ints["view/mode"][0] == 1, c.editTimeout(), func(p []byte) reply {
		w.message = p
		c.will = w
		return okay
	})
}
