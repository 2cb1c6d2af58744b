package modemsim

import "time"

// luatFaults is what can go wrong, or be different, in the dialect of AirM2M alone.
type luatFaults struct {
	luatOS     bool
	noMPUBEX   bool
	mpubexMax  int
	banner     string
	lateURC    time.Duration
	noCRLF     bool
	noSpace    bool
	msub       string
	buffered   bool
	noClosed   bool
	ownClosed  bool
	pdnDeact   int
	patience   time.Duration
	urcBuffer  bool
	iccidError bool
	shutPlain  bool
	paddedIP   bool
	cutReceive bool
}

func init() {
	for _, row := range luatFaultTable {
		owner[row.name] = "air724ug"
	}
	faultTable = append(faultTable, luatFaultTable...)
	meaning["air724ug"] = luatMeaning
}

var luatFaultTable = []fault{
	{"luatos", "", "runs LuatOS-Air, which answers AT and has neither MQTT nor TCP commands", flag(func(f *faults) *bool { return &f.luatOS })},
	{"no-mpubex", "", "a firmware before V907: there is no AT+MPUBEX", flag(func(f *faults) *bool { return &f.noMPUBEX })},
	{"mpubex-max", "N", "AT+MPUBEX takes N bytes, and AT+MPUBEX=? says so; else it takes 4100 and does not say it", number(1, maxMPUBEX, func(f *faults) *int { return &f.mpubexMax })},
	{"banner", "twice|rom|uart", "at boot: RDY twice; ^boot.rom garbage before it; or UART Boot Completed and SMS READY around it", oneOf(func(f *faults) *string { return &f.banner }, "twice", "rom", "uart")},
	{"late-urc", "DUR", "CONNECT OK, CONNACK OK, SUBACK, PUBACK and their like are late", duration(func(f *faults) *time.Duration { return &f.lateURC })},
	{"no-crlf", "", "the CR LF after CONNECT OK is missing", flag(func(f *faults) *bool { return &f.noCRLF })},
	{"nospace", "", "no blank after the colon of STATE: and +MSUB:", flag(func(f *faults) *bool { return &f.noSpace })},
	{"msub", "hex|hexquoted|nobyte", "+MSUB shows payloads in hex while AT+MQTTMODE is 1, with quotes or without; or has no \" byte\" after the length", oneOf(func(f *faults) *string { return &f.msub }, "hex", "hexquoted", "nobyte")},
	{"buffered", "", "AT+MQTTMSGSET is 1 at power-on", flag(func(f *faults) *bool { return &f.buffered })},
	{"no-closed", "", "a firmware before V838: no CLOSED when the server closes", flag(func(f *faults) *bool { return &f.noClosed })},
	{"own-closed", "", "CLOSED also follows the OK of the host's own AT+MIPCLOSE", flag(func(f *faults) *bool { return &f.ownClosed })},
	{"pdn-deact", "K", "after K publishes +CGEV: NW PDN DEACT 5, and not a word of the link", number(1, 1e9, func(f *faults) *int { return &f.pdnDeact })},
	{"patience", "DUR", "how long the server waits for AT+MCONNECT after CONNECT OK (5s)", duration(func(f *faults) *time.Duration { return &f.patience })},
	{"urc-buffer", "", "what comes during a command is kept in 2048 bytes and 32 lines; the oldest goes first", flag(func(f *faults) *bool { return &f.urcBuffer })},
	{"iccid-error", "", "the first AT+ICCID after power-on answers ERROR", flag(func(f *faults) *bool { return &f.iccidError })},
	{"shut-plain", "", "AT+CIPSHUT answers OK instead of SHUT OK", flag(func(f *faults) *bool { return &f.shutPlain })},
	{"padded-ip", "", "AT+CIFSR answers 010.007.157.001", flag(func(f *faults) *bool { return &f.paddedIP })},
	{"cut-receive", "", "+RECEIVE has lost its first two bytes", flag(func(f *faults) *bool { return &f.cutReceive })},
}

// luatMeaning is what the knobs of fault.go do here.
var luatMeaning = map[string]string{
	"iccid":           "AT+ICCID, AT+CCID",
	"qiact-error":     "AT+CIICR answers +PDP: DEACT and +CME ERROR: 65535",
	"qiact-hang":      "",
	"pdpdeact":        "+PDP: DEACT",
	"pdp-drift":       "AT+CIFSR claims an address",
	"ghost":           "+PDP: DEACT",
	"urcport":         "",
	"unquoted":        "",
	"nolength":        "",
	"no-recvmode":     "",
	"no-edit-timeout": "",
	"view":            "even after ATE0",
	"empty-ok":        "AT+MPUB and AT+MPUBEX",
	"close-idle":      "AT+MIPCLOSE without a link: +CME ERROR: 767, OK or ERROR",
	"buffer":          "",
	"urc-inside":      "a +CGREG line",
	"late-close":      "",
	"send-fail":       "every Nth AT+CIPSEND",
	"drop-urc":        "PUBACK or PUBCOMP",
	"open":            "of AT+MIPSTART: 767 is +CME ERROR: 767, 2 is ALREADY CONNECT, the rest CONNECT FAIL",
	"conn":            "of AT+MCONNECT: 767 is +CME ERROR: 767, 1 is CLOSED, the rest ERROR",
	"stat":            "CLOSED, whatever N is",
	"noping":          "",
	"pubex-error":     "AT+MPUB and AT+MPUBEX answer +CME ERROR: 767",
	"pub-fail":        "+CME ERROR: 767 in place of OK",
	"lose-puback":     "it is lost for good, nothing is sent again",
	"fail-inflight":   "",
	"granted":         "",
}
