package modemsim

import (
	"fmt"
	"strconv"
	"time"
)

// model is what one kind of module adds to the line discipline. A function that builds
// one stands in models under its name; the state behind its commands is volatile and is
// built anew at each power-on.
type model struct {
	commands map[string]command
	sheet    latency // the times of its fact sheet
	boot     func()  // the radio starts
	banner   func()  // prints what a module prints at power-on
	drop     func()  // lets go of every connection, without a word on the line
	search   func()  // looks for the network anew
	card     func()  // the SIM card was pulled or put back
	hang     func()  // the MQTT stack stops where it is
}

var models = map[string]func(*dce) model{}

// command is one row of a table: what each form of a command does. A form that is not
// there answers ERROR.
type command struct {
	basic func(n int) reply   // ATE0
	exec  func() reply        // AT+X
	read  func() reply        // AT+X?
	set   func(a *args) reply // AT+X=...
	test  string              // what AT+X=? prints after "+X: "; noText: nothing but OK
	list  func() reply        // AT+X=? where one line is not enough
}

const noText = "-"

// latency is how long the module takes: zero in the profile none.
type latency struct {
	line time.Duration // from CR to echo and answer, up to twice that
	data time.Duration // from the last payload byte to OK
	sent time.Duration // from OK to the result URC of a publish that needs no acknowledgement
	open time.Duration // what a command adds to the network's own time
	conn time.Duration
	sub  time.Duration
	boot time.Duration // from reset to RDY
	net  time.Duration // from RDY to the network, where the fact sheet says so
	down time.Duration // from the OK of AT+QPOWD to POWERED DOWN
}

// profile is what AT&F resets, AT&W stores and ATZ brings back (AT manual V1.1, tables 7 to 9).
type profile struct {
	echo, verbose, quiet bool
	x, dcd, dtr          int
	s                    [16]int // S registers
	reg                  [3]int  // <n> of CREG, CGREG, CEREG
	cmee                 int     // reset by AT&F, not stored by AT&W
}

func factory() profile {
	p := profile{echo: true, verbose: true, x: 4, dcd: 1, dtr: 2, cmee: 1}
	p.s[3], p.s[4], p.s[5], p.s[6], p.s[8], p.s[10] = 13, 10, 8, 2, 2, 15
	return p
}

// nvm is what survives a reboot.
type nvm struct {
	profile  profile
	baud     int
	urcPort  string
	contexts map[int]*pdpContext
	pinTries int
	pukTries int
	cfg      map[string]string // AT+QCFG
	files    map[string][]byte
}

func newNVM(baud int) nvm {
	return nvm{
		profile: factory(), baud: baud, pinTries: 3, pukTries: 10,
		contexts: map[int]*pdpContext{1: {kind: 1}}, cfg: map[string]string{}, files: map[string][]byte{},
	}
}

func parseBasic(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.Atoi(text)
}

// v250 is the table of basic commands.
func v250(d *dce) map[string]command {
	p := &d.profile
	flag := func(to *bool) command {
		return command{basic: func(n int) reply {
			if n > 1 {
				return failed
			}
			*to = n == 1
			return okay
		}}
	}
	number := func(to *int, hi int) command {
		return command{basic: func(n int) reply {
			if n > hi {
				return failed
			}
			*to = n
			return okay
		}}
	}
	t := map[string]command{
		"E":  flag(&p.echo),
		"V":  flag(&p.verbose),
		"Q":  flag(&p.quiet),
		"X":  number(&p.x, 4),
		"&C": number(&p.dcd, 1),
		"&D": number(&p.dtr, 2),
		"H":  {basic: func(int) reply { return okay }},
		"O":  {basic: func(int) reply { return reply{code: "NO CARRIER"} }}, // never been in data mode
		"&F": {basic: func(int) reply { *p = factory(); return okay }},
		"&W": {basic: func(int) reply { d.nvm.profile, d.nvm.baud = *p, d.rate; return okay }},
		"Z": {basic: func(int) reply {
			cmee := p.cmee
			*p = d.nvm.profile
			p.cmee = cmee
			return okay
		}},
		"&V": {basic: func(int) reply {
			one := func(b bool) int {
				if b {
					return 1
				}
				return 0
			}
			d.info("&C: %d", p.dcd)
			d.info("&D: %d", p.dtr)
			d.info("E: %d", one(p.echo))
			d.info("Q: %d", one(p.quiet))
			d.info("V: %d", one(p.verbose))
			d.info("X: %d", p.x)
			for _, r := range []int{0, 3, 4, 5, 6, 7, 8, 10} {
				d.info("S%d: %d", r, p.s[r])
			}
			return okay
		}},
	}
	for _, r := range []int{0, 3, 4, 5, 6, 7, 8, 10} {
		t[fmt.Sprintf("S%d", r)] = command{
			basic: func(int) reply { return okay },
			read:  func() reply { d.info("%03d", p.s[r]); return okay },
			set: func(a *args) reply {
				n := a.num(0, 255)
				if !a.end() {
					return failed
				}
				p.s[r] = n
				return okay
			},
		}
	}
	return t
}
