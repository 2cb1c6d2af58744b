package modemsim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// faults is every knob of a module, as Config.Faults set it. The zero value, with the
// defaults of parseFaults, is a module that works.
type faults struct {
	model, revision, imei, iccid string

	noSIM, puk    bool
	pin           string
	noReg, denied bool
	regDelay      time.Duration
	csq           int
	qiactError    bool
	qiactHang     bool
	pdpDeact      int
	pdpDrift      bool
	ghost         bool

	echo         string
	urcPort      string
	prompt       string
	spaces       bool
	compactOK    bool
	unquoted     bool
	noLength     bool
	noRecvMode   bool
	noEdit       bool
	viewMode     bool
	emptyOK      bool
	closeIdle    string
	buffer       string
	urcInside    bool
	earlyURC     bool
	lateOK       time.Duration
	lateClose    time.Duration
	dropURC      int
	dropPrompt   int
	dupPrompt    bool
	bootDelay    time.Duration
	noise        time.Duration
	wrongBaud    int
	garble       int
	wedge        int
	reboot       int
	rebootPrompt int

	open, conn   scripted
	stat         scripted
	noPing       bool
	pubexError   int
	pubFail      int
	losePuback   int
	blackhole    int
	failInflight bool
	granted      int
	linkRate     int
	swallow      int
	noMQTT       bool

	luatFaults
	lierdaFaults
	quectelFaults
}

// mqttCommands begin the names that the fault no-mqtt takes away.
var mqttCommands = []string{"+QMT", "+LMQTT", "+MCONFIG", "+MIPSTART", "+SSLMIPSTART", "+MIPCLOSE", "+MCONNECT", "+MDISCONNECT", "+MPUB", "+MSUB", "+MUNSUB", "+MQTT"}

// scripted is a result that the module is made to give: some numbers, so many times.
type scripted struct {
	set   bool
	n     [2]int
	times int // how often; 0: always
}

// take reports whether the scripted result applies now, and counts it.
func (s *scripted) take() bool {
	if !s.set {
		return false
	}
	if s.times > 0 {
		s.times--
		s.set = s.times > 0
	}
	return true
}

// fault is one row of the table of knobs.
type fault struct {
	name, value string
	help        string
	set         func(f *faults, v string) error
}

func (f fault) usage() string {
	if f.value == "" {
		return f.name
	}
	return f.name + "=" + f.value
}

var faultTable = []fault{
	{"model", "TEXT", "what ATI and AT+CGMM say; the EC600S's own text is not documented", text(func(f *faults) *string { return &f.model })},
	{"revision", "TEXT", "what ATI and AT+CGMR say", text(func(f *faults) *string { return &f.revision })},
	{"imei", "TEXT", "what AT+CGSN says", text(func(f *faults) *string { return &f.imei })},
	{"iccid", "TEXT", "what AT+QCCID says; real ones may hold letters", text(func(f *faults) *string { return &f.iccid })},

	{"nosim", "", "no SIM card: +CME ERROR: 10", flag(func(f *faults) *bool { return &f.noSIM })},
	{"pin", "PIN", "the SIM asks for this PIN; three wrong ones lock it", text(func(f *faults) *string { return &f.pin })},
	{"puk", "", "the SIM is locked; its PUK is " + thePUK, flag(func(f *faults) *bool { return &f.puk })},
	{"noreg", "", "searches for a network for ever", flag(func(f *faults) *bool { return &f.noReg })},
	{"denied", "", "the network refuses the registration", flag(func(f *faults) *bool { return &f.denied })},
	{"regdelay", "DUR", "registers only so long after power-on", duration(func(f *faults) *time.Duration { return &f.regDelay })},
	{"csq", "N", "signal, 0..31 or 99", number(0, 99, func(f *faults) *int { return &f.csq })},
	{"qiact-error", "", "AT+QIACT answers ERROR, and no context comes up", flag(func(f *faults) *bool { return &f.qiactError })},
	{"qiact-hang", "", "AT+QIACT holds the AT channel for its 150 s and then fails", flag(func(f *faults) *bool { return &f.qiactHang })},
	{"pdpdeact", "K", "after K publishes the network drops the PDP context", number(1, 1e9, func(f *faults) *int { return &f.pdpDeact })},
	{"pdp-drift", "", "AT+QIACT? claims an address but nothing can be dialled, until a reboot", flag(func(f *faults) *bool { return &f.pdpDrift })},
	{"ghost", "", "after a reset a +QIURC: \"pdpdeact\",1 of the former life comes before RDY", flag(func(f *faults) *bool { return &f.ghost })},

	{"echo", "on|off", "echo at power-on, whatever AT&W stored", oneOf(func(f *faults) *string { return &f.echo }, "on", "off")},
	{"urcport", "usbat|uart1", "where URCs go; usbat: not here, RDY excepted, until AT+QURCCFG says uart1", oneOf(func(f *faults) *string { return &f.urcPort }, "usbat", "uart1")},
	{"prompt", "space|crlf|bare", "the prompt is CR LF > SP (the default), CR LF > CR LF, or > alone", oneOf(func(f *faults) *string { return &f.prompt }, "space", "crlf", "bare")},
	{"spaces", "", "a blank after each comma of what the module prints", flag(func(f *faults) *bool { return &f.spaces })},
	{"compact-ok", "", "no blank line between information response and OK", flag(func(f *faults) *bool { return &f.compactOK })},
	{"unquoted", "", "+QMTRECV prints the payload without quotes", flag(func(f *faults) *bool { return &f.unquoted })},
	{"nolength", "", "+QMTRECV prints no length, whatever recv/mode says", flag(func(f *faults) *bool { return &f.noLength })},
	{"no-recvmode", "", "AT+QMTCFG=\"recv/mode\" answers ERROR", flag(func(f *faults) *bool { return &f.noRecvMode })},
	{"no-edit-timeout", "", "AT+QMTCFG=\"edit/timeout\" answers ERROR, as with manual V1.0", flag(func(f *faults) *bool { return &f.noEdit })},
	{"view", "", "payloads are echoed as typed: view/mode is 1 at power-on, and AT+QISDE=0 has no effect", flag(func(f *faults) *bool { return &f.viewMode })},
	{"empty-ok", "", "AT+QMTPUBEX takes the length 0", flag(func(f *faults) *bool { return &f.emptyOK })},
	{"close-idle", "error|0|-1", "what AT+QMTCLOSE of a closed client gives: ERROR (the default) or a result", oneOf(func(f *faults) *string { return &f.closeIdle }, "error", "0", "-1")},
	{"buffer", "drop|overwrite", "recv/mode 1: the sixth unread message is dropped (the default) or replaces the oldest", oneOf(func(f *faults) *string { return &f.buffer }, "drop", "overwrite")},

	{"urc-inside", "", "+QIND: \"csq\" between echo and answer, and between answer and OK, of every command", flag(func(f *faults) *bool { return &f.urcInside })},
	{"early-urc", "", "a result URC comes before the OK of its command", flag(func(f *faults) *bool { return &f.earlyURC })},
	{"late-ok", "DUR", "every final result code is late", duration(func(f *faults) *time.Duration { return &f.lateOK })},
	{"late-close", "DUR", "the +QMTCLOSE result is late", duration(func(f *faults) *time.Duration { return &f.lateClose })},
	{"drop-urc", "N", "every Nth publish result URC is not printed", number(1, 1e9, func(f *faults) *int { return &f.dropURC })},
	{"drop-prompt", "N", "every Nth prompt is not printed, though the module waits for the payload", number(1, 1e9, func(f *faults) *int { return &f.dropPrompt })},
	{"dup-prompt", "", "every prompt comes twice", flag(func(f *faults) *bool { return &f.dupPrompt })},

	{"boot-delay", "DUR", "from power-on to RDY; with it the module starts switched off", duration(func(f *faults) *time.Duration { return &f.bootDelay })},
	{"noise", "DUR", "garbage on the line for so long at start", duration(func(f *faults) *time.Duration { return &f.noise })},
	{"wrongbaud", "RATE", "the module's UART is set to another rate than Config.Baud", number(1200, 4_000_000, func(f *faults) *int { return &f.wrongBaud })},
	{"garble", "N", "one byte in N is spoiled, in both directions", number(1, 1e9, func(f *faults) *int { return &f.garble })},
	{"wedge", "K", "after K publishes the AT channel is dead until a reset; the network side lives on", number(1, 1e9, func(f *faults) *int { return &f.wedge })},
	{"reboot", "K", "after K publishes the module reboots out of the blue", number(1, 1e9, func(f *faults) *int { return &f.reboot })},
	{"reboot-prompt", "K", "the module reboots right after its Kth prompt", number(1, 1e9, func(f *faults) *int { return &f.rebootPrompt })},

	{"open", "N[xTIMES]", "the result of AT+QMTOPEN (-1..5), always or so many times", script(1, ",", func(f *faults) *scripted { return &f.open })},
	{"conn", "R,RET[xTIMES]", "the result of AT+QMTCONN, always or so many times", script(2, ",", func(f *faults) *scripted { return &f.conn })},
	{"stat", "N@K", "after K publishes +QMTSTAT: i,N and the link is gone", script(2, "@", func(f *faults) *scripted { return &f.stat })},
	{"noping", "", "the broker's PINGRESP never arrives", flag(func(f *faults) *bool { return &f.noPing })},
	{"pubex-error", "N", "every Nth AT+QMTPUBEX answers ERROR instead of the prompt", number(1, 1e9, func(f *faults) *int { return &f.pubexError })},
	{"pub-fail", "N", "every Nth publish is not sent: result 2", number(1, 1e9, func(f *faults) *int { return &f.pubFail })},
	{"lose-puback", "N", "the first acknowledgement of every Nth publish is lost: retransmission with DUP", number(1, 1e9, func(f *faults) *int { return &f.losePuback })},
	{"blackhole", "K", "after K publishes nothing passes the air any more, and nothing is closed", number(1, 1e9, func(f *faults) *int { return &f.blackhole })},
	{"fail-inflight", "", "a lost link gives result 2 to every publish in flight before +QMTSTAT", flag(func(f *faults) *bool { return &f.failInflight })},
	{"granted", "Q", "AT+QMTSUB reports this QoS, whatever the broker granted", number(0, 128, func(f *faults) *int { return &f.granted })},
	{"swallow", "N", "the first N command lines after a boot vanish", number(1, 1e9, func(f *faults) *int { return &f.swallow })},
	{"no-mqtt", "", "the firmware has no MQTT commands", flag(func(f *faults) *bool { return &f.noMQTT })},
	{"link", "BYTES", "the air carries so many bytes a second each way", number(1, 1e9, func(f *faults) *int { return &f.linkRate })},
}

// In a dialect that has other words, a fault may mean something else, or nothing. Both maps
// are filled by the files of the models.
var (
	meaning = map[string]map[string]string{} // model and fault -> what it means there; "" is nothing
	owner   = map[string]string{}            // fault -> the only model that has it
)

// applies reports whether a fault means anything on a model.
func applies(fault, model string) bool {
	says, differs := meaning[model][fault]
	only, owned := owner[fault]
	return (!differs || says != "") && (!owned || only == model)
}

// explain is the help of a fault, with what it means on each model that differs.
func (f fault) explain() string {
	help := f.help
	if only, owned := owner[f.name]; owned {
		return only + " only: " + help
	}
	for _, model := range Models() {
		if says, differs := meaning[model][f.name]; differs && says == "" {
			help += "; not " + model
		} else if differs {
			help += "; " + model + ": " + says
		}
	}
	return help
}

func parseFaults(specs []string) (faults, error) {
	f := faults{csq: 28, granted: -1, closeIdle: "error", buffer: "drop", urcPort: "uart1", luatFaults: luatFaults{patience: 5 * time.Second}}
	for _, spec := range specs {
		name, value, given := strings.Cut(spec, "=")
		i := findFault(name)
		if i < 0 {
			return f, fmt.Errorf("modemsim: unknown fault %q; there are: %s", name, faultNames())
		}
		row := faultTable[i]
		if given != (row.value != "") {
			return f, fmt.Errorf("modemsim: fault %q is written %s", name, row.usage())
		}
		if err := row.set(&f, value); err != nil {
			return f, fmt.Errorf("modemsim: fault %q: %w; it is written %s", name, err, row.usage())
		}
	}
	return f, nil
}

func findFault(name string) int {
	for i, f := range faultTable {
		if f.name == name {
			return i
		}
	}
	return -1
}

func faultNames() string {
	var names []string
	for _, f := range faultTable {
		names = append(names, f.usage())
	}
	return strings.Join(names, ", ")
}

func flag(at func(*faults) *bool) func(*faults, string) error {
	return func(f *faults, _ string) error { *at(f) = true; return nil }
}

func text(at func(*faults) *string) func(*faults, string) error {
	return func(f *faults, v string) error {
		if v == "" {
			return errors.New("the value is empty")
		}
		*at(f) = v
		return nil
	}
}

func oneOf(at func(*faults) *string, values ...string) func(*faults, string) error {
	return func(f *faults, v string) error {
		for _, known := range values {
			if v == known {
				*at(f) = v
				return nil
			}
		}
		return fmt.Errorf("%q is none of its values", v)
	}
}

func number(lo, hi int, at func(*faults) *int) func(*faults, string) error {
	return func(f *faults, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("%q is no number from %d to %d", v, lo, hi)
		}
		*at(f) = n
		return nil
	}
}

func duration(at func(*faults) *time.Duration) func(*faults, string) error {
	return func(f *faults, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is no duration such as 250ms", v)
		}
		*at(f) = d
		return nil
	}
}

// script parses one or two numbers, parted by sep, and how often they apply.
func script(n int, sep string, at func(*faults) *scripted) func(*faults, string) error {
	return func(f *faults, v string) error {
		s := scripted{set: true}
		v, times, limited := strings.Cut(v, "x")
		parts := strings.Split(v, sep)
		if len(parts) > n {
			return fmt.Errorf("%q has too many numbers", v)
		}
		var err error
		for i, p := range parts {
			if s.n[i], err = strconv.Atoi(p); err != nil {
				return fmt.Errorf("%q is no number", p)
			}
		}
		if limited {
			if s.times, err = strconv.Atoi(times); err != nil || s.times < 1 {
				return fmt.Errorf("%q is no count", times)
			}
		}
		*at(f) = s
		return nil
	}
}
