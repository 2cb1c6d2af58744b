package modems

import "time"

// hangUpWithin is how long Close waits for connections to end. A port that is closed while a module waits for the data of a
// send leaves it so: the next program's commands would be taken for that data.
const hangUpWithin = 3 * time.Second

// holds books a connection that has a place in the module, or had one.
func (m *Modem) holds(c *conn, does bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !does {
		delete(m.conns, c)
		return
	}
	if m.conns == nil {
		m.conns = map[*conn]bool{}
	}
	m.conns[c] = true
}

// hangUp closes what is still open, for a while.
func (m *Modem) hangUp() {
	m.mu.Lock()
	var open []*conn
	for c := range m.conns {
		open = append(open, c)
	}
	m.mu.Unlock()
	patience := time.NewTimer(hangUpWithin)
	defer patience.Stop()
	for _, c := range open {
		go c.Close() // another may have begun it
	}
	for _, c := range open {
		select {
		case <-c.finished:
		case <-patience.C:
			return
		}
	}
}
