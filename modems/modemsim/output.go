package modemsim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// reply is how a command ended. The zero value means: not yet, dce.finish will tell.
type reply struct {
	code string // "OK", "ERROR", "+CME", ...
	cme  int
	then func() // called once the final result code is on its way
}

var (
	okay    = reply{code: "OK"}
	failed  = reply{code: "ERROR"}
	pending = reply{}
)

func cme(n int) reply { return reply{code: "+CME", cme: n} }

// cmeText is 27.007, 9.2, as far as the modules here use it.
var cmeText = map[int]string{
	0: "phone failure", 1: "no connection to phone", 3: "operation not allowed", 4: "operation not supported",
	10: "SIM not inserted", 11: "SIM PIN required", 12: "SIM PUK required", 13: "SIM failure", 14: "SIM busy",
	15: "SIM wrong", 16: "incorrect password", 17: "SIM PIN2 required", 18: "SIM PUK2 required",
	407: "file already exist", // the one file error with a text on record; 421 stays a number
	20:  "memory full", 21: "invalid index", 22: "not found", 23: "memory failure",
	30: "no network service", 31: "network timeout", 32: "network not allowed - emergency calls only",
}

// numericCode is V.250, 6.2.6, table 6 of the EC600S manual: what ATV0 prints.
var numericCode = map[string]string{
	"OK": "0", "CONNECT": "1", "RING": "2", "NO CARRIER": "3", "ERROR": "4",
	"NO DIALTONE": "6", "BUSY": "7", "NO ANSWER": "8",
}

// finalCode spells a result as AT+CMEE asks (27.007, 9.1).
func (d *dce) finalCode(r reply) string {
	if r.code != "+CME" {
		return r.code
	}
	switch text := d.errors[r.cme]; {
	case d.profile.cmee == 0:
		return "ERROR"
	case d.profile.cmee == 2 && text != "":
		return "+CME ERROR: " + text
	}
	return "+CME ERROR: " + strconv.Itoa(r.cme)
}

// spell is a result code of V.250 as ATV asks for it.
func (d *dce) spell(code string) string {
	if !d.profile.verbose {
		return numericCode[code] + "\r"
	}
	return d.frame(code)
}

// print puts bytes on the TX line as of now, and returns the moment they have passed.
func (d *dce) print(p string) time.Time {
	if d.off || d.wedged || p == "" {
		return d.now
	}
	return d.emit(p)
}

// emit is print for what comes out of a module that is not there to speak.
func (d *dce) emit(p string) time.Time {
	start := later(d.now, d.txFree)
	d.out = append(d.out, segment{data: []byte(p), start: start, baud: d.baud, idle: start.Equal(d.now)})
	d.backlog += len(p)
	d.txFree = start.Add(span(len(p), d.baud))
	return d.txFree
}

// frame puts CR LF around a line, as with ATV1, or after it, as with ATV0 (V.250, 6.2.6).
func (d *dce) frame(line string) string {
	if d.profile.verbose {
		return "\r\n" + line + "\r\n"
	}
	return line + "\r\n"
}

// space puts a blank after each comma outside quotes, if the fault asks for it:
// the manuals' examples carry such blanks here and there.
func (d *dce) space(line string) string {
	if !d.f.spaces {
		return line
	}
	var b strings.Builder
	quoted := false
	for i := range len(line) {
		b.WriteByte(line[i])
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ',' && !quoted:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// info adds a line to the information response of the running command.
func (d *dce) info(format string, a ...any) {
	d.infos = append(d.infos, d.space(fmt.Sprintf(format, a...)))
}

// printInfo prints the information response of one command: its lines follow each other
// without a blank line between them (log of AT+QMTCFG=? on an EC600S).
func (d *dce) printInfo() {
	if len(d.infos) == 0 {
		return
	}
	d.print(d.frame(strings.Join(d.infos, "\r\n")))
	d.infos = nil
	d.unsolicitedInside()
}

// final ends the command line with its final result code.
func (d *dce) final(r reply) {
	d.chain = nil
	if d.f.lateOK == 0 {
		d.printFinal(r)
		return
	}
	d.busy = !d.draining
	d.after(d.f.lateOK, func() {
		d.busy = false
		d.printFinal(r)
		d.resume()
	})
}

func (d *dce) printFinal(r reply) {
	code := d.finalCode(r)
	out := d.frame(code)
	switch _, basic := numericCode[code]; {
	case code == noText, d.profile.quiet && (basic || r.code == "+CME"):
		out = ""
	case !d.profile.verbose && basic:
		out = d.spell(code)
	case d.f.compactOK && d.answered:
		out = code + "\r\n"
	}
	d.answered, d.owing = false, false
	over := d.print(out)
	if d.draining {
		d.draining, d.dropUntil, d.dropChunk = false, over, d.baud == 0
	}
	thens := d.thens
	d.thens = nil
	for _, f := range thens {
		f()
	}
}

// urc prints an unsolicited result code as soon as one may be printed.
func (d *dce) urc(line string) { d.unsolicited(d.space(line)) }

// unsolicited is urc for a line that holds what is not ours to format.
func (d *dce) unsolicited(line string) {
	if d.hushed(line) || d.muteURC != nil && d.muteURC(line) {
		return
	}
	d.raw(d.frame(line))
}

// raw is unsolicited for what has a frame of its own.
func (d *dce) raw(text string) {
	if d.off || d.wedged {
		return
	}
	d.held = append(d.held, text)
	d.settle()
	d.forget()
}

// running reports whether a command line has been taken and its final result code is still owed.
func (d *dce) running() bool { return d.busy || d.owing || d.ending != nil }

// mayInterrupt reports whether an unsolicited result code may be printed now. It never
// splits a line that is being echoed, and never comes between a prompt and the end of
// its payload; between the echo of a command and its answer it may.
func (d *dce) mayInterrupt() bool {
	if d.holdURC && d.running() && d.early == "" {
		return false
	}
	return d.phase == nil && !d.cacheURC && (len(d.line) == 0 || !d.profile.echo || d.lat.line > 0)
}

// heldBack is how many bytes of unsolicited result codes wait.
func (d *dce) heldBack() (n int) {
	for _, text := range d.held {
		n += len(text)
	}
	return n
}

// settle prints the unsolicited result codes that were held back, if they may come now.
func (d *dce) settle() {
	if len(d.held) > 0 && d.mayInterrupt() {
		d.print(strings.Join(d.held, ""))
		d.held = nil
	}
}

// unsolicitedInside is the fault urc-inside: a line that belongs to nobody where it hurts.
func (d *dce) unsolicitedInside() {
	if d.f.urcInside {
		d.print(d.frame(d.stray()))
	}
}

// async ends a command that is accepted with OK and whose outcome is told by a result
// URC that begins with prefix. start begins the work. With the fault early-urc the OK
// waits for the URC.
func (d *dce) async(prefix string, start func()) reply {
	if !d.f.earlyURC {
		return reply{code: "OK", then: start}
	}
	d.early = prefix
	d.after(0, start)
	return pending
}

// result prints a result URC.
func (d *dce) result(line string) {
	d.urc(line)
	d.released(line)
}

// released lets the OK go that was waiting for this result URC.
func (d *dce) released(line string) {
	if d.early != "" && strings.HasPrefix(line, d.early) {
		d.early = ""
		d.finish(okay)
	}
}
