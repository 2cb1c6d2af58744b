package modemsim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// dialogue plays a terminal log: lines that begin with "> " are sent with CR, the others
// are the bytes that come back, echo included, with ~ for CR LF.
func (h *host) dialogue(script string) {
	h.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if text, sent := strings.CutPrefix(line, "> "); sent {
			h.send(text + "\r")
			h.expect(text + "\r")
		} else if line != "" {
			h.expect(strings.ReplaceAll(line, "~", "\r\n"))
		}
	}
}

// The whole of a public log of an EC600S-CN, with the simulator's own address.
func TestDialogueL1(t *testing.T) {
	b := newBroker(t)
	h := start(t, Config{
		Baud:   921600,
		Map:    map[string]string{"iot-as-mqtt.cn-shanghai.aliyuncs.com:1883": b.addr},
		Faults: []string{"granted=1", "boot-delay=1ms"},
	})
	h.expect(urc("RDY") + urc("+CFUN: 1") + urc("+CPIN: READY") + urc("+QUSIM: 1") + urc("+QIND: SMS DONE") + urc("+QIND: PB DONE"))
	h.dialogue(`
> AT
~OK~
> AT+CPIN?
~+CPIN: READY~~OK~
> AT+CREG?
~+CREG: 0,1~~OK~
> AT+CGREG?
~+CGREG: 0,1~~OK~
> AT+CEREG?
~+CEREG: 0,1~~OK~
> AT+QICSGP=1,1,"CMNET","","",1
~OK~
> AT+QICSGP=1
~+QICSGP: 1,"CMNET","","",1~~OK~
> AT+QIACT=1
~OK~
> AT+QIACT?
~+QIACT: 1,1,1,"10.7.157.1"~~OK~
> AT+QMTCFG="recv/mode",0,0,1
~OK~
> AT+QMTCFG="aliauth",0,"a1ProductKy","dev_001","not-a-secret"
~OK~
> AT+QMTOPEN=0,"iot-as-mqtt.cn-shanghai.aliyuncs.com",1883
~OK~~+QMTOPEN: 0,0~
> AT+QMTOPEN?
~+QMTOPEN: 0,"iot-as-mqtt.cn-shanghai.aliyuncs.com",1883~~OK~
> AT+QMTCONN=0,"clientExample_0"
~OK~~+QMTCONN: 0,0,0~
> AT+QMTCONN?
~+QMTCONN: 0,3~~OK~
> AT+QMTSUB=0,1,"/sys/a1ProductKy/dev_001/thing/service/property/set",0
~OK~~+QMTSUB: 0,1,0,1~
`)
	set := `{"method":"thing.service.property.set","id":"220958108","params":{"PowerSwitch_1":1},"version":"1.0.0"}`
	if err := b.Publish("/sys/a1ProductKy/dev_001/thing/service/property/set", []byte(set), false, 0); err != nil {
		t.Fatal(err)
	}
	h.dialogue(`~+QMTRECV: 0,0,"/sys/a1ProductKy/dev_001/thing/service/property/set",103,"` + set + `"~
> AT+QMTUNS=0,2,"/sys/a1ProductKy/dev_001/thing/service/property/set"
~OK~~+QMTUNS: 0,2,0~
> AT+QMTPUBEX=0,0,0,0,"/sys/a1ProductKy/dev_001/thing/event/property/post",103
~> `)
	post := `{"method":"thing.event.property.post","id":"1142523359","params":{"PowerSwitch_1":0},"version":"1.0.0"}`
	h.send(post)
	h.dialogue(`~OK~~+QMTPUBEX: 0,0,0~
> AT+QMTDISC=0
~OK~~+QMTDISC: 0,0~`)
	if b.next(t); string(b.next(t).Payload) != post { // the first is our own Publish
		t.Error("the payload did not arrive as it was sent")
	}
}

func TestCommandLine(t *testing.T) {
	h := start(t, Config{})
	for _, c := range []struct{ about, send, get string }{
		{"echo is what was typed", "AT", "AT\r" + isOK},
		{"lower case", "at+csq", "at+csq\r" + urc("+CSQ: 28,99") + isOK},
		{"no AT, no answer; then a line that has one", "hello\r AT", "hello\r AT\r" + isOK},
		{"junk before AT is not for the module", "\x00xxAT", "\x00xxAT\r" + isOK},
		{"the LF of CR LF means nothing", "AT\r\nAT", "AT\r" + isOK + "AT\r" + isOK},
		{"an empty line", "\r\rAT", "\r\rAT\r" + isOK},
		{"backspace", "ATX9\b4", "ATX9\b4\r" + isOK},
		{"a chain of basic commands", "ATE1V1Q0X4&C1&D2", "ATE1V1Q0X4&C1&D2\r" + isOK},
		{"a chain of extended ones", "AT+CSQ;+CREG?;", "AT+CSQ;+CREG?;\r" + urc("+CSQ: 28,99") + urc("+CREG: 0,1") + isOK},
		{"an error ends the chain", "AT+NOSUCH;+CSQ", "AT+NOSUCH;+CSQ\r" + isError},
		{"a semicolon within quotes", `AT+QICSGP=2,1,"a;b";+QICSGP=2`, `AT+QICSGP=2,1,"a;b";+QICSGP=2` + "\r" + urc(`+QICSGP: 1,"a;b","","",0`) + isOK},
		{"an open quote", `AT+QICSGP=2,1,"a`, `AT+QICSGP=2,1,"a` + "\r" + isError},
		{"text after a quote", `AT+QICSGP=2,1,"a"b`, `AT+QICSGP=2,1,"a"b` + "\r" + isError},
		{"no escape character", `AT+QICSGP=2,1,"a\"b"`, `AT+QICSGP=2,1,"a\"b"` + "\r" + isError},
		{"a number in quotes", `AT+QICSGP="2"`, `AT+QICSGP="2"` + "\r" + isError},
		{"a wrong form", "AT+CSQ?", "AT+CSQ?\r" + isError},
		{"a test command", "AT+CSQ=?", "AT+CSQ=?\r" + urc("+CSQ: (0-31,99),(0-7,99)") + isOK},
		{"the longest line", "AT+QMTOPEN=0,\"" + strings.Repeat("x", 1024-15) + "\"", "AT+QMTOPEN=0,\"" + strings.Repeat("x", 1024-15) + "\"\r" + isError},
		{"a line that is too long", "AT" + strings.Repeat(" ", 1030), "AT" + strings.Repeat(" ", 1030) + "\r" + isError},
		{"and the next", "AT", "AT\r" + isOK},
		{"S registers", "ATS0=3S0?", "ATS0=3S0?\r" + urc("003") + isOK},
		{"never been online", "ATO", "ATO\r" + urc("NO CARRIER")},
	} {
		h.send(c.send + "\r")
		h.expect(c.get)
		if t.Failed() {
			t.Fatal(c.about)
		}
	}
	h.send("AT+CSQ\r")
	h.expect("AT+CSQ\r" + urc("+CSQ: 28,99") + isOK)
	h.send("A/") // no CR
	h.expect("A/" + urc("+CSQ: 28,99") + isOK)
}

func TestProfile(t *testing.T) {
	h := start(t, Config{Faults: []string{"boot-delay=1ms", "nosim"}})
	h.until(urc("+CPIN: NOT READY"))
	h.quiet()
	h.ask("AT+CPIN?", urc("+CME ERROR: 10"))
	h.ask("AT+CMEE=2", isOK)
	h.ask("AT+CPIN?", urc("+CME ERROR: SIM not inserted"))
	h.ask("AT+CMEE=0", isOK)
	h.ask("AT+CPIN?", isError)
	h.ask("ATV0", "0\r")
	h.ask("AT+CSQ", "+CSQ: 28,99\r\n0\r")
	h.ask("AT+NOSUCH", "4\r")
	h.ask("ATQ1", "")
	h.ask("AT+CSQ", "+CSQ: 28,99\r\n")
	h.ask("AT&F", "\r\nOK\r\n")
	h.ask("AT+CMEE?", "AT+CMEE?\r"+urc("+CMEE: 1")+isOK)
	h.ask("ATE0&W", "ATE0&W\r"+isOK)
	h.ask("ATE1", isOK)
	h.ask("ATZ", "ATZ\r"+isOK)
	h.ask("AT+CFUN=1,1", isOK+urc("RDY")+urc("+CFUN: 1")+urc("+CPIN: NOT READY"))
	h.ask("AT", isOK) // ATE0 was stored
}

func TestGeneralCommands(t *testing.T) {
	h := start(t, Config{})
	h.quiet()
	for line, answer := range map[string]string{
		"ATI":                        urc("Quectel\r\nEC600S\r\nRevision: EC600SCNLBR01A01M08"),
		"AT+CGMI":                    urc("Quectel"),
		"AT+CGMM":                    urc("EC600S"),
		"AT+CGMR":                    urc("EC600SCNLBR01A01M08"),
		"AT+CGSN":                    urc("869537052769784"),
		"AT+CIMI":                    urc("460011234567890"),
		"AT+QCCID":                   urc("+QCCID: 89860025128306012474"),
		"AT+CFUN?":                   urc("+CFUN: 1"),
		"AT+COPS?":                   urc(`+COPS: 0,0,"CHN-UNICOM",7`),
		"AT+QNWINFO":                 urc(`+QNWINFO: "FDD LTE",46001,"LTE BAND 3",1650`),
		"AT+CGATT?":                  urc("+CGATT: 1"),
		"AT+CGPADDR=1":               urc(`+CGPADDR: 1,"10.7.157.1"`),
		"AT+CGACT?":                  urc("+CGACT: 1,1"),
		"AT+QINISTAT":                urc("+QINISTAT: 7"),
		"AT+IPR?":                    urc("+IPR: 115200"),
		"AT+IFC?":                    urc("+IFC: 0,0"),
		"AT+QSCLK?":                  urc("+QSCLK: 0"),
		"AT+QISDE?":                  urc("+QISDE: 1"),
		`AT+QURCCFG="urcport"`:       urc(`+QURCCFG: "urcport","uart1"`),
		"AT+CGDCONT?":                urc(`+CGDCONT: 1,"IP","","0.0.0.0",0,0`),
		"AT+QIGETERROR":              urc("+QIGETERROR: 0,operate successfully"),
		`AT+QSSLCFG="ciphersuite",2`: urc(`+QSSLCFG: "ciphersuite",2,0XFFFF`),
		`AT+CLCK="SC",2`:             urc("+CLCK: 0"),
		"AT+QMTOPEN?;+QMTCONN?":      "",
		"AT+QMTRECV?":                "",
		"AT+QIACT?":                  "",
		"AT+QIDEACT=1":               "",
		"AT+QIDEACT=1;+QICSGP=1":     urc(`+QICSGP: 1,"","","",0`),
		"AT+CSCS?;+CSCS=\"IRA\"":     urc(`+CSCS: "GSM"`),
		"AT+CFUN=4;+COPS?;+CFUN=1":   urc("+COPS: 0"),
		`AT+QMTCFG="version",0`:      urc(`+QMTCFG: "version",3`),
		`AT+QMTPUBEX=?`:              urc(`+QMTPUBEX: (0-5),<msgid>,(0-2),(0,1),"topic","length"`),
	} {
		h.ask(line, answer+isOK)
	}
	h.send("AT+CCLK?;+QLTS\r")
	now := time.Now().UTC().Format("06/01/02,15:0")
	if got := h.until(isOK); !strings.HasPrefix(got, "\r\n+CCLK: \""+now[:8]) || !strings.Contains(got, `+QLTS: "20`) {
		t.Errorf("got %q", got)
	}
	h.ask("AT+CSCS?", urc(`+CSCS: "IRA"`)+isOK)
	h.send("AT+COPS=?\r")
	h.until(isOK)
}

func TestRegistrationURCs(t *testing.T) {
	h := start(t, Config{})
	h.quiet()
	h.ask("AT+CREG=2;+CGREG=1;+CEREG=1", isOK)
	h.ask("AT+CREG?", urc(`+CREG: 2,1,"D509","80D413D",7`)+isOK)
	h.ask("AT+QIACT=1", isOK)
	h.ask("AT+QIACT=1", isError) // active already
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 561,open PDP context failed")+isOK)
	h.ask("AT+QIDNSCFG=1", urc(`+QIDNSCFG: 1,"202.106.0.20","114.114.114.114"`)+isOK)
	h.send("AT+CFUN=4\r")
	got := h.until(isOK)
	for _, line := range []string{"+CREG: 0", "+CGREG: 0", "+CEREG: 0", `+QIURC: "pdpdeact",1`} {
		if !strings.Contains(got, urc("%s", line)) {
			t.Errorf("no %s in %q", line, got)
		}
	}
	h.ask("AT+CGATT=1", urc("+CME ERROR: 30"))
	h.send("AT+CFUN=1\r")
	if got := h.until(isOK); !strings.Contains(got, urc(`+CREG: 1,"D509","80D413D",7`)) {
		t.Errorf("got %q", got)
	}
	h.ask("AT+CGATT=0", isOK+urc("+CGREG: 2")+urc("+CEREG: 2"))
	h.ask("AT+QIACT=1", isError)
	h.ask("AT+CGATT=1", isOK+urc("+CGREG: 1")+urc("+CEREG: 1"))
	for cid := 2; cid <= 4; cid++ {
		h.ask(fmt.Sprintf("AT+QICSGP=%d,1,\"x\";+QIACT=%d", cid, cid), isOK)
	}
	h.ask("AT+QIACT=1", isError) // three are the limit
	h.ask("AT+QIACT=x", isError)
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 552,invalid parameters")+isOK)
}

func TestCFUN(t *testing.T) {
	h := start(t, Config{Faults: []string{"pin=1234"}})
	h.quiet()
	h.ask("AT+CFUN=0", isOK)
	h.ask("AT+CPIN?", urc("+CME ERROR: 13"))
	h.ask("AT+CFUN=1", isOK+urc("+CPIN: SIM PIN"))
	h.ask("AT+CPIN=1234", isOK+urc("+CPIN: READY")+urc("+QUSIM: 1")+urc("+QIND: SMS DONE")+urc("+QIND: PB DONE"))
	h.ask("AT+COPS?", urc(`+COPS: 0,0,"CHN-UNICOM",7`)+isOK)
	h.ask("AT+CFUN=2", isError)
}

func TestRate(t *testing.T) {
	h := start(t, Config{Baud: 921600, Faults: []string{"echo=off", "boot-delay=1ms"}})
	h.until("PB DONE\r\n")
	h.ask("AT+IPR=230400", isOK)
	before := h.sim.Stats().FromHost
	h.send("AT\r") // the host is still at 921600
	h.heard(int(before) + len("AT\r"))
	if got := h.garbage(0); strings.Contains(got, "OK") {
		t.Errorf("got %q at the wrong rate", got)
	}
	h.speed(230400)
	h.send("\r") // ends whatever the module made of it
	h.ask("AT+IPR?", urc("+IPR: 230400")+isOK)
	h.speed(921600) // not stored with AT&W; and the module says nothing between this and its banner
	h.sim.Reset()
	h.until("PB DONE\r\n")
	h.ask("AT+IPR=230400;&W", isOK)
	h.speed(230400)
	h.ask("AT+CFUN=1,1", isOK)
	h.until("PB DONE\r\n")
	h.ask("AT+IPR=300", isError)
}

func TestPowerDown(t *testing.T) {
	h := start(t, Config{Faults: []string{"echo=off"}})
	h.ask("AT+QPOWD", isOK+urc("POWERED DOWN"))
	h.send("AT\r")
	h.silent(50 * time.Millisecond)
	h.sim.Reset()
	h.until("PB DONE\r\n")
	h.ask("AT", isOK)
}

// An injected URC never splits the echo of a line, and waits for the end of a payload.
func TestInjectWaits(t *testing.T) {
	h := start(t, Config{})
	h.send("AT+C")
	h.expect("AT+C")
	h.sim.Inject("+HELLO: 1")
	h.silent(30 * time.Millisecond)
	h.ask("SQ", "SQ\r"+urc("+CSQ: 28,99")+isOK+urc("+HELLO: 1"))
	h.quiet()
	h.send("AT+C")
	h.sim.Inject("+HELLO: 2") // without echo there is nothing to split
	h.expect(urc("+HELLO: 2"))
	h.ask("SQ", urc("+CSQ: 28,99")+isOK)
	h.ask(`AT+QMTCFG="willex",0,1,1,0,"w",4`, "\r\n> ")
	h.sim.Inject("+HELLO: 3")
	h.send("abc")
	h.silent(30 * time.Millisecond)
	h.send("d")
	h.expect(isOK + urc("+HELLO: 3"))
	h.ask(`AT+QCFG="urc/cache",1`, isOK)
	h.sim.Inject("+HELLO: 4")
	h.silent(30 * time.Millisecond)
	h.ask(`AT+QCFG="urc/cache",0`, isOK+urc("+HELLO: 4"))
}

func TestSheetLatency(t *testing.T) {
	h := start(t, Config{Latency: "sheet"})
	begin := time.Now()
	h.ask("AT", "AT\r"+isOK)
	if took := time.Since(begin); took < 7*time.Millisecond {
		t.Errorf("the answer came after %v", took)
	}
	h.send("AT\rAT\r") // the second waits for the first
	h.expect("AT\r" + isOK + "AT\r" + isOK)
}
