package control

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/atbridge/atbridge/bridge"
)

// metrics are the numbers of the status in Prometheus' text format, version 0.0.4. They are written by hand because
// they are a snapshot already: a metrics library would only keep a second copy of each.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	st := s.bridge.Status()
	online := 0
	if st.State == bridge.Online {
		online = 1
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, m := range []struct {
		name, kind string
		value      any
	}{
		{"online", "gauge", online},
		{"signal_dbm", "gauge", st.Network.RSSI},
		{"queue_messages", "gauge", st.Queue.Messages},
		{"queue_bytes", "gauge", st.Queue.Bytes},
		{"queue_oldest_seconds", "gauge", st.Queue.OldestSeconds},
		{"queue_poisoned", "gauge", st.Queue.Poisoned},
		{"queue_rejected_total", "counter", st.Queue.Rejected},
		{"queue_dropped_total", "counter", st.Queue.Dropped},
		{"queue_damaged_total", "counter", st.Queue.Damaged},
		{"up_accepted_total", "counter", st.Counters.UpAccepted},
		{"up_delivered_total", "counter", st.Counters.UpDelivered},
		{"down_received_total", "counter", st.Counters.DownReceived},
		{"down_delivered_total", "counter", st.Counters.DownDelivered},
		{"loops_total", "counter", st.Counters.Loops},
		{"local_waiting", "gauge", st.Local.Waiting},
		{"local_dropped_total", "counter", st.Local.Dropped},
		{"sessions_total", "counter", st.Counters.Sessions},
		{"path_switches_total", "counter", st.Counters.PathSwitches},
		{"recoveries_total", "counter", st.Counters.Recoveries},
		{"line_bytes_in_total", "counter", st.Line.BytesIn},
		{"line_bytes_out_total", "counter", st.Line.BytesOut},
		{"line_commands_total", "counter", st.Line.Commands},
		{"line_timeouts_total", "counter", st.Line.Timeouts},
		{"line_stale_answers_total", "counter", st.Line.StaleAnswers},
		{"line_unexpected_lines_total", "counter", st.Line.UnexpectedLines},
		{"line_resynchronisations_total", "counter", st.Line.Resyncs},
		{"line_overruns_total", "counter", st.Line.Overruns},
	} {
		fmt.Fprintf(w, "# TYPE atbridge_%s %s\natbridge_%s %v\n", m.name, m.kind, m.name, m.value)
	}
	fmt.Fprintln(w, "# TYPE atbridge_recovery_rungs_total counter")
	for _, rung := range slices.Sorted(maps.Keys(st.Recovery)) {
		fmt.Fprintf(w, "atbridge_recovery_rungs_total{rung=%q} %d\n", rung, st.Recovery[rung].Times)
	}
	fmt.Fprintln(w, "# TYPE atbridge_recovery_seconds_total counter")
	for _, rung := range slices.Sorted(maps.Keys(st.Recovery)) {
		fmt.Fprintf(w, "atbridge_recovery_seconds_total{rung=%q} %v\n", rung, st.Recovery[rung].Seconds)
	}
	by := st.Queue.DroppedBy
	fmt.Fprintln(w, "# TYPE atbridge_queue_dropped_by_total counter")
	for _, d := range []struct {
		reason string
		n      int
	}{{"full", by.Full}, {"old", by.Old}, {"by_hand", by.ByHand}, {"qos0", by.QoS0}} {
		fmt.Fprintf(w, "atbridge_queue_dropped_by_total{reason=%q} %d\n", d.reason, d.n)
	}
	fmt.Fprintln(w, "# TYPE atbridge_line_urcs_total counter")
	for _, name := range slices.Sorted(maps.Keys(st.Line.URCs)) {
		fmt.Fprintf(w, "atbridge_line_urcs_total{name=%q} %d\n", name, st.Line.URCs[name])
	}
}
