package atcmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"
)

// Commander runs AT commands, one at a time and in order.
type Commander interface {
	Do(ctx context.Context, c Command) (Response, error)
}

// Line is one line from the modem: an information response or a URC. Head is the whole of it unless it announced
// counted data; then Head ends with the announcement, Block is the data, Tail the rest of the line behind the data.
type Line struct {
	Head  string
	Block []byte
	Tail  string
}

// String is the line with its data between, for people.
func (l Line) String() string { return l.Head + string(l.Block) + l.Tail }

// Response is how a command that succeeded was answered.
type Response struct {
	Info  []Line // information responses, in order, URCs not among them
	Final string // the final result code
	Until Line   // the URC that Command.Until waited for
}

// Text joins the heads of the information responses with newlines.
func (r Response) Text() string {
	s := ""
	for i, l := range r.Info {
		if i > 0 {
			s += "\n"
		}
		s += l.Head
	}
	return s
}

// Counters of one Engine. In a clean run all but the first three and URCs are zero.
type Counters struct {
	BytesIn, BytesOut, Commands uint64
	Timeouts                    uint64 // commands without a final result in time
	StaleAnswers                uint64 // final results that came after their command had ended
	UnexpectedLines             uint64 // lines that belong to nobody: noise, URCs in no table
	Resyncs                     uint64 // times the engine had to prove that it is in step
	Overruns                    uint64
	URCs                        map[string]uint64 // by the grammar's name for them
}

// Option of New.
type Option func(*Engine)

// WithTap shows what passes on the wire.
func WithTap(t Tap) Option { return func(e *Engine) { e.tap.tap = t } }

// WithGrammar sets the first grammar.
func WithGrammar(g Grammar) Option { return func(e *Engine) { e.grammar = g } }

// urcQueue bounds the URCs that wait to be taken. At 115200 baud it is some seconds of the shortest lines.
const urcQueue = 1024

// Engine drives one AT command channel. Its methods may be called from several goroutines.
type Engine struct {
	port io.ReadWriteCloser
	turn chan struct{} // holds a token while somebody may send; waiters are served in order

	requests chan *request
	grammars chan Grammar
	urcs     chan Line
	quit     chan struct{} // closed by Close
	quitOnce sync.Once
	done     chan struct{} // closed when the loop has ended
	err      error         // why; set before done is closed

	inbox inbox

	// Only the holder of the turn touches it, and the loop between request and reply.
	request request

	// Only the loop touches these.
	grammar Grammar
	scan    scanner
	tap     tapper
	state   state
	active  *request
	clock   clock
	resync  resync
	line    []byte // the command line being written

	mu       sync.Mutex
	urcNames map[string]uint64 // guarded by mu

	bytesIn, bytesOut, commands, timeouts, stale, unexpected, resyncs, overruns atomic.Uint64
}

type request struct {
	cmd   Command
	ctx   context.Context
	reply chan error // one value, when resp is complete and the loop has let go of the request
	resp  Response

	accepted bool // OK seen, waiting for Until
	until    bool // Until seen
	prompted bool // payload written
	early    bool // OK seen before the prompt
	taken    bool // Taken seen
}

// New starts an engine on port, which it owns from now on: nobody else reads, writes or closes it. A Write of
// port must come back, with an error if it is stuck (package tty does): the loop waits for it.
func New(port io.ReadWriteCloser, opts ...Option) *Engine {
	e := &Engine{
		port:     port,
		turn:     make(chan struct{}, 1),
		requests: make(chan *request),
		grammars: make(chan Grammar),
		urcs:     make(chan Line, urcQueue),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
		urcNames: map[string]uint64{},
	}
	e.inbox.init()
	e.request.reply = make(chan error, 1)
	for _, o := range opts {
		o(e)
	}
	e.scan.grammar = &e.grammar
	go e.inbox.fill(port)
	go e.loop()
	return e
}

// Do sends c when its turn comes and returns the answer.
//
//   - nil: the final result code was a good one; the Response is complete.
//   - a *CommandError: the modem refused; it may wrap a CMEError or CMSError.
//   - ErrArgument: nothing was written.
//   - ErrTimeout or ctx's error: the answer did not come in time. It will be swallowed when it comes.
//   - ErrReboot, ErrClosed, ErrResync, ErrOverrun: the line is not what it was; see there.
func (e *Engine) Do(ctx context.Context, c Command) (Response, error) {
	if err := e.take(ctx); err != nil {
		return Response{}, fmt.Errorf("%s: %w", c, err)
	}
	defer e.release()
	return e.submit(ctx, c)
}

// Exclusive runs fn, whose Commander has the line for itself until fn returns.
func (e *Engine) Exclusive(ctx context.Context, fn func(Commander) error) error {
	if err := e.take(ctx); err != nil {
		return err
	}
	defer e.release()
	return fn(holder{e})
}

type holder struct{ e *Engine }

func (h holder) Do(ctx context.Context, c Command) (Response, error) { return h.e.submit(ctx, c) }

// Use replaces the grammar between two commands, once the command in flight has ended.
func (e *Engine) Use(ctx context.Context, g Grammar) error {
	select {
	case e.grammars <- g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.done:
		return e.err
	}
}

// URCs is the queue of unsolicited lines, in the order in which they came. One goroutine takes them and must not
// call Do while it does. It is closed when the engine has ended.
func (e *Engine) URCs() <-chan Line { return e.urcs }

// Done is closed when the line is lost or closed; Err then says why.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err is why the engine ended; nil while it runs.
func (e *Engine) Err() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

// Close ends the engine and closes the port. It is safe to call twice.
func (e *Engine) Close() error {
	e.quitOnce.Do(func() { close(e.quit) })
	<-e.done
	return nil
}

// Counters is a snapshot.
func (e *Engine) Counters() Counters {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Counters{
		URCs:    maps.Clone(e.urcNames),
		BytesIn: e.bytesIn.Load(), BytesOut: e.bytesOut.Load(), Commands: e.commands.Load(),
		Timeouts: e.timeouts.Load(), StaleAnswers: e.stale.Load(), UnexpectedLines: e.unexpected.Load(),
		Resyncs: e.resyncs.Load(), Overruns: e.overruns.Load(),
	}
}

func (e *Engine) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.done:
		return e.err
	}
}

func (e *Engine) release() { <-e.turn }

func (e *Engine) submit(ctx context.Context, c Command) (Response, error) {
	r := &e.request
	*r = request{cmd: c, ctx: ctx, reply: r.reply}
	if err := r.cmd.check(); err != nil {
		return Response{}, err
	}
	select {
	case e.requests <- r:
	case <-ctx.Done():
		return Response{}, &LineError{r.cmd.String(), "the line to be free", ctx.Err()}
	case <-e.done:
		return Response{}, &LineError{r.cmd.String(), "", e.err}
	}
	err := <-r.reply // the loop minds ctx
	return r.resp, err
}
