package modems

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/atbridge/atbridge/atcmd"
)

// router gives each URC to everybody who asked for it, in the order in which the URCs came.
type router struct {
	mu       sync.Mutex
	handlers []*handler
}

type handler struct {
	prefixes []string
	handle   func(atcmd.Line)
}

// on calls handle for every URC that begins with one of prefixes, until stop is called. handle must not block and
// must not send a command: nobody else gets a URC while it runs.
func (r *router) on(handle func(atcmd.Line), prefixes ...string) (stop func()) {
	h := &handler{prefixes, handle}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers = append(r.handlers, h)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.handlers = slices.DeleteFunc(slices.Clone(r.handlers), func(o *handler) bool { return o == h })
	}
}

// run hands URCs on until the engine ends.
func (r *router) run(urcs <-chan atcmd.Line) {
	for l := range urcs {
		r.mu.Lock()
		handlers := r.handlers
		r.mu.Unlock()
		for _, h := range handlers {
			if slices.ContainsFunc(h.prefixes, func(p string) bool { return strings.HasPrefix(l.Head, p) }) {
				h.handle(l)
			}
		}
	}
}

// maxEarly bounds what is kept for a session that is not yet there.
const maxEarly = deliveryQueue / 2

// keepEarly keeps the messages that the module pushes while no session listens, from the first moment on: a session of an
// earlier run may stand in it. The module has acknowledged them, and nobody else will send them again. The next session
// takes them.
func (m *Modem) keepEarly() {
	var prefixes []string
	for _, d := range registry {
		if d.Messages != "" {
			prefixes = append(prefixes, d.Messages)
		}
	}
	stop := m.router.on(func(l atcmd.Line) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.early) == maxEarly {
			m.log.Error("a message that the module has pushed is lost: too many of them, and no session", "line", l.Head)
			return
		}
		m.early = append(m.early, l)
	}, prefixes...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopEarly = stop
}

// takeEarly returns what was kept, and ends the keeping.
func (m *Modem) takeEarly() []atcmd.Line {
	m.mu.Lock()
	stop, early := m.stopEarly, m.early
	m.stopEarly, m.early = nil, nil
	m.mu.Unlock()
	if stop != nil {
		stop()
	}
	return early
}

// leave keeps a message that a session was given which then did not come to stand.
func (m *Modem) leave(msg Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.left) == deliveryQueue {
		m.log.Error("a message that the module has pushed is lost: too many of them, and no session", "topic", msg.Topic)
		return
	}
	m.left = append(m.left, msg)
}

// TakeLeft returns, once, the messages that the module has pushed for a DialMQTT that then failed. It has acknowledged them.
func (m *Modem) TakeLeft() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.left
	m.left = nil
	return left
}

// waiter waits for one URC. It is made before the command is sent that brings the URC about.
type waiter struct {
	found chan atcmd.Line
	gone  <-chan struct{}
	err   func() error
	stop  func()
}

// await starts to wait for a URC that begins with prefix and that match accepts (nil: any).
func (m *Modem) await(prefix string, match func(atcmd.Line) bool) *waiter {
	w := &waiter{found: make(chan atcmd.Line, 1), gone: m.Done(), err: m.Err}
	w.stop = m.router.on(func(l atcmd.Line) {
		if match == nil || match(l) {
			select {
			case w.found <- l:
			default: // it has what it wanted
			}
		}
	}, prefix)
	return w
}

// wait returns the URC, or the reason why it will not come.
func (w *waiter) wait(ctx context.Context) (atcmd.Line, error) {
	select {
	case l := <-w.found:
		return l, nil
	case <-ctx.Done():
		return atcmd.Line{}, ctx.Err()
	case <-w.gone:
		return atcmd.Line{}, w.err()
	}
}
