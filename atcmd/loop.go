package atcmd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// state is what the loop is doing.
type state int

const (
	idle    state = iota // in step, nothing in flight
	busy                 // a command is in flight
	late                 // a command has ended without its final result code, which may still come
	probing              // the marker command is in flight
	hung                 // the DCE may be waiting for payload: nothing may be written
)

// blockSilence is how long counted data may stop coming before its announcement is taken for noise.
const blockSilence = 5 * time.Second

// takenGrace is how long OK may come behind the URC that Command.Taken names, before it is taken for omitted.
const takenGrace = time.Second

// clock is the loop's two alarms.
type clock struct {
	deadline *time.Timer // of the command, the probe, or the data state
	block    *time.Timer // of counted data
	inBlock  bool        // block is set
	prompt   bool        // the prompt in the scanner was seen before
}

// loop is the only goroutine that writes to the port, and the only one that closes it.
func (e *Engine) loop() {
	e.clock.deadline, e.clock.block = stopped(), stopped()
	var spare []byte
	for e.err == nil {
		var requests chan *request
		var grammars chan Grammar
		var cancelled <-chan struct{}
		var silence <-chan time.Time
		if e.clock.inBlock {
			silence = e.clock.block.C
		}
		switch e.state {
		case idle:
			requests, grammars = e.requests, e.grammars
		case busy:
			cancelled = e.active.ctx.Done()
		}
		select {
		case <-e.inbox.ready:
			p, err := e.inbox.take(spare)
			e.receive(p)
			if err != nil {
				e.fail(readError(err))
			}
			spare = p
		case r := <-requests:
			e.begin(r)
		case g := <-grammars:
			e.grammar = g
		case <-cancelled:
			e.abort(e.active.ctx.Err())
		case <-e.clock.deadline.C:
			e.expired()
		case <-silence:
			e.clock.inBlock = false
			e.scan.abandon(e.event)
			e.unexpected.Add(1)
			e.scanned()
		case <-e.quit:
			e.fail(ErrClosed)
		}
	}
	e.tap.flush(e.inFlight())
	e.port.Close() // a failed close changes nothing for anybody
	if e.active != nil {
		e.active.reply <- &LineError{e.active.cmd.String(), "", e.err}
	}
	close(e.urcs)
	close(e.done)
}

// fail ends the loop. The first reason stands.
func (e *Engine) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func readError(err error) error {
	if errors.Is(err, ErrOverrun) || errors.Is(err, ErrClosed) {
		return err
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the port was unplugged", ErrClosed)
	}
	return fmt.Errorf("%w: read: %w", ErrClosed, err)
}

// begin writes the command line.
func (e *Engine) begin(r *request) {
	if err := r.ctx.Err(); err != nil {
		r.reply <- &LineError{r.cmd.String(), "", err}
		return
	}
	e.active, e.state = r, busy
	e.commands.Add(1)
	e.tap.learn(r.cmd.Secret)
	e.scan.prompt = r.cmd.prompt()
	e.clock.deadline.Reset(r.cmd.timeout())
	e.line = append(append(append(e.line[:0], "AT"...), r.cmd.Line...), cmp.Or(r.cmd.End, e.grammar.End, "\r")...)
	e.write(e.line, r.cmd.Secret)
}

func (e *Engine) write(p []byte, secrets []string) {
	e.tap.sent(p, secrets, e.inFlight())
	n, err := e.port.Write(p)
	e.bytesOut.Add(uint64(n))
	if err != nil {
		e.fail(fmt.Errorf("%w: write: %w", ErrClosed, err))
	}
}

// receive scans bytes from the port and acts on what they are.
func (e *Engine) receive(p []byte) {
	e.bytesIn.Add(uint64(len(p)))
	e.tap.received(p, e.inFlight())
	e.scan.feed(p, e.event)
	e.scanned()
}

// scanned looks at what the scanner has in progress.
func (e *Engine) scanned() {
	if e.scan.showsPrompt() && e.state != busy && !e.clock.prompt {
		e.sawPrompt()
	}
	e.clock.prompt = e.scan.showsPrompt()
	switch {
	case e.scan.inBlock:
		e.clock.block.Reset(blockSilence)
		e.clock.inBlock = true
	case e.clock.inBlock:
		e.clock.block.Stop()
		e.clock.inBlock = false
	}
}

// inFlight is the command in flight, or the one whose answer is owed.
func (e *Engine) inFlight() *Command {
	if e.active != nil {
		return &e.active.cmd
	}
	return &e.resync.cmd
}

func (e *Engine) event(ev event) {
	switch {
	case ev.kind == noiseEvent:
		e.unexpected.Add(1)
	case ev.kind == promptEvent:
		e.prompted()
	default:
		e.handle(Line{Head: text(ev.head), Block: clone(ev.block), Tail: string(ev.tail)})
	}
}

func clone(p []byte) []byte {
	if p == nil {
		return nil
	}
	return append([]byte{}, p...)
}

// prompted writes the payload: only here, and only for the command in flight whose prompt has come.
func (e *Engine) prompted() {
	if e.state != busy || e.active.prompted {
		return
	}
	r := e.active
	r.prompted = true
	if e.grammar.PayloadEcho && !looksLikeAnswer(r.cmd.Payload) {
		e.scan.awaitEcho(r.cmd.Payload)
	}
	e.clock.deadline.Reset(r.cmd.timeout())
	e.write(r.cmd.Payload, r.cmd.Secret)
}

// looksLikeAnswer reports whether payload could be mistaken for the answer to itself. Its echo, if it comes, then is:
// the command ends a little early, with its payload written. The other way round it would never end.
func looksLikeAnswer(payload []byte) bool {
	first, _, _ := strings.Cut(strings.TrimLeft(string(payload), "\r\n"), "\r")
	return len(payload) > 0 && (first == "" || looksFinal(first) || strings.HasPrefix("OK", first))
}

// text is string(p), without an allocation for the commonest line of all.
func text(p []byte) string {
	if string(p) == "OK" {
		return "OK"
	}
	return string(p)
}

// handle finds the owner of a line.
func (e *Engine) handle(l Line) {
	if l.Head == ">" && l.Block == nil && e.state != busy {
		if !e.clock.prompt {
			e.sawPrompt()
		}
		return
	}
	if l.Block == nil && e.grammar.isReboot(l.Head) {
		e.rebooted(l)
		return
	}
	switch e.state {
	case busy:
		e.answer(l)
	case late, probing:
		e.lateLine(l)
	case hung:
		if looksFinal(l.Head) && l.Block == nil {
			e.stale.Add(1)
			e.probe() // the data state is over
			return
		}
		e.unsolicited(l)
	default:
		e.unsolicited(l)
	}
}

// answer takes a line while a command is in flight.
func (e *Engine) answer(l Line) {
	r := e.active
	if l.Block == nil {
		if isEcho(&r.cmd, l.Head) {
			return
		}
		if done, err := final(&r.cmd, l.Head); done {
			e.finalResult(l.Head, err)
			return
		}
	}
	if r.cmd.Until != "" && !r.until && hasPrefix(l.Head, r.cmd.Until) {
		r.resp.Until, r.until = l, true
		if r.accepted {
			e.finish(nil)
		}
		return
	}
	if r.prompted && r.cmd.Taken != "" && hasPrefix(l.Head, r.cmd.Taken) {
		e.unsolicited(l)
		r.taken = true
		e.clock.deadline.Reset(takenGrace)
		if r.early {
			e.finish(nil)
		}
		return
	}
	if !r.accepted && e.grammar.attribute(&r.cmd, l.Head) == ownAnswer {
		r.resp.Info = append(r.resp.Info, l)
		return
	}
	e.unsolicited(l)
}

func (e *Engine) finalResult(line string, err error) {
	r := e.active
	r.resp.Final = line
	if err != nil {
		e.finish(&CommandError{Command: r.cmd.String(), Result: line, Err: err})
		return
	}
	if r.cmd.Payload != nil && !r.prompted {
		if r.cmd.Taken != "" && !r.early {
			r.early = true
			return
		}
		// The DCE has ended the command without asking for its payload; the next prompt would not be ours.
		e.finish(&CommandError{Command: r.cmd.String(), Result: line, Err: errNoPrompt})
		return
	}
	r.accepted = true
	if r.cmd.Until == "" || r.until {
		e.finish(nil)
	}
}

var errNoPrompt = errors.New("ended before it asked for the payload")

func isEcho(c *Command, line string) bool {
	return len(line) == len(c.Line)+2 && (line[:2] == "AT" || line[:2] == "at") && line[2:] == c.Line
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

// finish gives the command in flight its end; the line is in step.
func (e *Engine) finish(err error) {
	e.clock.deadline.Stop()
	e.scan.prompt, e.scan.echo = "", nil
	r := e.active
	e.active, e.state = nil, idle
	r.reply <- err
}

// unsolicited queues a URC. One that does not fit ends the engine: a lost URC may be a lost message.
func (e *Engine) unsolicited(l Line) {
	name := e.grammar.urc(l.Head)
	if name == "" && e.grammar.isReboot(l.Head) {
		name = l.Head
	}
	switch {
	case name != "":
		e.mu.Lock()
		e.urcNames[name]++
		e.mu.Unlock()
	case l.Block == nil && looksFinal(l.Head):
		e.stale.Add(1)
		return
	default:
		e.unexpected.Add(1)
		if isNoise(l.Head) {
			return
		}
	}
	select {
	case e.urcs <- l:
	default:
		e.overruns.Add(1)
		e.fail(ErrOverrun)
	}
}

func (e *Engine) rebooted(l Line) {
	e.clock.deadline.Stop()
	if r := e.active; r != nil {
		e.active = nil
		r.reply <- &LineError{r.cmd.String(), "", ErrReboot}
	}
	e.state, e.scan.prompt, e.scan.echo = idle, "", nil
	e.unsolicited(l)
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
