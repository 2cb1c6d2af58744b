package modemsim

import (
	"fmt"
	"strings"
)

// luat is what AirM2M adds to 27.007: one MQTT client, sockets, and the bearer under both
// (manual of the Cat.1 modules, chapters MQTT and TCPIP).
type luat struct {
	*general
	ip      string // state of the IP stack, as AT+CIPSTATUS spells it
	mux     int    // AT+CIPMUX
	sapbr   map[string]string
	open    bool                      // AT+SAPBR=1,1
	ssl     map[int]map[string]string // AT+SSLCFG, by context
	mqtt    *luatMQTT
	sockets luatSockets
}

// The states of AT+CIPSTATUS; those of a single connection stand in luat_socket.go.
const (
	ipInitial = "IP INITIAL"
	ipStart   = "IP START"
	ipConfig  = "IP CONFIG"
	ipAct     = "IP GPRSACT"
	ipStatus  = "IP STATUS"
	ipMany    = "IP PROCESSING"
	ipDeact   = "PDP DEACT"
)

func newLuat(g *general) *luat {
	g.texts["+CIPTKA"], g.texts["+CIPCCFG"] = "0", "5,2,1024,0" // remembered, and without effect
	l := &luat{general: g, ip: ipInitial, sapbr: map[string]string{}, ssl: map[int]map[string]string{}}
	l.mqtt = &luatMQTT{luat: l}
	if g.f.buffered {
		l.mqtt.buffered = 1
	}
	l.sockets.init(l)
	g.onLoss = func() { l.deactivated("+PDP: DEACT") }
	return l
}

func (l *luat) commands() map[string]command {
	return merge(l.bearer(), l.security(), l.mqtt.commands(), l.sockets.commands())
}

func (l *luat) bearer() map[string]command {
	return map[string]command{
		"+CSTT":      {exec: func() reply { return l.cstt(&args{}) }, set: l.cstt, test: `"APN","USER","PWD"`},
		"+CIICR":     {exec: l.ciicr, test: noText},
		"+CIFSR":     {exec: l.cifsr, test: noText},
		"+CIPSTATUS": {exec: l.cipstatus, test: noText},
		"+CIPSHUT":   {exec: l.cipshut, test: noText},
		"+SAPBR":     {set: l.profile1, test: `(0-3),(1),"ConParamTag","ConParamValue"`},
	}
}

// cstt chooses the APN. Said twice it is not allowed (log of an Air780EPV).
func (l *luat) cstt(a *args) reply {
	for _, longest := range []int{128, 32, 32} {
		if a.more() {
			a.str(0, longest)
		}
	}
	switch {
	case !a.end():
		return failed
	case l.ip != ipInitial:
		return cme(3)
	}
	l.ip = ipStart
	return okay
}

// ciicr brings the bearer up. The answer to a failure is that of a module that is not attached.
func (l *luat) ciicr() reply {
	switch {
	case l.ip != ipStart:
		return cme(3)
	case !l.registered() || l.f.qiactError:
		l.info("+PDP: DEACT")
		return cme(65535)
	}
	l.ip = ipAct
	return okay
}

// cifsr answers with a bare address, and with nothing after it.
func (l *luat) cifsr() reply {
	switch l.ip {
	case ipInitial, ipStart, ipConfig, ipDeact:
		return failed
	case ipAct:
		l.ip = ipStatus
	}
	return reply{code: l.own()}
}

// own is the module's address as AT+CIFSR spells it.
func (l *luat) own() string {
	if !l.f.paddedIP {
		return address
	}
	return padded(address)
}

// padded is the older spelling: 010.007.157.001.
func padded(address string) string {
	parts := strings.Split(address, ".")
	for i, p := range parts {
		parts[i] = fmt.Sprintf("%03s", p)
	}
	return strings.Join(parts, ".")
}

// cipstatus says OK first.
func (l *luat) cipstatus() reply {
	lines := l.sockets.status()
	return reply{code: "OK", then: func() {
		for _, line := range lines {
			l.print(l.frame(line))
		}
	}}
}

// stateLine is how a state is told, in answers and before CONNECT FAIL.
func (l *luat) stateLine(state string) string {
	if l.f.noSpace {
		return "STATE:" + state
	}
	return "STATE: " + state
}

// cipshut takes every connection down with the bearer, in silence.
func (l *luat) cipshut() reply {
	l.drop()
	l.ip, l.stale = ipInitial, false
	if l.f.shutPlain {
		return okay
	}
	return reply{code: "SHUT OK"}
}

// drop lets go of every connection without a word.
func (l *luat) drop() {
	l.mqtt.unlink()
	l.sockets.drop()
}

// deactivated is the network taking the bearer away. What was connected over it is gone, and no
// log shows a word of that.
func (l *luat) deactivated(line string) {
	if l.ip == ipDeact || l.ip == ipInitial && l.mqtt.link == nil {
		return
	}
	hadLink := l.mqtt.link != nil
	l.drop()
	l.mqtt.orphan = hadLink // AT+MIPCLOSE answers OK once (log of an Air780EP)
	l.ip = ipDeact
	l.urc(line)
	l.release()
}

// usable reports whether anything can be dialled.
func (l *luat) usable() bool {
	drifted := l.stale || l.f.pdpDrift && l.sim.count.reboots.Load() == 0
	return l.registered() && l.ip != ipDeact && !drifted
}

// profile1 is AT+SAPBR, the bearer that HTTP and FTP use; nothing here hangs on it.
func (l *luat) profile1(a *args) reply {
	act, cid := a.num(0, 3), a.num(1, 1)
	switch {
	case a.bad:
		return failed
	case act == 3:
		tag, value := strings.ToUpper(a.str(1, 32)), a.str(0, 128)
		if !a.end() {
			return failed
		}
		l.sapbr[tag] = value
	case !a.end():
		return failed
	case act == 0 && !l.open, act == 1 && l.open:
		return cme(3)
	case act == 1 && !l.registered():
		return cme(767)
	case act < 2:
		l.open = act == 1
	case act == 2 && l.open:
		l.info("+SAPBR: %d,1,%s", cid, padded(address))
	case act == 2:
		l.info("+SAPBR: %d,3,000.000.000.000", cid)
	}
	return okay
}

// outcome prints the result URCs of what was accepted with OK. They belong to nothing: no id stands in
// them. With the fault early-urc the last of them lets the OK go.
func (l *luat) outcome(lines ...string) {
	tell := func() {
		for _, line := range lines {
			if l.f.noCRLF && strings.HasSuffix(line, "CONNECT OK") {
				l.raw(strings.TrimSuffix(l.frame(l.space(line)), "\r\n"))
				continue
			}
			l.urc(line)
		}
		l.release()
	}
	if l.f.lateURC > 0 {
		l.after(l.f.lateURC, tell)
		return
	}
	tell()
}

// accepted is OK now and the outcome of start later.
func (l *luat) accepted(start func()) reply { return l.async(owed, start) }

// owed is what an OK waits for with the fault early-urc: whatever the outcome is.
const owed = "outcome"

func (l *luat) release() { l.released(owed) }

// strike lets the faults happen that wait for the nth publish.
func (l *luat) strike() {
	n := int(l.sim.count.publishes.Load() + l.sim.count.sends.Load())
	switch n {
	case l.f.blackhole:
		l.mqtt.hole = true
		l.sockets.hole = true
	case l.f.pdpDeact:
		l.deactivated("+PDP: DEACT")
	case l.f.pdnDeact:
		l.deactivated(fmt.Sprintf("+CGEV: NW PDN DEACT %d", l.first))
	case l.f.wedge:
		l.wedged = true
	case l.f.reboot:
		l.reboot()
	}
	if l.f.stat.set && n == l.f.stat.n[1] {
		l.mqtt.lost()
		l.sockets.lost()
	}
}
