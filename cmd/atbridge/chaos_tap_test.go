//go:build linux

package main

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// tap stands between the module and the cloud and reads along. What the broker has acknowledged is what has arrived:
// that holds when the broker is killed a moment later, and no subscriber can miss it.
type tap struct {
	l     net.Listener
	cloud string
	up    *ledger // arrived: acknowledged by the broker
	down  *ledger // taken: acknowledged to the broker, by the module or the daemon
	wg    sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	holding chan struct{} // closed: what comes from the module passes
	held    chan struct{} // a publish waits because of hold
}

func newTap(t *testing.T, cloud string, up, down *ledger) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{l: l, cloud: cloud, up: up, down: down, conns: map[net.Conn]bool{}, holding: make(chan struct{}), held: make(chan struct{}, 1)}
	close(p.holding)
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		l.Close()
		p.release(true)
		p.wg.Wait()
	})
	return p
}

func (p *tap) serve() {
	for {
		module, err := p.l.Accept()
		if err != nil {
			return
		}
		broker, err := net.DialTimeout("tcp", p.cloud, time.Second)
		if err != nil {
			module.Close()
			continue
		}
		p.mu.Lock()
		p.conns[module], p.conns[broker] = true, true
		p.mu.Unlock()
		s := &tapped{tap: p, module: module, broker: broker, ups: map[uint16]passing{}, downs: map[uint16]int{}}
		p.wg.Go(func() { s.carry(module, broker, s.fromModule) })
		p.wg.Go(func() { s.carry(broker, module, s.fromBroker) })
	}
}

// hold keeps back what the module sends, until release.
func (p *tap) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holding = make(chan struct{})
	select {
	case <-p.held: // of an earlier one
	default:
	}
}

// release lets it pass again, or loses it, and the connections with it.
func (p *tap) release(lose bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lose {
		for c := range p.conns {
			c.Close()
		}
	}
	select {
	case <-p.holding:
	default:
		close(p.holding)
	}
}

func (p *tap) gate() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holding
}

// tapped is one connection of the module.
type tapped struct {
	tap            *tap
	module, broker net.Conn
	mu             sync.Mutex
	ups            map[uint16]passing // by packet identifier
	downs          map[uint16]int     // the same, and the number of the message
}

// passing is a publish that the broker has not yet acknowledged.
type passing struct {
	n  int
	at time.Time
}

func (s *tapped) carry(from, to net.Conn, note func(packets.ControlPacket) (after func())) {
	defer func() {
		s.tap.mu.Lock()
		defer s.tap.mu.Unlock()
		for _, c := range []net.Conn{from, to} {
			c.Close()
			delete(s.tap.conns, c)
		}
	}()
	for {
		p, err := packets.ReadPacket(from)
		if err != nil {
			return
		}
		after := note(p)
		if err := p.Write(to); err != nil {
			return
		}
		after()
	}
}

func nothing() {}

func (s *tapped) fromModule(p packets.ControlPacket) func() {
	gate := s.tap.gate()
	select {
	case <-gate:
	default:
		if _, is := p.(*packets.PublishPacket); is {
			select {
			case s.tap.held <- struct{}{}:
			default:
			}
		}
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p := p.(type) {
	case *packets.PublishPacket:
		n, ok := number(p.Payload)
		if !ok {
			s.tap.up.spoiled(p.Payload)
			break
		}
		s.ups[p.MessageID] = passing{n, time.Now()}
	case *packets.PubackPacket:
		if n, ok := s.downs[p.MessageID]; ok {
			delete(s.downs, p.MessageID)
			return func() { s.tap.down.take(n) } // only what has reached the broker is gone for it
		}
	}
	return nothing
}

func (s *tapped) fromBroker(p packets.ControlPacket) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p := p.(type) {
	case *packets.PubackPacket:
		if publish, ok := s.ups[p.MessageID]; ok {
			delete(s.ups, p.MessageID)
			s.tap.up.arrive(publish.n, publish.at)
		}
	case *packets.PublishPacket:
		if n, ok := number(p.Payload); ok && p.Qos == 1 {
			s.downs[p.MessageID] = n
		}
	}
	return nothing
}

// ledger is what is known of the messages of one direction.
type ledger struct {
	mu      sync.Mutex
	acked   map[int]bool  // the publisher has its PUBACK
	safe    chan struct{} // closed with the next of them
	taken   map[int]bool  // down: the broker has the PUBACK of the module's side
	arrived map[int]int   // how often
	first   []int         // first arrivals, in order
	passed  []time.Time   // when each arrival had left the module
	garbage []string
}

func newLedger() *ledger {
	return &ledger{acked: map[int]bool{}, safe: make(chan struct{}), taken: map[int]bool{}, arrived: map[int]int{}}
}

func (y *ledger) ack(n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.acked[n] = true
	close(y.safe)
	y.safe = make(chan struct{})
}

func (y *ledger) take(n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.taken[n] = true
}

func (y *ledger) arrive(n int, passed time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.arrived[n]++; y.arrived[n] == 1 {
		y.first = append(y.first, n)
	}
	y.passed = append(y.passed, passed)
}

func (y *ledger) spoiled(p []byte) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.garbage = append(y.garbage, string(p))
}

// lost lists what somebody has answered for and what has not arrived.
func (y *ledger) lost(answered map[int]bool) (list []int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for n := range answered {
		if y.arrived[n] == 0 {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// through reports whether something has left the module after the moment and has arrived, and when it left.
func (y *ledger) through(after time.Time) (first time.Time, ok bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, at := range slices.Backward(y.passed) {
		if !at.After(after) {
			break
		}
		first, ok = at, true
	}
	return first, ok
}

func (y *ledger) duplicates() (n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, times := range y.arrived {
		n += times - 1
	}
	return n
}

// overtaken counts the messages that arrived after a later one of their publisher.
func (y *ledger) overtaken() (n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	last := map[int]int{}
	for _, m := range y.first {
		if who := m % publishers; m < last[who] {
			n++
		} else {
			last[who] = m
		}
	}
	return n
}
