package modemsim

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

func init() { maps.Copy(faultTests, airKnobTests) }

// airKnobTests has the knobs that this model alone has.
var airKnobTests = map[string]func(t *testing.T){
	"pdn-deact": func(t *testing.T) {
		h, _ := air(t, "pdn-deact=1")
		h.airOffer(1, "t", "x")
		h.expect(isOK + urc("+CGEV: NW PDN DEACT 5"))
		h.ask("AT+MIPCLOSE", isOK)
	},
	"nospace": func(t *testing.T) {
		h, b := air(t, "nospace")
		h.ask("AT+CIPSTATUS", isOK+urc("STATE:IP INITIAL"))
		h.ask(`AT+MSUB="t",1`, isOK+urc("SUBACK"))
		b.Publish("t", []byte("x"), false, 0)
		h.expect(urc(`+MSUB:"t",1 byte,x`))
	},
	"late-urc": func(t *testing.T) {
		h := airOff(t, newPeer(t).l.Addr().String(), "late-urc=300ms")
		begin := time.Now()
		h.send("AT+MIPSTART=\"broker\",1883\rAT+CSQ\r") // at once: the host may be slower than the module
		h.expect(isOK + urc("+CSQ: 28,99") + isOK + urc("CONNECT OK"))
		if took := time.Since(begin); took < 300*time.Millisecond {
			t.Errorf("CONNECT OK after %v", took)
		}
	},
	"luatos": func(t *testing.T) {
		h := airOff(t, "", "luatos")
		h.ask("ATI", urc("LuatOS-Air_V4032_RDA8910_TTS_NOLVGL_FLOAT")+isOK)
		h.ask("AT+CGMI", urc(`+CGMI: ""`)+isOK)
		h.ask("AT+CGMM", urc(`+CGMM: "Air724UG"`)+isOK)
		for _, line := range []string{"AT+MQTTSTATU", `AT+MCONFIG="x"`, "AT+CIPSHUT"} {
			h.ask(line, urc("+CME ERROR: invalid command line"))
		}
	},
	"no-mpubex": func(t *testing.T) {
		h, _ := air(t, "no-mpubex")
		h.ask("AT+CGMR", urc(`+CGMR: "AirM2M_Air724UG_V409_LTE_AT"`)+isOK)
		h.ask("AT+MPUBEX=?", isError)
		h.ask(`AT+MPUB="t",1,0,"x"`, isOK+urc("PUBACK"))
	},
	"mpubex-max": func(t *testing.T) {
		h, b := air(t, "mpubex-max=5")
		h.ask("AT+MPUBEX=?", urc("+MPUBEX:<topic>,(0-2),(0-1),(1-5)")+isOK)
		h.ask(`AT+MPUBEX="t",0,0,6`, isError)
		h.airOffer(0, "t", "12345")
		h.expect(isOK)
		b.next(t)
		h.ask(`AT+MPUB="t",0,0,"123456"`, isOK) // has its own limit
	},
	"banner": func(t *testing.T) {
		rest := strings.TrimPrefix(airBanner, urc("RDY"))
		for value, begins := range map[string]string{
			"twice": urc("RDY") + urc("RDY"), "rom": "^boot.rom'v'!\\n" + urc("RDY"), "uart": urc("UART Boot Completed") + urc("RDY") + urc("SMS READY"),
		} {
			airOff(t, "", "banner="+value, "boot-delay=1ms").expect(begins + rest)
		}
	},
	"no-crlf": func(t *testing.T) {
		h := airOff(t, newPeer(t).l.Addr().String(), "no-crlf")
		h.ask(`AT+MIPSTART="broker",1883`, isOK+"\r\nCONNECT OK")
		h.silent(30 * time.Millisecond)
		h.ask("AT", isOK)
	},
	"msub": func(t *testing.T) {
		for value, line := range map[string]string{"hex": `+MSUB: "t",4 byte,00FF`, "hexquoted": `+MSUB: "t",4 byte,"00FF"`, "nobyte": "+MSUB: \"t\",2,\x00\xff"} {
			h, b := air(t, "msub="+value)
			h.ask("AT+MQTTMODE=1", isOK)
			h.ask(`AT+MSUB="t",1`, isOK+urc("SUBACK"))
			b.Publish("t", []byte("\x00\xff"), false, 0)
			h.expect(urc("%s", line))
		}
	},
	"buffered": func(t *testing.T) { airOff(t, "", "buffered").ask("AT+MQTTMSGSET?", urc("+MQTTMSGSET:1")+isOK) },
	"no-closed": func(t *testing.T) {
		f := newFake(t)
		h := airOff(t, f.l.Addr().String(), "no-closed")
		f.airOnline(h)
		f.conn.Close()
		h.silent(50 * time.Millisecond)
		h.ask("AT+MQTTSTATU", urc("+MQTTSTATU :0")+isOK)
	},
	"own-closed": func(t *testing.T) {
		h, _ := air(t, "own-closed")
		h.ask("AT+MIPCLOSE", isOK+urc("CLOSED"))
	},
	"patience": func(t *testing.T) {
		h := airOff(t, newPeer(t).l.Addr().String(), "patience=50ms")
		h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("CONNECT OK")+urc("CLOSED"))
	},
	"urc-buffer": func(t *testing.T) {
		h, _ := air(t, "urc-buffer")
		h.ask(`AT+MPUBEX="t",0,0,1`, "\r\n> ")
		for i := range 33 {
			h.sim.Inject(fmt.Sprint("+N: ", i))
		}
		h.send("x")
		h.expect(isOK + urc("+N: 1")) // the first is gone
		h.until(urc("+N: 32"))
		h.ask(`AT+MPUBEX="t",0,0,1`, "\r\n> ")
		for i := range 5 {
			h.sim.Inject(fmt.Sprint("+M: ", i, strings.Repeat("m", 500)))
		}
		h.send("x")
		h.expect(isOK + "\r\n+M: 1m")
		h.until("+M: 4" + strings.Repeat("m", 500) + "\r\n")
		h.ask("AT", isOK)
	},
	"iccid-error": func(t *testing.T) {
		h := airOff(t, "", "iccid-error")
		h.ask("AT+ICCID", isError)
		h.ask("AT+ICCID", urc("+ICCID: 89860025128306012474")+isOK)
	},
	"shut-plain": func(t *testing.T) { airOff(t, "", "shut-plain").ask("AT+CIPSHUT", isOK) },
	"padded-ip": func(t *testing.T) {
		h := airOff(t, "", "padded-ip")
		h.ask("AT+CSTT;+CIICR", isOK)
		h.ask("AT+CIFSR", urc("010.007.157.001"))
	},
	"cut-receive": func(t *testing.T) {
		p := newPeer(t)
		h := airOff(t, p.l.Addr().String(), "cut-receive")
		h.ask("AT+CIPMUX=1", isOK)
		h.bearer()
		h.ask(`AT+CIPSTART=0,"TCP","server",80`, isOK)
		p.accept()
		h.expect(urc("0,CONNECT OK"))
		p.write("abc")
		h.expect("\r\nECEIVE,0,3:\r\nabc")
	},
}
