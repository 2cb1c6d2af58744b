package modemsim

import (
	"slices"
	"strings"
	"time"
)

// The EC600S as its manuals of 2020 and the public logs of the family show it.
func init() { models["ec600"] = newEC600 }

// The times are those of public logs of an EC600S, an EC800M and an EC200U.
var ec600Sheet = latency{
	line: 7 * time.Millisecond,
	data: 96 * time.Millisecond,
	sent: 4 * time.Millisecond,
	open: 200 * time.Millisecond,
	conn: 300 * time.Millisecond,
	sub:  170 * time.Millisecond,
	boot: 3300 * time.Millisecond,
	down: 5 * time.Second,
}

type ec600 struct {
	*quectel
	qsclk   int
	ifc     string
	qindcfg map[string]string
}

func newEC600(d *dce) model {
	g := newGeneral(d, identity{
		maker:    "Quectel",
		model:    "EC600S",
		revision: "EC600SCNLBR01A01M08",
		imei:     "869537052769784",
		imsi:     "460011234567890",
		iccid:    "89860025128306012474",
	})
	m := &ec600{quectel: newQuectel(g), ifc: "0,0", qindcfg: map[string]string{}}
	if d.nvm.urcPort == "" {
		d.nvm.urcPort = d.f.urcPort
	}
	d.muteURC = m.elsewhere
	return model{
		commands: merge(v250(d), g.commands(), m.quectel.commands(), m.commands()),
		sheet:    ec600Sheet,
		boot:     m.boot,
		banner:   m.banner,
		drop:     m.quectel.drop,
		search:   m.search,
		card:     m.changeCard,
		hang:     m.hang,
	}
}

// merge joins tables; a later one overrides an earlier one.
func merge(tables ...map[string]command) map[string]command {
	all := map[string]command{}
	for _, t := range tables {
		for name, c := range t {
			all[name] = c
		}
	}
	return all
}

func (m *ec600) commands() map[string]command {
	d := m.dce
	return map[string]command{
		"+IPR": {read: m.showRate, set: m.setRate, test: "(4800,9600,19200,38400,57600,115200,230400,460800,921600)"},
		"+IFC": {test: "(0,2),(0,2)",
			read: func() reply { d.info("+IFC: %s", m.ifc); return okay },
			set: func(a *args) reply {
				in, out := a.num(0, 2), a.num(0, 2)
				if !a.end() || in != out || in == 1 {
					return failed
				}
				m.ifc = a.raw
				return okay
			}},
		"+QURCCFG":  {set: m.urcConfig, test: `"urcport",("usbat","usbmodem","uart1")`},
		"+QCFG":     {set: m.config},
		"+QINDCFG":  {set: m.indications},
		"+QSCLK":    d.number("+QSCLK", &m.qsclk, 1),
		"+QINISTAT": {exec: m.initState, test: "(0-7)"},
		"+QSIMSTAT": {read: func() reply { d.info("+QSIMSTAT: 0,%d", m.inserted()); return okay }},
		"+QSIMDET":  {read: func() reply { d.info("+QSIMDET: 0,0"); return okay }},
		"+QPINC":    {read: m.triesLeft},
		"+QNWINFO":  {exec: m.networkInfo, test: noText},
		"+QLTS":     {exec: m.networkTime, set: func(*args) reply { return m.networkTime() }, test: "(0-2)"},
		"+QPOWD":    {exec: m.powerDown, set: func(*args) reply { return m.powerDown() }, test: "(0,1)"},
	}
}

// boot comes after power-on, and after the banner if there is one.
func (m *ec600) boot() { m.search() }

// banner is the order of the AT manual V1.1, table 12, with +QUSIM as its example of
// AT+CFUN has it.
func (m *ec600) banner() {
	d := m.dce
	d.urc("RDY")
	d.urc("+CFUN: 1")
	m.sayPIN()
}

// elsewhere reports whether a URC goes to another port than this UART. Where the result
// URCs of a command go is not known for a UART; RDY is kept so
// that a host can tell that there is a module at all.
func (m *ec600) elsewhere(line string) bool {
	return m.nvm.urcPort != "uart1" && line != "RDY"
}

func (m *ec600) urcConfig(a *args) reply {
	d := m.dce
	if a.key() != "urcport" {
		return failed
	}
	if a.end() {
		d.info(`+QURCCFG: "urcport","%s"`, d.nvm.urcPort)
		return okay
	}
	port := a.key()
	if !a.end() || !slices.Contains([]string{"usbat", "usbmodem", "uart1"}, port) {
		return failed
	}
	d.nvm.urcPort = port // saved and effective at once (AT manual V1.1, 2.25)
	return okay
}

// config is AT+QCFG. Only urc/cache does something; the other keys remember what they were told.
func (m *ec600) config(a *args) reply {
	d := m.dce
	key := a.key()
	if a.bad {
		return failed
	}
	if a.end() {
		value, known := d.nvm.cfg[key]
		if !known {
			return failed
		}
		d.info(`+QCFG: "%s",%s`, key, value)
		return okay
	}
	_, value, _ := strings.Cut(a.raw, ",")
	d.nvm.cfg[key] = value
	if key == "urc/cache" {
		d.cacheURC = value == "1"
	}
	return okay
}

func (m *ec600) indications(a *args) reply {
	d := m.dce
	key := a.key()
	if a.bad {
		return failed
	}
	if a.end() {
		value, known := m.qindcfg[key]
		if !known {
			value = "0"
		}
		d.info(`+QINDCFG: "%s",%s`, key, value)
		return okay
	}
	on := a.num(0, 1)
	if a.bad {
		return failed
	}
	m.qindcfg[key] = string(rune('0' + on))
	return okay
}

func (m *ec600) showRate() reply {
	rate := m.dce.rate
	if rate == 0 {
		rate = 115200
	}
	m.info("+IPR: %d", rate)
	return okay
}

// setRate takes effect after OK (AT manual V1.1, AT+IPR).
func (m *ec600) setRate(a *args) reply {
	d := m.dce
	baud := a.num(4800, 921600)
	if !a.end() || !slices.Contains([]int{4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}, baud) {
		return failed
	}
	if d.baud > 0 { // a line that takes no time has no rate
		d.rate = baud
	}
	return reply{code: "OK", then: d.adoptRate}
}

// initState is a bitmap: SIM, text messages, phone book.
func (m *ec600) initState() reply {
	n := 0
	if m.simError() == 0 {
		n = 7
	}
	m.info("+QINISTAT: %d", n)
	return okay
}

func (m *ec600) inserted() int {
	if m.f.noSIM {
		return 0
	}
	return 1
}

func (m *ec600) triesLeft() reply {
	d := m.dce
	if d.f.noSIM {
		return cme(10)
	}
	d.info(`+QPINC: "SC",%d,%d`, d.nvm.pinTries, d.nvm.pukTries)
	d.info(`+QPINC: "P2",3,10`)
	return okay
}

func (m *ec600) networkInfo() reply {
	if m.radio.stat != 1 {
		m.info(`+QNWINFO: "NONE"`)
		return okay
	}
	m.info(`+QNWINFO: "FDD LTE",46001,"LTE BAND 3",1650`)
	return okay
}

// networkTime has the daylight saving inside the quotes (AT manual V1.1, example of AT+QLTS).
func (m *ec600) networkTime() reply {
	if m.radio.stat != 1 {
		m.info(`+QLTS: ""`)
		return okay
	}
	m.info(`+QLTS: "%s+00,0"`, m.clock().Format("2006/01/02,15:04:05"))
	return okay
}

// powerDown answers at once; the module says farewell later and is gone until Sim.Reset.
func (m *ec600) powerDown() reply {
	d := m.dce
	return reply{code: "OK", then: func() {
		d.after(d.lat.down, func() {
			d.urc("POWERED DOWN")
			d.halt()
			d.off = true
		})
	}}
}
