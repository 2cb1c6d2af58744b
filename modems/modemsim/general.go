package modemsim

import (
	"strings"
	"time"
)

// identity is what a module says about itself and its SIM.
type identity struct {
	maker, model, revision string
	imei, imsi, iccid      string
}

// general is what 27.007 gives any module: identity, SIM, registration, PDP contexts.
type general struct {
	*dce
	id     identity
	fun    int  // AT+CFUN
	locked bool // the PIN has not been entered since power-on
	radio  radio
	skew   time.Duration // AT+CCLK
	texts  map[string]string
	active map[int]bool // by AT+CGACT
	first  int          // the context that comes with the attach
	ready  []string     // what follows +CPIN: READY
	noCard string       // what +CPIN: says without a SIM; nothing: no such URC is known
	onLoss func()       // the network is gone: contexts and connections with it
	onFind func()       // it is there
}

func newGeneral(d *dce, id identity) *general {
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&id.model, d.f.model)
	set(&id.revision, d.f.revision)
	set(&id.imei, d.f.imei)
	set(&id.iccid, d.f.iccid)
	return &general{
		dce: d, id: id, fun: 1, locked: d.f.pin != "", active: map[int]bool{}, onLoss: func() {}, onFind: func() {},
		first: 1, ready: []string{"+QUSIM: 1", "+QIND: SMS DONE", "+QIND: PB DONE"}, noCard: "NOT READY",
		texts: map[string]string{"+CTZU": "1", "+CTZR": "0", "+CSCS": `"GSM"`, "+CMGF": "0", "+CNMI": "2,1,0,0,0", "+CGEREP": "0,0"},
	}
}

func (g *general) commands() map[string]command {
	line := func(text func() string) command {
		return command{test: noText, exec: func() reply { g.info("%s", text()); return okay }}
	}
	maker := line(func() string { return g.id.maker })
	model := line(func() string { return g.id.model })
	revision := line(func() string { return g.id.revision })
	serial := line(func() string { return g.id.imei })
	t := map[string]command{
		"I":     {basic: g.identify},
		"+CGMI": maker, "+GMI": maker,
		"+CGMM": model, "+GMM": model,
		"+CGMR": revision, "+GMR": revision,
		"+CGSN": serial, "+GSN": serial,
		"+CIMI":    {test: noText, exec: g.withSIM(func() reply { g.info("%s", g.id.imsi); return okay })},
		"+QCCID":   {test: noText, exec: g.card, read: g.card},
		"+CPIN":    {test: noText, read: g.pinState, set: g.enterPIN},
		"+CLCK":    {set: g.lock, test: `("SC","FD","AO","OI","OX","AI","IR","AB","AG","AC","PN","PU","PP","PC")`},
		"+CMEE":    g.number("+CMEE", &g.profile.cmee, 2),
		"+CFUN":    {read: g.funRead, set: g.funSet, test: "(0,1,3,4,5),(0,1)"},
		"+CPAS":    line(func() string { return "+CPAS: 0" }),
		"+CCLK":    {read: g.clockRead, set: g.clockSet, test: noText},
		"+CSQ":     {exec: g.signal, test: "(0-31,99),(0-7,99)"},
		"+CREG":    g.registration("+CREG", 0),
		"+CGREG":   g.registration("+CGREG", 1),
		"+CEREG":   g.registration("+CEREG", 2),
		"+COPS":    {read: g.operator, set: g.selectOperator, list: g.scan},
		"+CGATT":   {read: g.attachedRead, set: g.attach, test: "(0,1)"},
		"+CGDCONT": {read: g.contextsRead, set: g.defineContext, test: `(1-15),"IP",,,(0-2),(0-4)`},
		"+CGACT":   {read: g.activeRead, set: g.activate, test: "(0,1)"},
		"+CGPADDR": {exec: func() reply { return g.addresses(&args{}) }, set: g.addresses, test: "(1)"},
	}
	for name := range g.texts {
		t[name] = command{
			test: noText,
			read: func() reply { g.info("%s: %s", name, g.texts[name]); return okay },
			set:  func(a *args) reply { g.texts[name] = a.raw; return okay },
		}
	}
	return t
}

// number is a setting that is one small number.
func (d *dce) number(name string, to *int, hi int) command {
	return command{
		test: "(0-" + string(rune('0'+hi)) + ")",
		read: func() reply { d.info("%s: %d", name, *to); return okay },
		set: func(a *args) reply {
			n := a.num(0, hi)
			if !a.end() {
				return failed
			}
			*to = n
			return okay
		},
	}
}

func (g *general) identify(int) reply {
	g.info("%s", g.id.maker)
	g.info("%s", g.id.model)
	g.info("Revision: %s", g.id.revision)
	return okay
}

// simError is the CME error that the SIM's state gives to commands that need it, 0 if it is ready.
func (g *general) simError() int {
	switch {
	case g.f.noSIM:
		return 10
	case g.fun == 0:
		return 13 // AT manual V1.1, example of AT+CFUN
	case g.f.puk || g.nvm.pinTries == 0:
		return 12
	case g.locked:
		return 11
	}
	return 0
}

func (g *general) withSIM(f func() reply) func() reply {
	return func() reply {
		if n := g.simError(); n != 0 {
			return cme(n)
		}
		return f()
	}
}

func (g *general) card() reply {
	if g.f.noSIM {
		return cme(10)
	}
	g.info("+QCCID: %s", g.id.iccid)
	return okay
}

func (g *general) pinState() reply {
	switch n := g.simError(); n {
	case 0:
		g.info("+CPIN: READY")
	case 11:
		g.info("+CPIN: SIM PIN")
	case 12:
		g.info("+CPIN: SIM PUK")
	default:
		return cme(n)
	}
	return okay
}

// thePUK is the unblocking key of every simulated SIM.
const thePUK = "12345678"

func (g *general) enterPIN(a *args) reply {
	pin, renewed := a.str(4, 8), ""
	if a.more() {
		renewed = a.str(4, 8)
	}
	if !a.end() {
		return failed
	}
	switch n := g.simError(); {
	case n == 12 && pin == thePUK && renewed != "":
		g.f.puk, g.f.pin, g.nvm.pinTries, g.nvm.pukTries = false, renewed, 3, 10
	case n == 12:
		g.nvm.pukTries = max(0, g.nvm.pukTries-1)
		return cme(16)
	case n == 11 && pin == g.f.pin:
		g.nvm.pinTries = 3
	case n == 11:
		if g.nvm.pinTries--; g.nvm.pinTries == 0 {
			return cme(12)
		}
		return cme(16)
	case n == 0:
		return cme(3)
	default:
		return cme(n)
	}
	g.locked = false
	return reply{code: "OK", then: func() {
		g.urc("+CPIN: READY")
		g.simReady()
	}}
}

// simReady is what follows once the SIM can be read.
func (g *general) simReady() {
	for _, line := range g.ready {
		g.urc(line)
	}
	g.search()
}

func (g *general) lock(a *args) reply {
	facility, mode := strings.ToUpper(a.str(2, 2)), a.num(0, 2)
	if a.bad || mode != 2 {
		return failed
	}
	on := 0
	if facility == "SC" && g.f.pin != "" {
		on = 1
	}
	g.info("+CLCK: %d", on)
	return okay
}

func (g *general) funRead() reply { g.info("+CFUN: %d", g.fun); return okay }

// funSet is AT+CFUN (27.007, 8.2; AT manual V1.1, 2.22).
func (g *general) funSet(a *args) reply {
	fun, reset := a.num(0, 5), 0
	if a.more() {
		reset = a.num(0, 1)
	}
	if !a.end() || fun == 2 || reset == 1 && fun != 1 {
		return failed
	}
	if reset == 1 {
		return reply{code: "OK", then: g.reboot}
	}
	before := g.fun
	g.fun = fun
	g.search()
	return reply{code: "OK", then: func() {
		if fun == 1 && before == 0 {
			g.sayPIN()
		}
	}}
}

// sayPIN prints what a SIM that has just been powered says.
func (g *general) sayPIN() {
	switch g.simError() {
	case 0:
		g.urc("+CPIN: READY")
		g.simReady()
	case 10:
		if g.noCard != "" {
			g.urc("+CPIN: " + g.noCard)
		}
	case 11:
		g.urc("+CPIN: SIM PIN")
	case 12:
		g.urc("+CPIN: SIM PUK")
	}
}

func (g *general) clock() time.Time { return time.Now().UTC().Add(g.skew) }

func (g *general) clockRead() reply {
	g.info(`+CCLK: "%s+00"`, g.clock().Format("06/01/02,15:04:05"))
	return okay
}

func (g *general) clockSet(a *args) reply {
	text := a.str(17, 20)
	if !a.end() {
		return failed
	}
	t, err := time.Parse("06/01/02,15:04:05", text[:min(17, len(text))])
	if err != nil {
		return failed
	}
	g.skew = time.Until(t)
	return okay
}

func (g *general) signal() reply {
	csq := g.f.csq
	if g.uncovered {
		csq = 99
	}
	g.info("+CSQ: %d,99", csq)
	return okay
}
