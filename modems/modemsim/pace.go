package modemsim

import (
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"time"
)

// chunk is what one read of the master returned, and when.
type chunk struct {
	data []byte
	at   time.Time
}

// piece is about a millisecond of the RX line: its last byte ended at end, and each took per.
type piece struct {
	data []byte
	end  time.Time
	per  time.Duration
}

// at returns the moment at which byte i was complete.
func (p piece) at(i int) time.Time {
	return p.end.Add(-time.Duration(len(p.data)-1-i) * p.per)
}

// segment is something for the TX line: it starts at start and runs without a gap.
type segment struct {
	data  []byte
	start time.Time
	baud  int  // 0: not paced
	idle  bool // the line was idle before it
	rate  int  // if not 0: the UART's rate from its last byte on (AT+IPR)
}

// span is the time that n bytes take: 8N1 is ten bits a byte.
func span(n, baud int) time.Duration {
	if baud == 0 {
		return 0
	}
	return time.Duration(int64(n) * 10 * int64(time.Second) / int64(baud))
}

// step is how many bytes travel between two wake-ups: about a millisecond's worth.
func step(baud int) int {
	if baud == 0 {
		return 4096
	}
	return max(1, baud/10_000)
}

// fifo is how far read runs ahead of the schedule, per chunk. It is small, so that
// what the host writes piles up in the kernel and blocks it, as a real UART does;
// and it is enough to stamp the arrival of a byte while the line is still busy.
const fifo = 64

// read moves what the host wrote to receive, each chunk stamped with its arrival.
func (s *Sim) read(from *pty) {
	for {
		buf := make([]byte, max(fifo, step(int(s.baud.Load()))))
		n, err := from.master.Read(buf)
		if err != nil {
			return // unplugged
		}
		select {
		case s.chunks <- chunk{buf[:n], time.Now()}:
		case <-s.done:
			return
		}
	}
}

// receive is the RX line. A chunk starts when it arrived or when the line is free,
// whichever is later, and its bytes reach the module when they are due.
func (s *Sim) receive() {
	sl := newSleeper()
	defer sl.close()
	noise := s.random(1)
	var free time.Time
	for {
		var c chunk
		select {
		case c = <-s.chunks:
		case <-s.done:
			return
		}
		baud := int(s.baud.Load())
		s.distort(c.data, baud, noise)
		at := later(free, c.at)
		for data := range slices.Chunk(c.data, step(baud)) {
			start := at
			at = start.Add(span(len(data), baud))
			sl.until(at)
			s.rxMeter.add(start, at, time.Now())
			s.count.fromHost.Add(int64(len(data)))
			s.wire(true, data)
			select {
			case s.rx <- piece{data, at, span(1, baud)}:
			case <-s.done:
				return
			}
		}
		free = at
	}
}

// transmit is the TX line: it writes each piece of a segment at the moment its last byte is due.
func (s *Sim) transmit() {
	sl := newSleeper()
	defer sl.close()
	noise := s.random(2)
	for {
		select {
		case <-s.done:
			return
		case g := <-s.tx:
			s.send(g, sl, noise)
		}
	}
}

func (s *Sim) send(g segment, sl *sleeper, noise *rand.Rand) {
	at, left := g.start, len(g.data)
	for data := range slices.Chunk(g.data, step(g.baud)) {
		start := at
		at = start.Add(span(len(data), g.baud))
		sl.until(at)
		s.distort(data, g.baud, noise)
		s.wire(false, data)
		if left -= len(data); left == 0 && g.rate > 0 {
			s.baud.Store(int64(g.rate)) // before the host can have seen the last byte
		}
		s.put(data)
		now := time.Now()
		s.txMeter.add(start, at, now)
		if g.idle && start.Equal(g.start) {
			s.txMeter.turnaround(now.Sub(at))
		}
	}
	if len(g.data) == 0 {
		s.baud.Store(int64(g.rate))
	}
}

// patience is how long the TX line waits for a host that does not read. A UART
// without flow control would not wait at all: what is not taken is lost.
const patience = time.Second

func (s *Sim) put(data []byte) {
	wait := patience
	if s.count.deaf.Load() {
		wait = time.Millisecond
	}
	n, err := s.pty.Load().write(data, wait)
	s.count.toHost.Add(int64(n))
	s.count.overruns.Add(int64(len(data) - n))
	s.count.deaf.Store(err != nil)
}

// distort spoils bytes in place: all of them when the two ends of the line disagree
// about its rate, one in so many with the fault garble.
func (s *Sim) distort(p []byte, baud int, noise *rand.Rand) {
	wrong := false
	if baud > 0 {
		host := s.pty.Load().hostSpeed()
		wrong = host != 0 && host != baud
	}
	for i := range p {
		if wrong || s.faults.garble > 0 && noise.IntN(s.faults.garble) == 0 {
			p[i] = byte(noise.Uint32())
		}
	}
}

// meter measures one line against its own schedule.
type meter struct {
	mu                sync.Mutex // guards what follows; nothing is done under it but arithmetic
	due, last         time.Time
	ideal, real       time.Duration // of the burst that is running
	long              bool          // the burst is in the sums already
	sumIdeal, sumReal time.Duration
	waits             [512]time.Duration
	n                 int
}

// A burst shorter than this says more about one wake-up than about the rate.
const shortBurst = 20 * time.Millisecond

// add takes note of a piece that should have lasted from start to due and was over at now.
func (m *meter) add(start, due, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !start.Equal(m.due) {
		m.last, m.ideal, m.real, m.long = start, 0, 0, false
	}
	ideal, real := due.Sub(start), now.Sub(m.last)
	m.due, m.last = due, now
	m.ideal += ideal
	m.real += real
	switch {
	case m.long:
		m.sumIdeal += ideal
		m.sumReal += real
	case m.ideal >= shortBurst:
		m.sumIdeal += m.ideal
		m.sumReal += m.real
		m.long = true
	}
}

func (m *meter) turnaround(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits[m.n%len(m.waits)] = d
	m.n++
}

// pacingError returns by what share the line took longer than its rate asks for.
func (m *meter) pacingError() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sumIdeal == 0 {
		return 0
	}
	return float64(m.sumReal)/float64(m.sumIdeal) - 1
}

func (m *meter) median() time.Duration {
	m.mu.Lock()
	w := slices.Clone(m.waits[:min(m.n, len(m.waits))])
	m.mu.Unlock()
	if len(w) == 0 {
		return 0
	}
	sort.Slice(w, func(i, j int) bool { return w[i] < w[j] })
	return w[len(w)/2]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
