package modemsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// radio is the state of registration.
type radio struct {
	searching time.Time // since when
	stat      int       // 27.007, 7.2: 0 idle, 1 home, 2 searching, 3 denied
	detached  bool      // by AT+CGATT=0
	manual    bool      // deregistered by AT+COPS=2
	format    int       // of AT+COPS?
}

// pdpContext is a context as AT+CGDCONT and AT+QICSGP define it; both write the same one.
type pdpContext struct {
	kind            int // 1 IPv4, 2 IPv6, 3 both
	apn, user, pass string
	auth            int
}

// address is the module's own, in every context.
const address = "10.7.157.1"

// search starts to look for a network, or stops, as SIM and AT+CFUN demand.
func (g *general) search() {
	g.radio.searching = g.now
	g.register()
	if g.f.regDelay > 0 {
		g.after(g.f.regDelay, g.register)
	}
}

// register works out the registration status and says so where it was asked to.
func (g *general) register() {
	stat := 1
	switch {
	case g.fun != 1 || g.simError() != 0 || g.radio.manual:
		stat = 0
	case g.f.noReg || g.uncovered || g.now.Before(g.radio.searching.Add(g.f.regDelay)):
		stat = 2
	case g.f.denied:
		stat = 3
	}
	if stat == g.radio.stat {
		return
	}
	lost := g.radio.stat == 1
	g.radio.stat = stat
	for i, name := range []string{"+CREG", "+CGREG", "+CEREG"} {
		g.tellRegistration(name, i)
	}
	if lost {
		g.stale = false
		clear(g.active)
		g.onLoss()
	}
	if stat == 1 {
		g.onFind()
	}
}

func (g *general) registered() bool { return g.radio.stat == 1 && !g.radio.detached }

func (g *general) statOf(i int) int {
	if i > 0 && g.radio.detached && g.radio.stat == 1 {
		return 2 // AT manual V1.1, example of AT+CGREG
	}
	return g.radio.stat
}

func (g *general) tellRegistration(name string, i int) {
	if g.profile.reg[i] > 0 {
		g.urc(fmt.Sprintf("%s: %d%s", name, g.statOf(i), g.cell(i)))
	}
}

// cell is where the module is, as <n>=2 asks for it: "lac","ci",7 for E-UTRAN.
func (g *general) cell(i int) string {
	if g.profile.reg[i] < 2 || g.statOf(i) != 1 {
		return ""
	}
	return `,"D509","80D413D",7`
}

func (g *general) registration(name string, i int) command {
	c := g.number(name, &g.profile.reg[i], 2)
	c.read = func() reply {
		g.info("%s: %d,%d%s", name, g.profile.reg[i], g.statOf(i), g.cell(i))
		return okay
	}
	return c
}

func (g *general) operator() reply {
	if n := g.simError(); n == 11 || n == 12 {
		return cme(n)
	}
	if g.radio.stat != 1 {
		g.info("+COPS: 0")
		return okay
	}
	names := []string{"CHN-UNICOM", "UNICOM", "46001"}
	g.info(`+COPS: 0,%d,"%s",7`, g.radio.format, names[g.radio.format])
	return okay
}

func (g *general) selectOperator(a *args) reply {
	mode := a.num(0, 4)
	switch {
	case mode == 3:
		format := a.num(0, 2)
		if !a.end() {
			return failed
		}
		g.radio.format = format
		return okay
	case a.bad:
		return failed
	}
	g.radio.manual = mode == 2
	g.search()
	return okay
}

// scan is AT+COPS=?: it takes as long as a scan does in the profile sheet.
func (g *general) scan() reply {
	g.info(`+COPS: (2,"CHN-UNICOM","UNICOM","46001",7),(3,"CHINA MOBILE","CMCC","46000",7),,(0,1,2,3,4),(0,1,2)`)
	if g.lat.line == 0 {
		return okay
	}
	g.after(20*time.Second, func() { g.finish(okay) })
	return pending
}

func (g *general) attachedRead() reply {
	n := 0
	if g.registered() {
		n = 1
	}
	g.info("+CGATT: %d", n)
	return okay
}

func (g *general) attach(a *args) reply {
	n := a.num(0, 1)
	if !a.end() {
		return failed
	}
	if n == 1 && g.radio.stat != 1 {
		return cme(30)
	}
	detach := n == 0
	if detach == g.radio.detached {
		return okay
	}
	return reply{code: "OK", then: func() {
		g.radio.detached = detach
		g.tellRegistration("+CGREG", 1)
		g.tellRegistration("+CEREG", 2)
		if detach {
			g.stale = false
			clear(g.active)
			g.onLoss()
		}
	}}
}

var pdpTypes = []string{"IP", "IPV6", "IPV4V6"}

func (g *general) contextsRead() reply {
	for _, cid := range slices.Sorted(maps.Keys(g.nvm.contexts)) {
		c := g.nvm.contexts[cid]
		g.info(`+CGDCONT: %d,"%s","%s","0.0.0.0",0,0`, cid, pdpTypes[c.kind-1], c.apn)
	}
	return okay
}

func (g *general) defineContext(a *args) reply {
	cid := a.num(1, 15)
	if a.end() {
		delete(g.nvm.contexts, cid)
		return okay
	}
	kind := slices.Index(pdpTypes, strings.ToUpper(a.str(2, 6))) + 1
	c := pdpContext{kind: kind}
	if a.more() {
		c.apn = a.str(0, 100)
	}
	if a.bad || kind == 0 {
		return failed
	}
	g.nvm.contexts[cid] = &c
	return okay
}

// contextActive reports whether a context is up. On LTE one comes with the attach.
func (g *general) contextActive(cid int) bool {
	return g.registered() && (cid == g.first || g.active[cid])
}

func (g *general) activeRead() reply {
	for _, cid := range slices.Sorted(maps.Keys(g.nvm.contexts)) {
		state := 0
		if g.contextActive(cid) {
			state = 1
		}
		g.info("+CGACT: %d,%d", cid, state)
	}
	return okay
}

func (g *general) activate(a *args) reply {
	state, cid := a.num(0, 1), g.first
	if a.more() {
		cid = a.num(1, 15)
	}
	if !a.end() || g.nvm.contexts[cid] == nil {
		return failed
	}
	if state == 1 && !g.registered() {
		return cme(30)
	}
	g.active[cid] = state == 1
	g.stale = g.stale && state == 1
	return okay
}

func (g *general) addresses(a *args) reply {
	only := 0
	if a.more() {
		only = a.num(1, 15)
	}
	if !a.end() {
		return failed
	}
	for _, cid := range slices.Sorted(maps.Keys(g.nvm.contexts)) {
		switch {
		case only != 0 && cid != only:
		case g.contextActive(cid):
			g.info(`+CGPADDR: %d,"%s"`, cid, address)
		default:
			g.info("+CGPADDR: %d", cid)
		}
	}
	return okay
}
