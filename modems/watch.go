package modems

import (
	"slices"
	"sync"

	"github.com/atbridge/atbridge/atcmd"
)

// Event is something that passed on the wire, for a person who watches: a line that came unasked, or, where the wire
// itself is watched, bytes in either direction, secrets masked.
type Event struct {
	URC  []byte `json:"urc,omitempty"`
	Wire []byte `json:"wire,omitempty"`
	Sent bool   `json:"sent,omitempty"` // Wire went to the modem

	Missed int `json:"missed,omitempty"` // so many were not told here, because whoever listens is too slow
}

// Watch calls tell for every URC, in order, and for what passes on the wire if wire is set, until stop is called. tell
// must not block.
func (m *Modem) Watch(wire bool, tell func(Event)) (stop func()) {
	stopURC := m.router.on(func(l atcmd.Line) { tell(Event{URC: []byte(l.String())}) }, "")
	if !wire {
		return stopURC
	}
	stopWire := m.taps.add(func(sent bool, text []byte) { tell(Event{Wire: text, Sent: sent}) })
	return func() { stopURC(); stopWire() }
}

// taps hands what the engine's tap is told to everybody who listens at the moment.
type taps struct {
	mu   sync.Mutex
	list []*atcmd.Tap // replaced, never changed
}

func (t *taps) add(tap atcmd.Tap) (remove func()) {
	if tap == nil {
		return func() {}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(slices.Clone(t.list), &tap)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.list = slices.DeleteFunc(slices.Clone(t.list), func(o *atcmd.Tap) bool { return o == &tap })
	}
}

// tell is the engine's tap.
func (t *taps) tell(sent bool, text []byte) {
	t.mu.Lock()
	list := t.list
	t.mu.Unlock()
	for _, tap := range list {
		(*tap)(sent, text)
	}
}
