package control

import (
	"strings"
	"testing"

	"github.com/atbridge/atbridge/bridge"
)

// printed is what Prometheus would read.
func printed(st bridge.Status) string {
	var b strings.Builder
	for _, m := range metricsOf(st) {
		m.print(&b)
	}
	return b.String()
}

// 0 dBm would be the best signal ever measured: what is not known is not said.
func TestUnknownSignal(t *testing.T) {
	var st bridge.Status
	if got := printed(st); strings.Contains(got, "signal_dbm") || !strings.HasPrefix(got, "# TYPE atbridge_online gauge\natbridge_online 0\n") {
		t.Error(got)
	}
	st.State, st.Network.RSSI = bridge.Online, -71
	if got := printed(st); !strings.HasPrefix(got, "# TYPE atbridge_online gauge\natbridge_online 1\n# TYPE atbridge_signal_dbm gauge\natbridge_signal_dbm -71\n") {
		t.Error(got)
	}
}

// A label's value ends where it ends, whatever it holds, and a metric says its type once.
func TestLabels(t *testing.T) {
	var st bridge.Status
	st.Recovery = map[string]bridge.RungStatus{"retry": {Times: 3, Seconds: 1.5}, "pdp": {}}
	st.Line.URCs = map[string]uint64{"+A\"\\\n\x01é": 7}
	for _, want := range []string{
		"\n# TYPE atbridge_recovery_rungs_total counter\natbridge_recovery_rungs_total{rung=\"pdp\"} 0\natbridge_recovery_rungs_total{rung=\"retry\"} 3\n#",
		"\natbridge_recovery_seconds_total{rung=\"retry\"} 1.5\n",
		"\n# TYPE atbridge_line_urcs_total counter\natbridge_line_urcs_total{name=\"+A\\\"\\\\\\n\x01é\"} 7\n",
	} {
		if got := printed(st); !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}
