package modemsim

import (
	"math/rand/v2"
	"time"
)

// maxLine is the longest command line. The manual says that there is a limit (AT manual
// V1.1, 2.15) and not which; ours is generous.
const maxLine = 1024

// dce is the module as the line sees it: its state in the sense of V.250, and the means
// by which commands answer. It is owned by Sim.run; nothing here is locked.
type dce struct {
	sim   *Sim
	f     *faults
	lat   latency
	rnd   *rand.Rand
	build func(*dce) model
	model

	discipline

	now    time.Time // of the line: when what is being handled happened
	timers []*timer

	// The TX line.
	out     []segment // printed and not yet taken by transmit
	backlog int       // bytes in out
	txFree  time.Time // when all of out has passed
	baud    int       // of the line as of txFree
	rate    int       // what AT+IPR asked for: the line takes it after OK
	held    []string  // unsolicited result codes that may not be printed yet

	// The command line.
	profile profile
	nvm     nvm
	line    []byte
	tooLong bool
	afterCR bool
	ending  *timer // the line is complete, but for an LF that may still come
	deaf    int    // so many command lines vanish
	last    []byte // for A/
	echoed  []byte // to be echoed
	rest    []byte // received while a command was running

	// The running command line.
	owing    bool // a final result code
	busy     bool // input waits
	chain    []call
	infos    []string
	answered bool // an information response was printed
	thens    []func()
	early    string

	// The data phase.
	phase     *phase
	draining  bool      // surplus bytes are dropped until the final result code
	dropUntil time.Time // has passed
	dropChunk bool      // the same on a line that takes no time
	prompts   int

	off, wedged bool
	ailing
	muteURC  func(line string) bool // which URCs do not belong on this port
	cacheURC bool                   // all are held back (AT manual V1.1, 4.3.9)
}

// phase is a data phase: want bytes that are no command, whatever they look like.
type phase struct {
	want  int  // so many bytes; -1: until Ctrl-Z, and ESC gives up
	mute  bool // no prompt
	file  bool // the prompt is CONNECT (FILE AN V1.0)
	acks  bool // an A follows each ackEvery bytes, the last of all excepted
	buf   []byte
	echo  bool
	idle  *timer // ends the phase when the host falls silent; nil: never
	quiet time.Duration
	lapse func(data []byte) reply // what silence leads to; nil: ERROR
	done  func(data []byte) reply
}

func newDCE(s *Sim, build func(*dce) model) *dce {
	d := &dce{sim: s, f: &s.faults, rnd: s.random(0), build: build, now: time.Now()}
	d.baud = int(s.baud.Load())
	d.nvm = newNVM(d.baud)
	d.start()
	if d.f.noise > 0 {
		d.makeNoise(d.now.Add(d.f.noise))
	}
	if d.f.bootDelay > 0 {
		d.powerUp(d.f.bootDelay)
	} else {
		d.model.boot() // it has been on for a while
	}
	return d
}

// start is the module right after power-on, before it has said anything.
func (d *dce) start() {
	d.profile = d.nvm.profile
	d.profile.cmee = 1 // not stored by AT&W (AT manual V1.1, table 8)
	if d.f.echo != "" {
		d.profile.echo = d.f.echo == "on"
	}
	d.rate = d.nvm.baud
	d.adoptRate()
	d.muteURC = nil
	d.cacheURC = d.nvm.cfg["urc/cache"] == "1" // saved over power-off
	d.discipline = d.usual()
	d.model = d.build(d)
	if d.f.noMQTT {
		d.model.commands = without(d.model.commands, mqttCommands...)
	}
	d.lat = latency{boot: 300 * time.Millisecond, down: 100 * time.Millisecond}
	if d.sim.cfg.Latency == "sheet" {
		d.lat = d.model.sheet
	}
	if d.f.bootDelay > 0 {
		d.lat.boot = d.f.bootDelay
	}
}

// reboot loses all that is not in non-volatile memory; the banner follows after the boot delay.
func (d *dce) reboot() {
	d.sim.count.reboots.Add(1)
	d.halt()
	d.start()
	d.powerUp(d.lat.boot)
	if d.f.ghost {
		d.after(d.lat.boot/2, func() { d.emit(d.frame(d.discipline.ghost)) })
	}
}

func (d *dce) powerUp(delay time.Duration) {
	d.off = true
	d.after(delay, func() {
		d.off, d.deaf = false, d.f.swallow
		d.model.banner()
		d.model.boot()
	})
}

// halt stops everything: what was running, what was about to run, and every connection.
func (d *dce) halt() {
	d.model.drop()
	d.timers, d.held, d.line, d.echoed, d.rest, d.chain, d.infos, d.thens = nil, nil, nil, nil, nil, nil, nil, nil
	d.phase, d.early, d.ending, d.ailing = nil, "", nil, d.rebooted()
	d.owing, d.busy, d.tooLong, d.afterCR, d.answered, d.draining, d.wedged = false, false, false, false, false, false, false
}

func (d *dce) shutdown() { d.model.drop() }

// adoptRate changes the UART's rate with the last byte printed so far.
func (d *dce) adoptRate() {
	if d.rate == d.baud {
		return
	}
	if len(d.out) == 0 {
		d.out = append(d.out, segment{start: later(d.now, d.txFree), baud: d.baud})
	}
	d.out[len(d.out)-1].rate = d.rate
	d.baud = d.rate
}

// receive takes a piece of the RX line.
func (d *dce) receive(p piece) {
	if d.frozen {
		return
	}
	d.dropChunk = false
	for i, b := range p.data {
		d.advance(p.at(i))
		if d.busy {
			d.rest = append(d.rest, p.data[i:]...)
			break
		}
		d.take(b)
	}
	d.flushEcho()
}

// resume goes on with what was received while a command was running.
func (d *dce) resume() {
	for len(d.rest) > 0 && !d.busy {
		b := d.rest[0]
		d.rest = d.rest[1:]
		d.take(b)
	}
	d.flushEcho()
	d.settle()
}

func (d *dce) take(b byte) {
	switch {
	case d.off || d.wedged:
	case d.ending != nil:
		d.endLine(b)
	case d.phase != nil && d.eatLF && d.afterCR:
		d.afterCR = false
		if b != '\n' {
			d.payload(b)
		}
	case d.phase != nil:
		d.payload(b)
	case d.draining || d.dropChunk || d.now.Before(d.dropUntil):
		// Surplus of a data phase: deleted, not parsed (MQTT AN V1.0, QMTPUBEX).
	default:
		d.command(b)
	}
}

// command takes a byte in command state (V.250, 5.2).
func (d *dce) command(b byte) {
	if b == '\n' && d.afterCR {
		return // the LF of a host that ends lines with CR LF
	}
	d.afterCR = false
	if d.profile.echo {
		d.echoed = append(d.echoed, b)
	}
	switch {
	case b == '\r':
		d.afterCR = true
		if d.waitLF > 0 && d.lat.line > 0 {
			d.ending = d.after(d.waitLF, d.complete)
			return
		}
		d.complete()
	case b == '/' && len(d.line) == 1 && d.line[0]|0x20 == 'a':
		d.line = nil
		d.submit(d.last, false) // A/ needs no CR (AT manual V1.1, 2.17)
	case b == '\b':
		d.line = d.line[:max(0, len(d.line)-1)]
	case b < ' ' && !openQuote(d.line):
		// V.250, 5.2.2: a control character outside a string means nothing.
	case len(d.line) >= d.longest && d.restart:
		d.line = []byte{b}
	case len(d.line) >= d.longest:
		d.tooLong = true
	default:
		d.line = append(d.line, b)
	}
}

// submit runs a command line, after the time that the module takes to look at it.
func (d *dce) submit(line []byte, tooLong bool) {
	if _, found := prefix(line); !found {
		d.settle()
		return
	}
	if d.deaf > 0 {
		d.deaf--
		d.echoed = nil
		return
	}
	d.last = line
	if d.lat.line == 0 {
		d.runLine(line, tooLong)
		return
	}
	d.busy = true
	d.after(d.between(d.lat.line, 2*d.lat.line), func() {
		d.busy = false
		d.runLine(line, tooLong)
		d.resume()
	})
}

func (d *dce) runLine(line []byte, tooLong bool) {
	d.printEcho()
	body, _ := prefix(line)
	d.sim.count.commands.Add(1)
	d.owing = true
	d.unsolicitedInside()
	calls, valid := split(body)
	if tooLong || !valid {
		d.final(failed)
		return
	}
	d.chain = calls
	d.proceed()
}

// proceed runs the commands of a line one after the other until one has to wait.
// The first that fails ends the line (V.250, 5.4; AT manual V1.1, 11.5).
func (d *dce) proceed() {
	for len(d.chain) > 0 {
		c := d.chain[0]
		d.chain = d.chain[1:]
		if !d.conclude(d.dispatch(c)) {
			return
		}
	}
	d.final(okay)
}

// finish ends a command that could not answer at once.
func (d *dce) finish(r reply) {
	d.busy = false
	if d.conclude(r) {
		d.proceed()
	}
	d.resume()
}

// conclude reports whether the line goes on after a command that ended with r.
func (d *dce) conclude(r reply) bool {
	d.answered = d.answered || len(d.infos) > 0
	d.printInfo()
	if r.then != nil {
		d.thens = append(d.thens, r.then)
	}
	switch r.code {
	case "OK":
		return true
	case "":
		d.busy = d.phase == nil && !d.draining
		return false
	}
	d.final(r)
	return false
}

// dispatch looks a command up and calls the handler of its form.
func (d *dce) dispatch(c call) reply {
	cmd, known := d.model.commands[c.name]
	switch {
	case !known:
		return d.unknown
	case c.form == execute && cmd.basic != nil:
		n, err := parseBasic(c.text)
		if err != nil {
			return failed
		}
		return cmd.basic(n)
	case c.form == execute && cmd.exec != nil:
		return cmd.exec()
	case c.form == read && cmd.read != nil:
		return cmd.read()
	case c.form == set && cmd.set != nil:
		return cmd.set(parseArgs(c.text))
	case c.form == test && cmd.list != nil:
		return cmd.list()
	case c.form == test && cmd.test != "":
		if cmd.test != noText {
			d.info("%s: %s", c.name, cmd.test)
		}
		return okay
	}
	return failed
}

// ask starts a data phase of n bytes: it prints the prompt, and done gets the bytes.
// quiet, if not 0, is the silence after which the phase ends by itself with ERROR.
func (d *dce) ask(n int, echo bool, quiet time.Duration, done func(data []byte) reply) reply {
	return d.prompted(&phase{want: n, echo: echo, quiet: quiet, done: done})
}

// prompted starts a data phase.
func (d *dce) prompted(p *phase) reply {
	d.prompts++
	d.phase = p
	prompt := map[string]string{"crlf": "\r\n>\r\n", "bare": ">", "": "\r\n> ", "space": "\r\n> "}[d.f.prompt]
	switch {
	case p.mute:
	case p.file:
		d.print(d.spell("CONNECT"))
	case d.f.dropPrompt > 0 && d.prompts%d.f.dropPrompt == 0:
	case d.f.dupPrompt:
		d.print(prompt + prompt)
	default:
		d.print(prompt)
	}
	switch {
	case d.f.rebootPrompt > 0 && d.f.rebootPrompt == d.prompts:
		d.after(0, d.reboot)
	case p.want == 0:
		d.after(0, d.endPayload)
	case p.quiet > 0:
		p.idle = d.after(p.quiet, d.abandon)
	}
	return pending
}

func (d *dce) payload(b byte) {
	p := d.phase
	if p.echo {
		d.echoed = append(d.echoed, b)
	}
	switch {
	case p.want < 0 && b == ctrlZ:
		d.endPayload()
		return
	case p.want < 0 && b == esc:
		p.lapse = nil
		d.cancel(p.idle)
		d.abandon()
		return
	}
	p.buf = append(p.buf, b)
	if p.idle != nil {
		p.idle.at = d.now.Add(p.quiet)
	}
	switch {
	case len(p.buf) == p.want:
		d.endPayload()
	case p.acks && len(p.buf)%ackEvery == 0:
		d.print("A")
	}
}

// endPayload hands the payload over, after the time that the module takes to accept it.
func (d *dce) endPayload() {
	p := d.phase
	d.phase, d.draining = nil, true
	d.cancel(p.idle)
	d.printEcho()
	end := func() { d.finish(p.done(p.buf)) }
	if d.lat.data > 0 {
		d.after(d.lat.data, end)
	} else {
		end()
	}
}

// abandon is the edit timeout: the host owes bytes and has fallen silent.
func (d *dce) abandon() {
	p := d.phase
	d.phase, d.draining = nil, true
	if p.lapse != nil {
		d.finish(p.lapse(p.buf))
		return
	}
	d.finish(failed)
}

// flushEcho echoes what came so far, unless the profile has the echo come with the answer.
func (d *dce) flushEcho() {
	if d.lat.line == 0 || d.phase != nil {
		d.printEcho()
	}
}

func (d *dce) printEcho() {
	if len(d.echoed) > 0 {
		d.print(string(d.echoed))
		d.echoed = nil
	}
}
