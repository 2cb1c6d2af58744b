package modemsim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The Air724UG with AirM2M's AT firmware (8910 platform), as the maker's manual of the Cat.1
// modules, its changelog and public logs of the family show it.
func init() { models["air724ug"] = newAir724UG }

// The times are those of a public log of the family (tutorial for Aliyun, with timestamps) and of a
// boot trace. waitLF is of the platform's own source.
var air724ugSheet = latency{
	line: 3 * time.Millisecond,
	open: 1400 * time.Millisecond,
	conn: 250 * time.Millisecond,
	sub:  300 * time.Millisecond, // SUBACK and PUBACK
	boot: 1300 * time.Millisecond,
	net:  3 * time.Second,
	down: time.Second,
}

// luatErrors is how the platform spells the errors it has (verbatim).
var luatErrors = map[int]string{
	3: "Operation not allowed", 4: "Operation not supported", 10: "SIM not inserted",
	11: "SIM PIN required", 12: "SIM PUK required", 13: "SIM failure", 16: "incorrect password",
	49: "The excute command not support", 50: "Excute command failure", 51: "no memory",
	52: "The command not support,check your input,pls", 53: "parameters are invalid", 58: "invalid command line",
	767: "Operation failed",
}

type air724ug struct {
	*luat
	awake bool // whoever listens has seen it boot
	rate  string
	sleep int // AT+CSCLK; it never sleeps
	cards int // AT+ICCID, for the fault iccid-error
}

func newAir724UG(d *dce) model {
	id := identity{
		maker: "AirM2M", model: "Air724UG", revision: "AirM2M_720U_V401881_LTE_AT",
		imei: "866714043075174", imsi: "460011234567890", iccid: "89860025128306012474",
	}
	switch {
	case d.f.luatOS:
		id.maker, id.revision = "", "LuatOS-Air_V4032_RDA8910_TTS_NOLVGL_FLOAT"
	case d.f.noMPUBEX:
		id.revision = "AirM2M_Air724UG_V409_LTE_AT"
	}
	d.discipline = discipline{
		longest: 4096, restart: true, eatLF: true, waitLF: 20 * time.Millisecond, holdURC: true,
		unknown: failed, errors: luatErrors,
		stray: func() string { return `+CGREG: 2,1,"2797","02B82E17",7` },
		ghost: "+PDP: DEACT",
	}
	if d.sim.count.reboots.Load() == 0 { // fresh from the factory
		d.nvm.contexts = map[int]*pdpContext{5: {kind: 1, apn: "cmiot"}}
	}
	g := newGeneral(d, id)
	g.first, g.ready, g.noCard, g.radio.format = 5, nil, "SIM REMOVED", 2
	m := &air724ug{luat: newLuat(g), rate: "0"}
	g.onFind = m.found
	tables := []map[string]command{without(g.commands(), "+Q", "+G"), m.identities(), m.settings()}
	if d.f.luatOS {
		d.unknown, d.profile.cmee = cme(58), 2
	} else {
		tables = append(tables, m.luat.commands())
	}
	return model{
		commands: merge(append([]map[string]command{v250(d)}, tables...)...),
		sheet:    air724ugSheet,
		boot:     m.boot,
		banner:   m.banner,
		drop:     m.luat.drop,
		search:   m.search,
		card:     m.changeCard,
		hang:     m.mqtt.hang,
	}
}

// without leaves out the commands that begin so.
func without(table map[string]command, prefixes ...string) map[string]command {
	for name := range table {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				delete(table, name)
			}
		}
	}
	return table
}

// boot finds the network; after a banner this takes its time.
func (m *air724ug) boot() {
	if m.awake {
		m.after(m.lat.net, m.search)
		return
	}
	m.search()
	m.awake = true
}

// banner is what comes at power-on. Of this very module no boot is on record: the order is that of
// its siblings.
func (m *air724ug) banner() {
	m.awake = true
	switch m.f.banner {
	case "rom":
		m.print("^boot.rom'v'!\\n")
	case "twice":
		m.urc("RDY")
	case "uart":
		m.urc("UART Boot Completed")
	}
	m.urc("RDY")
	if m.f.banner == "uart" {
		m.urc("SMS READY")
	}
	if m.simError() != 0 {
		m.sayPIN()
	}
}

// found is what the module says when it has found its network.
func (m *air724ug) found() {
	if !m.awake {
		return
	}
	m.urc("^MODE: 17,17")
	m.urc("+E_UTRAN Service")
	m.urc(fmt.Sprintf("+CGEV: ME PDN ACT %d", m.first))
	m.unsolicited("+NITZ: " + m.clock().Format("06/01/02,15:04:05") + "+0,0")
}

// bare is a command whose answer is one line.
func (m *air724ug) bare(text func() string) command {
	return command{test: noText, exec: func() reply { m.info("%s", text()); return okay }}
}

// identities is who the module is, in its own forms: some quoted behind a prefix, some bare.
func (m *air724ug) identities() map[string]command {
	quoted := func(name string, text func() string) command {
		return m.bare(func() string { return fmt.Sprintf(`%s: "%s"`, name, text()) })
	}
	revision := func() string { return m.id.revision }
	t := map[string]command{
		"I":      {basic: func(int) reply { m.info("%s", m.id.revision); return okay }},
		"+VER":   m.bare(revision),
		"+CGMI":  quoted("+CGMI", func() string { return m.id.maker }),
		"+CGMM":  quoted("+CGMM", func() string { return m.id.model }),
		"+CGMR":  quoted("+CGMR", revision),
		"+CGSN":  m.bare(func() string { return m.id.imei }),
		"+WISN":  {read: func() reply { m.info("%s", m.id.imei); return okay }},
		"+ICCID": {test: noText, exec: m.iccid},
		"+CCID":  {test: noText, exec: m.withSIM(func() reply { m.info("%s", m.id.iccid); return okay })},
		"+CNUM":  {test: noText, exec: m.withSIM(func() reply { m.info(`+CNUM: "","+8613800000000",145`); return okay })},
		"*I":     {exec: m.everything},
	}
	return t
}

func (m *air724ug) iccid() reply {
	m.cards++
	switch {
	case m.f.noSIM:
		return cme(10)
	case m.f.iccidError && m.cards == 1:
		return failed
	}
	m.info("+ICCID: %s", m.id.iccid)
	return okay
}

func (m *air724ug) everything() reply {
	for _, line := range []string{
		"Manufacturer: " + m.id.maker, "Model: " + m.id.model, "Revision: " + m.id.revision, "HWver: 1.0", "Buildtime: 2024-05-20",
		"IMEI: " + m.id.imei, "ICCID: " + m.id.iccid, "IMSI: " + m.id.imsi,
	} {
		m.info("%s", line)
	}
	return okay
}

// settings is what else differs from 27.007, and what is the maker's own.
func (m *air724ug) settings() map[string]command {
	cmee := m.number("+CMEE", &m.profile.cmee, 2)
	cmee.read = func() reply { m.info("+CMEE :%d", m.profile.cmee); return okay }
	return map[string]command{
		"+CMEE":    cmee,
		"+CFUN":    {read: m.funRead, set: m.functionality, test: "(0,1,4),(0,1)"},
		"+CGATT":   {read: m.attachedRead, set: m.attach, test: "(0,1)"},
		"+CGACT":   {read: m.actives, set: m.activate, test: "(0,1)"},
		"+CGDCONT": {read: m.definitions, set: m.defineContext, test: `(1-15),"IP",,,(0-2),(0-4)`},
		"+CGPADDR": {exec: func() reply { return m.address(&args{}) }, set: m.address, test: "(5)"},
		"+CESQ": m.bare(func() string {
			if m.uncovered {
				return "+CESQ: 99,99,255,255,255,255"
			}
			return "+CESQ: 99,99,255,255,19,51"
		}),
		"+CBC":   m.bare(func() string { return "+CBC: 1,84,4014" }),
		"+RESET": {exec: func() reply { return reply{code: "OK", then: m.reboot} }},
		"+RSTSET": {exec: func() reply {
			return reply{code: "OK", then: func() {
				m.nvm.profile = factory()
				m.reboot()
			}}
		}},
		"+CPOWD":  {set: m.powerDown},
		"+IPR":    {read: func() reply { m.info("+IPR: %s", m.rate); return okay }, set: m.setRate},
		"+CSCLK":  m.number("+CSCLK", &m.sleep, 3),
		"+SETUSB": {read: func() reply { m.info("mode: 1"); m.info("Vid: 0x1782"); m.info("Pid: 0x4e00"); return okay }},
		"+RNDISCALL": {set: func(a *args) reply {
			a.num(0, 1)
			a.num(0, 1)
			if !a.end() {
				return failed
			}
			return okay
		}},
	}
}

// functionality is AT+CFUN. Off and on again is one of the two ways out of PDP DEACT.
func (m *air724ug) functionality(a *args) reply {
	if fun := parseArgs(a.raw).next().text; fun != "0" && fun != "1" && fun != "4" {
		return failed
	}
	r := m.funSet(a)
	if m.fun == 1 && m.ip == ipDeact {
		m.ip = ipInitial
	}
	return r
}

func (m *air724ug) stateOf(cid int) int {
	if m.contextActive(cid) {
		return 1
	}
	return 0
}

// cids lists what is defined, in order.
func (m *air724ug) cids() []int {
	var all []int
	for cid := range m.nvm.contexts {
		all = append(all, cid)
	}
	slices.Sort(all)
	return all
}

// actives has a blank after the comma (log of an Air724UG).
func (m *air724ug) actives() reply {
	for _, cid := range m.cids() {
		m.info("+CGACT: %d, %d", cid, m.stateOf(cid))
	}
	return okay
}

func (m *air724ug) definitions() reply {
	for _, cid := range m.cids() {
		c, at := m.nvm.contexts[cid], "0.0.0.0"
		if m.contextActive(cid) {
			at = address
		}
		m.info(`+CGDCONT: %d,"%s","%s","%s",0,0`, cid, pdpTypes[c.kind-1], c.apn, at)
	}
	return okay
}

// address has both families in one string, four blanks apart (log of an Air724UG).
func (m *air724ug) address(a *args) reply {
	only := 0
	if a.more() {
		only = a.num(1, 15)
	}
	if a.bad {
		return failed
	}
	for _, cid := range m.cids() {
		if (only == 0 || only == cid) && m.contextActive(cid) {
			m.info(`+CGPADDR: %d,"IPV4:%s    IPV6:::1"`, cid, address)
		}
	}
	return okay
}

// setRate takes effect after OK; 0 is a rate that follows the host, and the default.
func (m *air724ug) setRate(a *args) reply {
	baud := a.num(0, 921600)
	if !a.end() || baud > 0 && baud < 600 {
		return failed
	}
	m.rate = a.raw
	if m.dce.baud > 0 && baud > 0 {
		m.dce.rate = baud
	}
	return reply{code: "OK", then: m.adoptRate}
}

// powerDown says farewell, or goes without a word, and is gone until Sim.Reset.
func (m *air724ug) powerDown(a *args) reply {
	normal := a.num(0, 1) == 1
	if !a.end() {
		return failed
	}
	off := func() {
		m.halt()
		m.off = true
	}
	if normal {
		return reply{code: "NORMAL POWER DOWN", then: func() { m.after(m.lat.down, off) }}
	}
	m.after(0, off)
	return pending
}
