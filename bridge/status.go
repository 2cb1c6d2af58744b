package bridge

import (
	"strings"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// State is what the bridge is doing.
type State string

const (
	Starting   State = "starting"
	Attaching  State = "attaching"
	Connecting State = "connecting"
	Online     State = "online"
	BackingOff State = "backing-off"
	Recovering State = "recovering"
	Stopping   State = "stopping"
)

// Status is what the bridge says of itself. Its JSON is a promise to scripts.
type Status struct {
	State  State     `json:"state"`
	Path   string    `json:"path"`
	Reason string    `json:"reason"` // why it is not online, or not on the path that comes first, or stores nothing, in a sentence
	Since  time.Time `json:"since"`

	Modem    ModemStatus   `json:"modem"`
	Network  NetworkStatus `json:"network"`
	Local    LocalStatus   `json:"local"`
	Cloud    CloudStatus   `json:"cloud"`
	Queue    QueueStatus   `json:"queue"`
	Counters CounterStatus `json:"counters"`
	Line     LineStatus    `json:"line"`

	Recovery map[string]RungStatus `json:"recovery"` // by rung of the ladder: retry, pdp, restart, reset, pause
}

// RungStatus is what one rung of the recovery ladder has cost.
type RungStatus struct {
	Times   uint64  `json:"times"`
	Seconds float64 `json:"seconds"` // until the next rung, or until online
}

type ModemStatus struct {
	Port         string `json:"port"`
	Driver       string `json:"driver"`
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Revision     string `json:"revision"`
	IMEI         string `json:"imei"`
	ICCID        string `json:"iccid"` // of the SIM; empty: not asked for yet
}

type NetworkStatus struct {
	Registered bool   `json:"registered"`
	Roaming    bool   `json:"roaming"`
	Operator   string `json:"operator"`
	RSSI       int    `json:"rssi_dbm"` // 0: not known
	Signal     string `json:"signal"`   // the same in words
	Address    string `json:"address"`
}

type CloudStatus struct {
	Broker   string `json:"broker"`
	ClientID string `json:"client_id"`
}

type QueueStatus struct {
	Messages      int     `json:"messages"` // still to be delivered
	Bytes         int64   `json:"bytes"`
	OldestSeconds float64 `json:"oldest_seconds"`
	Poisoned      int     `json:"poisoned"` // set aside for a person to look at
	Rejected      int     `json:"rejected"` // not taken: their publishers know
	Dropped       int     `json:"dropped"`
	DroppedBy     Drops   `json:"dropped_by"`
	Damaged       int     `json:"damaged"` // could not be read from the disk any more
	Broken        string  `json:"broken"`  // why nothing can be stored at present; empty: it can
	Dir           string  `json:"dir"`
}

type CounterStatus struct {
	UpAccepted    uint64 `json:"up_accepted"` // acknowledged to the local side
	UpDelivered   uint64 `json:"up_delivered"`
	DownReceived  uint64 `json:"down_received"`
	DownDelivered uint64 `json:"down_delivered"`
	Loops         uint64 `json:"loops"` // from the cloud, and an up route would take it again
	Sessions      uint64 `json:"sessions"`
	PathSwitches  uint64 `json:"path_switches"`
	Recoveries    uint64 `json:"recoveries"` // online again after a failure
}

type LineStatus struct {
	BytesIn         uint64 `json:"bytes_in"`
	BytesOut        uint64 `json:"bytes_out"`
	Commands        uint64 `json:"commands"`
	Timeouts        uint64 `json:"timeouts"`
	StaleAnswers    uint64 `json:"stale_answers"`
	UnexpectedLines uint64 `json:"unexpected_lines"`
	Resyncs         uint64 `json:"resynchronisations"`
	Overruns        uint64 `json:"overruns"`
	Unreadable      uint64 `json:"unreadable_messages"` // from the broker; they are lost

	URCs map[string]uint64 `json:"urcs"` // by name
}

// add sums the counters of a line that has ended and of the one in use.
func (l LineStatus) add(c modems.Counters) LineStatus {
	urcs := map[string]uint64{}
	for _, counted := range []map[string]uint64{l.URCs, c.URCs} {
		for name, n := range counted {
			urcs[strings.TrimRight(name, ": ")] += n
		}
	}
	return LineStatus{
		BytesIn: l.BytesIn + c.BytesIn, BytesOut: l.BytesOut + c.BytesOut, Commands: l.Commands + c.Commands,
		Timeouts: l.Timeouts + c.Timeouts, StaleAnswers: l.StaleAnswers + c.StaleAnswers,
		UnexpectedLines: l.UnexpectedLines + c.UnexpectedLines, Resyncs: l.Resyncs + c.Resyncs,
		Overruns: l.Overruns + c.Overruns, Unreadable: l.Unreadable + c.Unreadable, URCs: urcs,
	}
}

// detourStatus is what replaces the reason of a session that one message has sent this way, when that message is gone.
type detourStatus struct {
	id    uint64 // 0: there is none
	after string
}

// Status is a snapshot.
func (b *Bridge) Status() Status {
	q, local := b.outbox.Stats(), b.local.Status()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{State: b.state, Path: b.path, Reason: b.reason, Since: b.since, Local: local, Cloud: b.cloud, Line: b.line}
	if b.state == Online && b.detour.id > 0 && !b.outbox.waits(b.detour.id) {
		s.Reason = b.detour.after
	}
	s.Recovery = map[string]RungStatus{}
	for r, c := range b.recovery.counts {
		s.Recovery[rung(r).String()] = RungStatus{c.times, c.took.Seconds()}
	}
	if b.cfg.Modem != nil {
		s.Modem.Port = b.cfg.Modem.Port
	}
	if b.modem != nil {
		id, n := b.modem.Identity(), b.modem.Network()
		s.Modem = ModemStatus{b.cfg.Modem.Port, b.modem.Driver(), id.Manufacturer, id.Model, id.Revision, id.IMEI, id.ICCID}
		s.Network = NetworkStatus{n.Registered, n.Roaming, n.Operator, n.RSSI, modems.SignalWords(n.RSSI), n.Address}
		s.Line = b.line.add(b.modem.Counters())
	}
	if q.Broken != nil { // above all while offline: that is when the queue fills
		s.Queue.Broken = q.Broken.Error()
		s.Reason = strings.TrimPrefix(s.Reason+"; "+s.Queue.Broken, "; ")
	}
	s.Queue = QueueStatus{
		Broken:   s.Queue.Broken,
		Messages: q.Messages - q.Poisoned, Bytes: q.Bytes, OldestSeconds: q.Oldest.Round(time.Millisecond).Seconds(),
		Poisoned: q.Poisoned, Rejected: q.Rejected, Dropped: q.Dropped, DroppedBy: q.DroppedBy, Damaged: q.Damaged,
		Dir: b.queueDir,
	}
	s.Counters = CounterStatus{
		UpAccepted: b.upAccepted.Load(), UpDelivered: b.upDelivered.Load(),
		DownReceived: b.downReceived.Load(), DownDelivered: b.downDelivered.Load(), Loops: b.loops.Load(),
		Sessions: b.sessions.Load(), PathSwitches: b.switches.Load(), Recoveries: b.recoveries.Load(),
	}
	return s
}

// enter changes the state. reason is a sentence, or empty where the state says it all.
func (b *Bridge) enter(s State, reason string) {
	b.mu.Lock()
	changed := b.state != s || b.reason != reason
	if changed {
		b.state, b.reason, b.since = s, reason, time.Now()
	}
	b.mu.Unlock()
	if changed && b.cfg.Changed != nil {
		b.cfg.Changed(s, reason)
	}
}
