package modems

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/atbridge/atbridge/atcmd"
)

// KnownCommand is a command that the console completes, and what it does.
type KnownCommand struct {
	Name string // behind AT
	Does string
}

// Result explains a kind of line to a person: Say is given the fields of a line that begins with Line, and is silent
// (empty) about what it does not know. Line ends in a colon, or is the whole line, which has no fields.
type Result struct {
	Line string
	Say  func(p atcmd.Params) string
}

// Known are the commands of 27.007 and of a driver, or of all drivers where there is none of that name, sorted.
func Known(driver string) []KnownCommand {
	known := slices.Clone(commands27007)
	for _, d := range registry {
		if Lookup(driver) == nil || d.Name == driver {
			known = append(known, d.Commands...)
		}
	}
	slices.SortStableFunc(known, func(a, b KnownCommand) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(known, func(a, b KnownCommand) bool { return a.Name == b.Name })
}

// Explain says what a line from the modem means; empty: nobody knows, or it is plain. Without a driver of that name
// every dialect is asked.
func Explain(driver, line string) string {
	results := results27007
	for _, d := range registry {
		if Lookup(driver) == nil || d.Name == driver {
			results = append(results[:len(results):len(results)], d.Results...)
		}
	}
	for _, r := range results {
		var p atcmd.Params
		if strings.HasSuffix(r.Line, ":") {
			if !strings.HasPrefix(line, r.Line) {
				continue
			}
			var err error
			if _, p, err = atcmd.ParseParams(line); err != nil {
				continue
			}
		} else if line != r.Line {
			continue
		}
		if text := r.Say(p); text != "" {
			return text
		}
	}
	return ""
}

// DriverOf is the driver that a model name, as ATI or AT+CGMM print it, belongs to; empty: none.
func DriverOf(model string) string {
	if d := match(strings.TrimSpace(model)); d != nil {
		return d.Name
	}
	return ""
}

// just says text.
func just(text string) func(atcmd.Params) string {
	return func(atcmd.Params) string { return text }
}

// number looks field i up in the first table that has it.
func number(i int, tables ...map[int]string) func(atcmd.Params) string {
	return func(p atcmd.Params) string {
		n, err := p.Int(i)
		if err != nil {
			return ""
		}
		for _, t := range tables {
			if text, ok := t[n]; ok {
				return text
			}
		}
		return ""
	}
}

// word looks the text of field i up.
func word(i int, table map[string]string) func(atcmd.Params) string {
	return func(p atcmd.Params) string { return table[p.Text(i)] }
}

// connack is number for the return code of CONNACK in field i, where field result says that one has come.
func connack(result, code int, table map[int]string) func(atcmd.Params) string {
	return func(p atcmd.Params) string {
		if n, err := p.Int(code); err == nil && n > 0 && p.Text(result) == "0" {
			return ConnackError(n).Error()
		}
		return number(result, table)(p)
	}
}

// commands27007 are those that every modem has, or may have.
var commands27007 = []KnownCommand{
	{"", "answers OK: is the modem there?"},
	{"I", "identification"},
	{"E0", "echo off"},
	{"E1", "echo on"},
	{"&F", "factory settings"},
	{"&V", "show the settings"},
	{"&W", "store the settings"},
	{"Z", "back to the stored settings"},
	{"+CCLK?", "the clock"},
	{"+CEREG?", "registration, LTE"},
	{"+CESQ", "signal quality, LTE"},
	{"+CFUN?", "0 minimum, 1 full, 4 flight mode"},
	{"+CFUN=1,1", "restart the module"},
	{"+CGACT?", "which PDP contexts are active"},
	{"+CGATT?", "is it attached to the packet network?"},
	{"+CGDCONT?", "PDP contexts: type and APN"},
	{"+CGMI", "manufacturer"},
	{"+CGMM", "model"},
	{"+CGMR", "firmware"},
	{"+CGPADDR", "addresses of the PDP contexts"},
	{"+CGREG?", "registration, packet"},
	{"+CGSN", "IMEI"},
	{"+CIMI", "IMSI of the SIM"},
	{"+CMEE=1", "errors as numbers"},
	{"+CMEE=2", "errors as text"},
	{"+COPS?", "operator"},
	{"+COPS=?", "search for operators (takes minutes)"},
	{"+CPIN?", "is the SIM ready?"},
	{"+CREG?", "registration, voice"},
	{"+CSQ", "signal quality"},
	{"+IPR?", "baud rate"},
}

var results27007 = []Result{
	{"+CME ERROR:", number(0, cmeWords())},
	{"+CMS ERROR:", cmsWord},
	{"+CSQ:", func(p atcmd.Params) string { return sayRSSI(p, 0) }},
	{"+CESQ:", sayRSRP},
	{"+CPIN:", word(0, map[string]string{
		"READY": "the SIM is ready", "SIM PIN": "the SIM asks for its PIN", "SIM PUK": "the SIM is locked; it asks for its PUK",
		"NOT READY": "the SIM is not ready", "NOT INSERTED": "there is no SIM",
	})},
	{"+CREG:", sayRegistration},
	{"+CGREG:", sayRegistration},
	{"+CEREG:", sayRegistration},
	{"+CGATT:", number(0, map[int]string{0: "not attached", 1: "attached to the packet network"})},
	{"+CGACT:", number(1, map[int]string{0: "the context is not active", 1: "the context is active"})},
	{"+CFUN:", number(0, map[int]string{0: "minimum: the radio is off", 1: "full: the radio is on", 4: "flight mode: the radio is off"})},
	{"+CGEV:", sayPacketEvent},
	{"+CMTI:", just("a text message has come")},
	{"RING", just("somebody calls")},
	{"NO CARRIER", just("the connection has ended")},
	{"RDY", just("the module has started")},
}

func cmeWords() map[int]string {
	all := map[int]string{}
	for n := range 1000 {
		if w := atcmd.CMEError(n).Words(); w != "" {
			all[n] = w
		}
	}
	return all
}

func cmsWord(p atcmd.Params) string {
	n, err := p.Int(0)
	if err != nil {
		return ""
	}
	return atcmd.CMSError(n).Words()
}

// sayRSSI is for the <rssi> of 27.007 8.5.
func sayRSSI(p atcmd.Params, i int) string {
	n, err := p.Int(i)
	switch {
	case err != nil:
		return ""
	case n == 99:
		return "no signal, or not known"
	case dBm(n) == 0:
		return ""
	}
	return fmt.Sprintf("%d dBm, %s", dBm(n), SignalWords(dBm(n)))
}

// sayRSRP is for 27.007 8.69: <rsrp> is the sixth field, 0 for less than -140 dBm, 255 for not known.
func sayRSRP(p atcmd.Params) string {
	n, err := p.Int(5)
	if err != nil || n < 0 || n > 97 {
		return ""
	}
	return "RSRP " + strconv.Itoa(n-141) + " dBm"
}

// sayRegistration is for the answer, which has <n> before <stat>, and for the URC, which has not.
func sayRegistration(p atcmd.Params) string {
	i := 0
	if len(p) > 1 && !p[1].Quoted && p[1].Text != "" {
		i = 1
	}
	return number(i, registrationWords)(p)
}

// sayPacketEvent is for the event reports of 27.007 10.1.19.
func sayPacketEvent(p atcmd.Params) string {
	event := p.Text(0)
	for _, e := range []struct{ contains, text string }{
		{"NW DETACH", "the network has detached the modem"},
		{"ME DETACH", "the modem has detached"},
		{"PDN DEACT", "a data connection has ended"},
		{"DEACT", "a data connection has ended"},
		{"PDN ACT", "a data connection is up"},
	} {
		if strings.Contains(event, e.contains) {
			return e.text
		}
	}
	return ""
}

// sayGranted is for SUBACK: where field result is 0, field granted holds the QoS, or 128 for a refusal (MQTT 3.1.1, 3.9.3).
func sayGranted(result, granted int, table map[int]string) func(atcmd.Params) string {
	return func(p atcmd.Params) string {
		q, err := p.Int(granted)
		switch {
		case err != nil || p.Text(result) != "0":
			return number(result, table)(p)
		case q > 2:
			return "the broker refuses the subscription"
		}
		return fmt.Sprintf("subscribed, QoS %d", q)
	}
}
