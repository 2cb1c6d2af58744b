package atcmd

import (
	"time"
)

// markers are commands of 27.007 (9.1, 8.5, 8.15, 10.1.9) that every modem answers with a line of its own name. A DCE
// answers in order: the answer to the last marker proves that nothing older is owed. Each try takes another one,
// never the name of the command whose answer is owed, so that a late answer cannot pass for it.
var markers = []Command{Read("+CMEE"), Exec("+CSQ"), Read("+CCLK"), Read("+CGATT")}

const (
	probeTimeout = 3 * time.Second // some modules sleep through the first command and answer the second
	probeTries   = 3
	probeQuiet   = time.Second // the silence that stands in for the marker where a modem refuses it
)

// resync is what the loop remembers while it is out of step.
type resync struct {
	cmd    Command // whose answer is owed
	marker Command // the last one sent
	next   int     // the marker after that
	tries  int
	marked bool // the marker's information response has come
	finals int  // final results since the marker was sent
}

// abort ends the caller's wait for the command in flight, whose answer may still come.
func (e *Engine) abort(why error) {
	r := e.active
	e.active = nil
	phase := "its final result code"
	inData := r.cmd.Payload != nil && !r.prompted || e.scan.showsPrompt()
	switch {
	case inData:
		phase = "its prompt"
	case r.accepted:
		phase = r.cmd.Until
	}
	if why == ErrTimeout {
		e.timeouts.Add(1)
	}
	e.scan.prompt, e.scan.echo = "", nil
	e.resync = resync{cmd: r.cmd}
	switch {
	case r.accepted:
		e.state = idle // the final result code has come: nothing is owed
		e.clock.deadline.Stop()
	case inData:
		if r.cmd.Payload == nil {
			why = ErrPrompt
		}
		e.hang()
	case why == ErrTimeout:
		e.probe()
	default:
		e.state = late // the alarm goes on: the command has the rest of its documented time
	}
	r.reply <- &LineError{r.cmd.String(), phase, why}
}

// hang waits for the DCE to leave its data state: whatever is written now could become payload, and be published.
func (e *Engine) hang() {
	if e.grammar.EditTimeout == 0 {
		e.fail(ErrResync)
		return
	}
	e.state = hung
	e.clock.deadline.Reset(e.grammar.EditTimeout + probeQuiet)
}

// probe sends the marker.
func (e *Engine) probe() {
	if e.resync.tries == 0 {
		e.resyncs.Add(1)
	}
	e.resync.tries++
	if e.resync.tries > probeTries {
		e.fail(ErrResync)
		return
	}
	e.state = probing
	for e.resync.marker = markers[e.resync.next]; e.resync.cmd.named(e.resync.marker.Line); {
		e.resync.next++
		e.resync.marker = markers[e.resync.next]
	}
	e.resync.next++
	e.resync.marked, e.resync.finals = false, 0
	e.clock.deadline.Reset(probeTimeout)
	e.write([]byte("AT"+e.resync.marker.Line+"\r"), nil)
}

// expired is the alarm of whatever state the loop is in.
func (e *Engine) expired() {
	switch e.state {
	case busy:
		e.abort(ErrTimeout)
	case late, hung:
		e.probe()
	case probing:
		if e.resync.tries == probeTries && e.resync.finals > 0 {
			e.state = idle // it answers, though not to +CMEE, and has been quiet since
			return
		}
		e.probe()
	}
}

// lateLine takes a line while an answer is owed. It belongs to the command that has ended, to the marker, or to
// nobody; never to the next command, which has not been sent.
func (e *Engine) lateLine(l Line) {
	if l.Block != nil {
		e.unsolicited(l)
		return
	}
	if e.state == probing {
		if own, _ := e.resync.marker.owns(l.Head); own {
			e.resync.marked = true
			return
		}
	}
	cmd := &e.resync.cmd
	if done, _ := final(cmd, l.Head); done || looksFinal(l.Head) {
		e.lateFinal()
		return
	}
	if isEcho(cmd, l.Head) || l.Head == ">" {
		return
	}
	for i := range markers {
		if own, _ := markers[i].owns(l.Head); own || isEcho(&markers[i], l.Head) {
			return
		}
	}
	if e.grammar.attribute(cmd, l.Head) != ownAnswer {
		e.unsolicited(l)
	}
}

func (e *Engine) lateFinal() {
	switch {
	case e.state == probing && e.resync.marked:
		e.state = idle
		e.clock.deadline.Stop()
	case e.state == probing:
		e.stale.Add(1)
		e.resync.finals++
		if e.resync.tries == probeTries {
			e.clock.deadline.Reset(probeQuiet)
		}
	default: // late: the answer has come, and a DCE answers each command once
		e.stale.Add(1)
		e.state = idle
		e.clock.deadline.Stop()
	}
}
