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
	probeQuiet   = time.Second // how much longer than the edit timeout nothing is written
)

// resync is what the loop remembers while it is out of step.
type resync struct {
	cmd    Command // whose answer is owed
	marker Command // the last one sent
	next   int     // the marker after that
	tries  int
	marked bool // the marker's information response has come
	finals int  // final results since the command was given up
}

// abort ends the caller's wait for the command in flight, whose answer may still come.
func (e *Engine) abort(why error) {
	r := e.active
	e.active = nil
	phase := "its final result code"
	// A payload may have lost a byte on its way: then the DCE still waits for it.
	inData := r.cmd.Payload != nil && !r.accepted || e.scan.showsPrompt()
	switch {
	case r.accepted:
		phase = r.cmd.Until
	case r.cmd.Payload != nil && !r.prompted:
		phase = "its prompt"
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

// probe sends a marker.
func (e *Engine) probe() {
	r := &e.resync
	if r.tries == 0 {
		e.resyncs.Add(1)
	}
	r.tries++
	for r.next < len(markers) && r.cmd.named(markers[r.next].Line) {
		r.next++
	}
	if r.tries > probeTries || r.next == len(markers) {
		e.fail(ErrResync)
		return
	}
	e.state = probing
	r.marker, r.marked = markers[r.next], false
	r.next++
	e.clock.deadline.Reset(probeTimeout)
	e.write([]byte("AT"+e.resync.marker.Line+"\r"), nil)
}

// expired is the alarm of whatever state the loop is in.
func (e *Engine) expired() {
	switch {
	case e.state == busy && e.active.taken:
		e.finish(nil)
	case e.state == busy:
		e.abort(ErrTimeout)
	case e.state == late, e.state == hung, e.state == probing:
		e.probe()
	}
}

// sawPrompt reacts to a prompt that comes while no payload is ours to send: whatever is written next would be taken
// for it. It counts in every state but busy, where a command's own end comes first.
func (e *Engine) sawPrompt() {
	if e.state == idle {
		e.resync = resync{}
	}
	if e.state != busy {
		e.unexpected.Add(1)
		e.hang()
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
	done, _ := final(cmd, l.Head)
	switch isResult := looksFinal(l.Head); {
	case e.resync.marked && done && !isResult: // the end that the command declares has overtaken the marker's OK
		e.stale.Add(1)
		return
	case done, e.resync.marked && isResult:
		e.lateFinal()
		return
	case isResult: // the OK on the way to the end that the command declares
		return
	}
	if isEcho(cmd, l.Head) {
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
	r := &e.resync
	switch {
	case e.state == late: // the answer has come, and a DCE answers each command once
		e.stale.Add(1)
	case r.marked:
		// in step: nothing older than the marker is owed
	default:
		e.stale.Add(1)
		// A modem may refuse the markers. It is in step too when more results have come than markers were sent: one
		// for each of them, and the one for the command.
		if r.finals++; r.finals <= r.tries {
			return
		}
	}
	e.state = idle
	e.clock.deadline.Stop()
}
