package modemsim

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says which module is simulated, how it is reached and what is wrong with it.
// The zero value of a field is a sensible module; only Model is required.
type Config struct {
	Model   string                        // one of Models
	Baud    int                           // 8N1, both directions; 0: not paced
	RTT     time.Duration                 // round-trip time between the module and what it dials
	Latency string                        // "none": answers at once; "sheet": the times of the fact sheet
	Map     map[string]string             // "host:port" the module dials -> "addr:port" really dialled
	Faults  []string                      // "name" or "name=value", see Faults
	Seed    int64                         // for faults of chance and for drawn latencies
	Wire    func(fromHost bool, p []byte) // what passed on the wire, in order, from one goroutine
	Log     *slog.Logger                  // what happened behind the wire; nil: nothing
}

// Sim is a running module. Its methods may be called from any goroutine.
type Sim struct {
	cfg    Config
	faults faults
	pty    atomic.Pointer[pty] // Replug brings another one
	plug   sync.Mutex          // guards the change of pty against Close
	reach  *reach
	log    *slog.Logger

	baud   atomic.Int64 // of the module's UART; transmit changes it when the OK of AT+IPR has passed
	rx     chan piece
	tx     chan segment
	events chan func(*dce) // from the network; held back while the TX line is congested
	calls  chan func(*dce) // from Inject and what else happens to a running module; never held back
	taps   chan tapped
	chunks chan chunk
	ctx    context.Context // ends with Close
	end    context.CancelFunc
	done   <-chan struct{} // of ctx
	wg     sync.WaitGroup

	count   counters
	rxMeter meter
	txMeter meter
}

type tapped struct {
	fromHost bool
	data     []byte
}

// Start opens a pseudo-terminal and boots the module behind it.
func Start(cfg Config) (*Sim, error) {
	build, found := models[cfg.Model]
	if !found {
		return nil, fmt.Errorf("modemsim: unknown model %q; there are: %s", cfg.Model, strings.Join(Models(), ", "))
	}
	if cfg.Latency == "" {
		cfg.Latency = "none"
	}
	if cfg.Latency != "none" && cfg.Latency != "sheet" {
		return nil, fmt.Errorf("modemsim: unknown latency profile %q; there are: none, sheet", cfg.Latency)
	}
	if cfg.Baud < 0 || cfg.Baud > 10_000_000 {
		return nil, fmt.Errorf("modemsim: baud rate %d is out of range; 0 means that the line is not paced", cfg.Baud)
	}
	f, err := parseFaults(cfg.Faults)
	if err != nil {
		return nil, err
	}
	for _, spec := range cfg.Faults {
		if name, _, _ := strings.Cut(spec, "="); !applies(name, cfg.Model) {
			return nil, fmt.Errorf("modemsim: fault %q means nothing on %s", name, cfg.Model)
		}
	}
	pty, err := openPTY(cfg.Baud)
	if err != nil {
		return nil, fmt.Errorf("modemsim: open a pseudo-terminal: %w", err)
	}
	s := &Sim{
		cfg:    cfg,
		faults: f,
		reach:  newReach(),
		log:    cfg.Log,
		rx:     make(chan piece),
		tx:     make(chan segment),
		events: make(chan func(*dce)),
		calls:  make(chan func(*dce)),
		taps:   make(chan tapped, 256),
		chunks: make(chan chunk, 4),
	}
	s.pty.Store(pty)
	s.ctx, s.end = context.WithCancel(context.Background())
	s.done = s.ctx.Done()
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.baud.Store(int64(cfg.Baud))
	if cfg.Baud > 0 && f.wrongBaud > 0 {
		s.baud.Store(int64(f.wrongBaud))
	}
	d := newDCE(s, build)
	s.wg.Go(func() { s.read(pty) })
	s.wg.Go(s.receive)
	s.wg.Go(s.transmit)
	s.wg.Go(func() { s.run(d) })
	s.wg.Go(s.share)
	if cfg.Wire != nil {
		s.wg.Go(s.tap)
	}
	return s, nil
}

// share keeps the port open for the next host, whatever becomes of this one.
func (s *Sim) share() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.pty.Load().share()
		case <-s.done:
			return
		}
	}
}

// Path returns the device that the host opens, such as /dev/pts/7.
func (s *Sim) Path() string { return s.pty.Load().path }

// Inject makes the module print an unsolicited result code as soon as it may.
func (s *Sim) Inject(line string) {
	s.post(s.calls, func(d *dce) { d.unsolicited(line) })
}

// Close ends the module, its connections and every goroutine.
func (s *Sim) Close() error {
	s.end()
	s.plug.Lock()
	defer s.plug.Unlock()
	s.Unplug()
	s.wg.Wait()
	return nil
}

// Models lists the modules that can be simulated.
func Models() []string { return slices.Sorted(maps.Keys(models)) }

// Faults lists the fault specs that Config.Faults takes, each with one line of explanation.
func Faults() []string {
	var lines []string
	for _, f := range faultTable {
		lines = append(lines, fmt.Sprintf("%-18s %s", f.usage(), f.explain()))
	}
	return lines
}

// post hands f to the goroutine that owns the module. It reports false if the module is gone.
func (s *Sim) post(c chan func(*dce), f func(*dce)) bool {
	select {
	case c <- f:
		return true
	case <-s.done:
		return false
	}
}

// congested is the backlog of the TX line above which the module stops listening
// to the network, so that a flood from the broker is held back by TCP and not by RAM.
const congested = 4096

// run owns the module: every field of dce belongs to this goroutine.
func (s *Sim) run(d *dce) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	defer d.shutdown()
	for {
		var (
			due    <-chan time.Time
			out    chan<- segment
			head   segment
			rx     = s.rx
			events = s.events
		)
		next := d.earliest()
		if next != nil {
			clock.Reset(time.Until(next.at))
			due = clock.C
		}
		if len(d.out) > 0 {
			out, head = s.tx, d.out[0]
		}
		if d.busy && !d.frozen {
			rx = nil // a command is running: what the host sends waits (TCP/IP AN V1.2, 2.2.2)
		}
		if d.backlog > congested || d.phase != nil && d.heldBack() > congested {
			events = nil
		}
		if d.frozen {
			due, events = nil, nil
		}
		select {
		case p := <-rx:
			d.receive(p)
		case out <- head:
			d.out = d.out[1:]
			d.backlog -= len(head.data)
		case <-due:
			d.advance(next.at)
			d.fire(next)
		case f := <-events:
			d.advance(time.Now())
			f(d)
		case f := <-s.calls:
			d.advance(time.Now())
			f(d)
		case <-s.done:
			return
		}
		d.settle()
	}
}

// wire tells the tap what passes. It copies, because the tap may keep the bytes.
func (s *Sim) wire(fromHost bool, p []byte) {
	if s.cfg.Wire == nil {
		return
	}
	select {
	case s.taps <- tapped{fromHost, slices.Clone(p)}:
	case <-s.done:
	}
}

func (s *Sim) tap() {
	for {
		select {
		case t := <-s.taps:
			s.cfg.Wire(t.fromHost, t.data)
		case <-s.done:
			return
		}
	}
}

// random returns a source of its own for each goroutine that needs one.
func (s *Sim) random(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(s.cfg.Seed), stream))
}
