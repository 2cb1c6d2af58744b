package control

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/atbridge/atbridge/bridge"
)

// metric is one number of the status under its name, or several that a label tells apart.
type metric struct {
	name, kind string
	label      string
	samples    []sample // none: nothing is known, and nothing is said
}

type sample struct {
	of    string // the label's value
	value any
}

func one(value any) []sample { return []sample{{value: value}} }

// known is one sample, unless the value is the 0 that stands for not known.
func known(value int) []sample {
	if value == 0 {
		return nil
	}
	return one(value)
}

// each is a sample for every key, in their order.
func each[V any](m map[string]V, value func(V) any) (all []sample) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, sample{key, value(m[key])})
	}
	return all
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func times(r bridge.RungStatus) any   { return r.Times }
func seconds(r bridge.RungStatus) any { return r.Seconds }
func count(n uint64) any              { return n }

// metricsOf is every metric. Of the gauges only the signal has a 0 that means not known: nobody waits in an empty
// queue, and its oldest message is 0 s old for whoever compares.
func metricsOf(st bridge.Status) []metric {
	q, c, l, by := st.Queue, st.Counters, st.Line, st.Queue.DroppedBy
	return []metric{
		{"online", "gauge", "", one(oneIf(st.State == bridge.Online))},
		{"signal_dbm", "gauge", "", known(st.Network.RSSI)},
		{"queue_messages", "gauge", "", one(q.Messages)},
		{"queue_bytes", "gauge", "", one(q.Bytes)},
		{"queue_oldest_seconds", "gauge", "", one(q.OldestSeconds)},
		{"queue_poisoned", "gauge", "", one(q.Poisoned)},
		{"queue_rejected_total", "counter", "", one(q.Rejected)},
		{"queue_broken", "gauge", "", one(oneIf(q.Broken != ""))},
		{"queue_dropped_total", "counter", "", one(q.Dropped)},
		{"queue_damaged_total", "counter", "", one(q.Damaged)},
		{"up_accepted_total", "counter", "", one(c.UpAccepted)},
		{"up_delivered_total", "counter", "", one(c.UpDelivered)},
		{"down_received_total", "counter", "", one(c.DownReceived)},
		{"down_delivered_total", "counter", "", one(c.DownDelivered)},
		{"loops_total", "counter", "", one(c.Loops)},
		{"local_waiting", "gauge", "", one(st.Local.Waiting)},
		{"local_dropped_total", "counter", "", one(st.Local.Dropped)},
		{"sessions_total", "counter", "", one(c.Sessions)},
		{"path_switches_total", "counter", "", one(c.PathSwitches)},
		{"recoveries_total", "counter", "", one(c.Recoveries)},
		{"line_bytes_in_total", "counter", "", one(l.BytesIn)},
		{"line_bytes_out_total", "counter", "", one(l.BytesOut)},
		{"line_commands_total", "counter", "", one(l.Commands)},
		{"line_timeouts_total", "counter", "", one(l.Timeouts)},
		{"line_stale_answers_total", "counter", "", one(l.StaleAnswers)},
		{"line_unexpected_lines_total", "counter", "", one(l.UnexpectedLines)},
		{"line_resynchronisations_total", "counter", "", one(l.Resyncs)},
		{"line_overruns_total", "counter", "", one(l.Overruns)},
		{"line_unreadable_messages_total", "counter", "", one(l.Unreadable)},
		{"recovery_rungs_total", "counter", "rung", each(st.Recovery, times)},
		{"recovery_seconds_total", "counter", "rung", each(st.Recovery, seconds)},
		{"queue_dropped_by_total", "counter", "reason", []sample{{"full", by.Full}, {"old", by.Old}, {"by_hand", by.ByHand}, {"qos0", by.QoS0}}},
		{"line_urcs_total", "counter", "name", each(l.URCs, count)},
	}
}

// metrics are the numbers of the status in Prometheus' text format, version 0.0.4. They are written by hand because
// they are a snapshot already: a metrics library would only keep a second copy of each.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, m := range metricsOf(s.bridge.Status()) {
		m.print(w)
	}
}

// labelValue escapes as the format asks: these three, and nothing else.
var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (m metric) print(w io.Writer) {
	for i, s := range m.samples {
		if i == 0 {
			fmt.Fprintf(w, "# TYPE atbridge_%s %s\n", m.name, m.kind)
		}
		name := "atbridge_" + m.name
		if m.label != "" {
			name += fmt.Sprintf(`{%s="%s"}`, m.label, labelValue.Replace(s.of))
		}
		fmt.Fprintln(w, name, s.value)
	}
}
