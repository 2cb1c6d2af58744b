package modemsim

import "time"

// The NT35E of Lierda, in both firmwares that are sold for it: "L" with the maker's own commands, and "Q" with
// Quectel's. No complete log of one is public: this follows the manual as others restate it, and the strings that
// drivers in the field wait for.
func init() {
	models["nt35e"] = newNT35E
	models["nt35e-q"] = newNT35EQ
}

// The maker gives 10 to 500 ms for OK; the rest is unknown, and taken from a sibling's log.
var nt35eSheet = latency{
	line: 10 * time.Millisecond,
	data: 50 * time.Millisecond,
	sent: 10 * time.Millisecond,
	open: 300 * time.Millisecond,
	conn: 300 * time.Millisecond,
	sub:  200 * time.Millisecond,
	boot: 2500 * time.Millisecond,
	down: time.Second,
}

func nt35eIdentity(revision string) identity {
	return identity{
		maker: "Lierda", model: "NT35E", revision: revision,
		imei: "864606060012345", imsi: "460011234567890", iccid: "89861122219045577705",
	}
}

// nt35e is what both firmwares have in common.
type nt35e struct{ *general }

func newNT35EBase(d *dce, revision string) *nt35e {
	d.discipline = d.usual()
	d.discipline.longest = 4096
	d.discipline.stray = func() string { return `+CGEV: ME PDN ACT 1` }
	g := newGeneral(d, nt35eIdentity(revision))
	g.ready = nil
	d.profile.cmee = 1 // numeric errors have been seen without asking for them
	return &nt35e{g}
}

// commands are those of the EC71x base that field drivers send to either firmware.
func (m *nt35e) commands() map[string]command {
	line := func(format string, text func() string) command {
		return command{test: noText, exec: func() reply { m.info(format, text()); return okay }}
	}
	card := func(name string) command {
		return command{test: noText, exec: m.withSIM(func() reply { m.info(name+": %s", m.id.iccid); return okay })}
	}
	reboots := func() reply { return reply{code: "OK", then: func() { m.after(0, m.reboot) }} }
	return map[string]command{
		"+LGMR":    line("%s", func() string { return m.id.revision }),
		"+LGSN":    {set: func(*args) reply { m.info("+LGSN: %s", m.id.imei); return okay }},
		"+LCCID":   card("+LCCID"),
		"+ECICCID": card("+ECICCID"),
		"+REBOOT":  {exec: reboots},
		"+ECRST":   {exec: reboots}, // of the base
		"+CFUN": {read: m.funRead, test: "(0,1,3,4,5),(0,1)", set: func(a *args) reply {
			if a.raw == "0,1" { // what drivers in the field reboot it with
				return reboots()
			}
			return m.funSet(a)
		}},
	}
}

// banner is the mask ROM's, which has no line end of its own, and what the fault banner puts behind it.
func (m *nt35e) banner() {
	switch m.f.rom {
	case "line":
		m.print("^boot.rom'v\x80\xfe'!\\n\r\n")
	case "lierda":
		m.print("^boot.rom'v\x80\xfe'!\\n\r\n")
		m.urc("Lierda" + m.id.revision)
	default:
		m.print("^boot.rom'v\x80\xfe'!\\n")
	}
	m.sayPIN()
}

func newNT35E(d *dce) model {
	m := newNT35EBase(d, "NT35ECNA00NNA-L01020304")
	if d.f.qiactError {
		m.first = 0 // not even the attach brings one up
	}
	m.noCard = ""
	d.discipline.eatLF = true // drivers end every line with CR LF
	l := newLierda(m.general)
	return model{
		commands: merge(v250(d), without(m.general.commands(), "+Q", "+G"), m.commands(), l.commands()),
		sheet:    nt35eSheet,
		boot:     m.search,
		banner:   m.banner,
		drop:     l.unlink,
		search:   m.search,
		card:     m.changeCard,
		hang:     l.hang,
	}
}

func newNT35EQ(d *dce) model {
	m := newNT35EBase(d, "NT35ECNA00NNA-Q01010950")
	q := newQuectel(m.general)
	return model{
		commands: merge(v250(d), m.general.commands(), q.commands(), m.commands()),
		sheet:    nt35eSheet,
		boot:     m.search,
		banner:   m.banner,
		drop:     q.drop,
		search:   m.search,
		card:     m.changeCard,
		hang:     q.hang,
	}
}
