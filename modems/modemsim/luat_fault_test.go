package modemsim

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func TestAirFaults(t *testing.T) {
	t.Parallel()
	for name, test := range airFaultTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// A knob that has another meaning here has another test too, and one that has none is refused.
func TestEveryAirFaultIsTested(t *testing.T) {
	t.Parallel()
	for name, says := range luatMeaning {
		if findFault(name) < 0 {
			t.Errorf("there is no fault %s", name)
		}
		if says != "" && airFaultTests[name] == nil {
			t.Errorf("%s has no test that it happens", name)
		}
	}
	for model, spec := range map[string]string{"air724ug": "granted=1", "ec600": "luatos"} {
		_, err := Start(Config{Model: model, Faults: []string{spec}})
		name, _, _ := strings.Cut(spec, "=")
		if err == nil || !strings.Contains(err.Error(), `fault "`+name+`" means nothing on `+model) {
			t.Errorf("%s on %s: %v", spec, model, err)
		}
	}
	help := strings.Join(Faults(), "\n")
	for _, says := range []string{"; not air724ug\n", "; air724ug: PUBACK or PUBCOMP\n", " air724ug only: "} {
		if !strings.Contains(help, says) {
			t.Errorf("no %q in the list of faults", says)
		}
	}
}

// airFaultTests has the knobs of every model, as far as they do something of their own here.
var airFaultTests = map[string]func(t *testing.T){
	"iccid": func(t *testing.T) {
		airOff(t, "", "iccid=8986F").ask("AT+ICCID;+CCID", urc("+ICCID: 8986F")+urc("8986F")+isOK)
	},
	"nosim": func(t *testing.T) {
		h := airOff(t, "", "nosim", "boot-delay=1ms")
		h.expect(urc("RDY") + urc("+CPIN: SIM REMOVED"))
		h.ask("AT+CPIN?", urc("+CME ERROR: 10"))
		h.ask("AT+ICCID", urc("+CME ERROR: 10"))
		h.ask("AT+CMEE=2;+CPIN?", urc("+CME ERROR: SIM not inserted"))
	},
	"pin": func(t *testing.T) {
		h := airOff(t, "", "pin=1234", "boot-delay=1ms")
		h.expect(urc("RDY") + urc("+CPIN: SIM PIN"))
		h.ask("AT+CPIN=1234", isOK+urc("+CPIN: READY")+strings.TrimPrefix(strings.TrimSuffix(airBanner, "\r\n+NITZ: "), urc("RDY")))
	},
	"noreg": func(t *testing.T) {
		h := airOff(t, "", "noreg")
		h.ask("AT+CEREG?", urc("+CEREG: 0,2")+isOK)
		h.ask(`AT+MIPSTART="b",1`, isOK+urc("STATE: IP INITIAL")+urc("CONNECT FAIL"))
		h.ask("AT+SAPBR=1,1", urc("+CME ERROR: 767"))
	},
	"qiact-error": func(t *testing.T) {
		h := airOff(t, "", "qiact-error")
		h.ask("AT+CSTT", isOK)
		h.ask("AT+CIICR", urc("+PDP: DEACT")+urc("+CME ERROR: 65535"))
		h.ask("AT+CIFSR", isError)
	},
	"pdpdeact": func(t *testing.T) {
		h, _ := air(t, "pdpdeact=1")
		h.airOffer(0, "t", "x")
		h.expect(isOK + urc("+PDP: DEACT"))
		h.ask("AT+MQTTSTATU", urc("+MQTTSTATU :0")+isOK)
		h.ask("AT+MIPCLOSE", isOK)
		h.ask("AT+MIPCLOSE", urc("+CME ERROR: 767"))
		h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: PDP DEACT")+urc("CONNECT FAIL"))
		h.ask("AT+CIPSHUT", urc("SHUT OK"))
		h.airConnect()
	},
	"pdp-drift": func(t *testing.T) {
		b := newBroker(t)
		h := airOff(t, b.addr, "pdp-drift")
		h.bearer()
		h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: IP STATUS")+urc("CONNECT FAIL"))
		h.ask("AT+RESET", isOK)
		h.airBoots()
		h.airConnect()
	},
	"ghost": func(t *testing.T) {
		h := airOff(t, "", "ghost")
		h.ask("AT+RESET", isOK+urc("+PDP: DEACT"))
		h.airBoots()
	},
	"prompt": func(t *testing.T) {
		for value, prompt := range map[string]string{"space": "\r\n> ", "crlf": "\r\n>\r\n", "bare": ">"} {
			h, _ := air(t, "prompt="+value)
			h.ask(`AT+MPUBEX="t",1,0,1`, prompt)
			h.send("x")
			h.expect(isOK + urc("PUBACK"))
		}
	},
	"spaces": func(t *testing.T) {
		b := newBroker(t)
		h := airOff(t, b.addr, "spaces")
		h.ask("AT+CIPMUX=1", isOK)
		h.ask(`AT+MCONFIG="sim"`, isOK)
		h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("7, CONNECT OK"))
		h.ask("AT+MCONNECT=1,60", isOK+urc("CONNACK OK"))
		h.ask(`AT+MSUB="t",1`, isOK+urc("SUBACK"))
		b.Publish("t", []byte("a,b"), false, 0)
		h.expect(urc(`+MSUB: "t", 3 byte,a,b`))
	},
	"compact-ok": func(t *testing.T) { airOff(t, "", "compact-ok").ask("AT+CSQ", "\r\n+CSQ: 28,99\r\nOK\r\n") },
	"view": func(t *testing.T) {
		h, _ := air(t, "view")
		h.ask(`AT+MPUBEX="t",0,0,4`, "\r\n> ")
		h.send("seen")
		h.expect("seen" + isOK)
	},
	"empty-ok": func(t *testing.T) {
		h, b := air(t, "empty-ok")
		h.ask(`AT+MPUBEX="t",1,0,0`, "\r\n> "+isOK+urc("PUBACK"))
		h.ask(`AT+MPUB="t",0,0,""`, isOK)
		for range 2 {
			if p := b.next(t); len(p.Payload) != 0 {
				t.Errorf("got %q", p.Payload)
			}
		}
	},
	"close-idle": func(t *testing.T) {
		airOff(t, "", "close-idle=0").ask("AT+MIPCLOSE", isOK)
		airOff(t, "", "close-idle=-1").ask("AT+MIPCLOSE", isError)
	},
	"urc-inside": func(t *testing.T) {
		stray := urc(`+CGREG: 2,1,"2797","02B82E17",7`)
		airOff(t, "", "urc-inside").ask("AT+CEREG?", stray+urc("+CEREG: 0,1")+stray+isOK)
	},
	"early-urc": func(t *testing.T) {
		p, b := newPeer(t), newBroker(t)
		h := airOff(t, b.addr, "early-urc")
		h.ask(`AT+MCONFIG="sim"`, isOK)
		h.ask(`AT+MIPSTART="broker",1883`, urc("CONNECT OK")+isOK)
		h.ask(`AT+MIPSTART="broker",1883`, urc("ALREADY CONNECT")+isOK)
		h.ask("AT+MCONNECT=1,60", urc("CONNACK OK")+isOK)
		h.ask(`AT+MSUB="s",1`, urc("SUBACK")+isOK)
		for qos, result := range []string{"", urc("PUBACK"), urc("PUBREC") + urc("PUBCOMP")} {
			h.airOffer(qos, "t", "x")
			h.expect(result + isOK)
		}
		h.ask("AT+MIPCLOSE", isOK)
		h.ask(`AT+MIPSTART="`+noHost+`",1`, urc("STATE: IP INITIAL")+urc("CONNECT FAIL")+isOK)
		h = airOff(t, p.l.Addr().String(), "early-urc")
		h.ask(`AT+CIPSTART="TCP","server",80`, urc("CONNECT OK")+isOK)
	},
	"late-ok": func(t *testing.T) {
		h := airOff(t, "", "late-ok=200ms")
		begin := time.Now()
		h.ask("AT+CIPSHUT", urc("SHUT OK"))
		if took := time.Since(begin); took < 200*time.Millisecond {
			t.Errorf("SHUT OK after %v", took)
		}
	},
	"drop-urc": func(t *testing.T) {
		h, _ := air(t, "drop-urc=2")
		for i, result := range []string{urc("PUBACK"), "", urc("PUBACK")} {
			h.airOffer(1, "t", "x")
			h.expect(isOK + result)
			deadline := time.Now().Add(patient) // the module has its answer, or it would refuse the next
			for h.sim.Stats().Results <= int64(i) && time.Now().Before(deadline) {
				runtime.Gosched()
			}
		}
	},
	"drop-prompt": func(t *testing.T) {
		h, b := air(t, "drop-prompt=1")
		h.send(`AT+MPUBEX="t",1,0,4` + "\r\n")
		h.silent(50 * time.Millisecond)
		h.send("AT\rx") // becomes payload
		h.expect(isOK + urc("PUBACK"))
		if p := b.next(t); string(p.Payload) != "AT\rx" {
			t.Errorf("got %q", p.Payload)
		}
	},
	"dup-prompt": func(t *testing.T) {
		h, _ := air(t, "dup-prompt")
		h.ask(`AT+MPUBEX="t",1,0,1`, "\r\n> \r\n> ")
		h.send("x")
		h.expect(isOK + urc("PUBACK"))
	},
	"wedge": func(t *testing.T) {
		h, b := air(t, "wedge=1")
		h.airOffer(1, "t", "x")
		h.expect(isOK)
		b.next(t) // it did go out
		h.send("AT\r")
		h.silent(50 * time.Millisecond)
		h.sim.Reset()
		h.airBoots()
		h.airConnect()
	},
	"reboot": func(t *testing.T) {
		p := newPeer(t)
		h := airOff(t, p.l.Addr().String(), "reboot=1")
		h.socket(p)
		h.ask("AT+CIPSEND=1", "\r\n> ")
		h.send("x")
		h.expect(urc("SEND OK"))
		h.airBoots()
		h.ask("AT+CIPSTATUS", isOK+urc("STATE: IP INITIAL"))
	},
	"send-fail": func(t *testing.T) {
		p := newPeer(t)
		h := airOff(t, p.l.Addr().String(), "send-fail=2")
		h.socket(p)
		for _, answer := range []string{"SEND OK", "SEND FAIL", "SEND OK"} {
			h.ask("AT+CIPSEND=1", "\r\n> ")
			h.send("x")
			h.expect(urc("%s", answer))
		}
		p.expect("xx")
	},
	"reboot-prompt": func(t *testing.T) {
		h, _ := air(t, "reboot-prompt=1")
		h.ask(`AT+MPUBEX="t",1,0,1`, "\r\n> ")
		h.airBoots()
		h.ask("AT+MQTTSTATU", urc("+MQTTSTATU :0")+isOK)
	},
	"swallow": func(t *testing.T) {
		h := airOff(t, "", "swallow=1", "boot-delay=1ms")
		h.airBoots()
		h.send("ATE0\r")
		h.silent(30 * time.Millisecond)
		h.ask("ATE0", isOK)
	},
	"open": func(t *testing.T) {
		b := newBroker(t)
		h := airOff(t, b.addr, "open=767x1")
		h.ask(`AT+MIPSTART="broker",1883`, urc("+CME ERROR: 767"))
		h.airConnect()
		airOff(t, b.addr, "open=2").ask(`AT+MIPSTART="broker",1883`, isOK+urc("ALREADY CONNECT"))
		airOff(t, b.addr, "open=4").ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: IP INITIAL")+urc("CONNECT FAIL"))
	},
	"conn": func(t *testing.T) {
		b := newBroker(t)
		for value, answer := range map[string]string{"767x1": urc("+CME ERROR: 767"), "0,5x1": isOK + isError} {
			h := airOff(t, b.addr, "conn="+value)
			h.ask(`AT+MCONFIG="x"`, isOK)
			h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("CONNECT OK"))
			h.ask("AT+MCONNECT=1,60", answer)
			h.ask("AT+MCONNECT=1,60", isOK+urc("CONNACK OK"))
		}
		h := airOff(t, newPeer(t).l.Addr().String(), "conn=1")
		h.ask(`AT+MCONFIG="x"`, isOK)
		h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("CONNECT OK"))
		h.ask("AT+MCONNECT=1,60", isOK+urc("CLOSED"))
	},
	"stat": func(t *testing.T) {
		h, _ := air(t, "stat=1@1")
		h.airOffer(0, "t", "x")
		h.expect(isOK + urc("CLOSED"))
		h.ask(`AT+MPUBEX="t",1,0,1`, urc("+CME ERROR: 767"))
		h.airConnect()
	},
	"pubex-error": func(t *testing.T) {
		h, _ := air(t, "pubex-error=2")
		h.ask(`AT+MPUB="t",0,0,"x"`, isOK)
		h.ask(`AT+MPUBEX="t",1,0,1`, urc("+CME ERROR: 767"))
		h.ask(`AT+MPUB="t",0,0,"x"`, isOK)
	},
	"pub-fail": func(t *testing.T) {
		h, b := air(t, "pub-fail=2")
		for i, answer := range []string{isOK + urc("PUBACK"), urc("+CME ERROR: 767"), isOK + urc("PUBACK")} {
			h.airOffer(1, "t", fmt.Sprint(i))
			h.expect(answer)
		}
		b.next(t)
		if p := b.next(t); string(p.Payload) != "2" {
			t.Errorf("got %q", p.Payload)
		}
	},
	"lose-puback": func(t *testing.T) {
		f := newFake(t)
		h := airOff(t, f.l.Addr().String(), "lose-puback=1")
		f.airOnline(h)
		h.airOffer(1, "t", "x")
		h.expect(isOK)
		f.puback(next[*packets.PublishPacket](f).MessageID)
		h.silent(50 * time.Millisecond)
		h.ask(`AT+MPUBEX="t",1,0,1`, urc("+CME ERROR: 767")) // it still waits
		h.ask("AT+MIPCLOSE", isOK)
	},
	"blackhole": func(t *testing.T) {
		h, b := air(t, "blackhole=1")
		h.airOffer(0, "t", "1") // this one went before the hole came
		h.expect(isOK)
		b.next(t)
		h.airOffer(1, "t", "2")
		h.expect(isOK)
		h.silent(100 * time.Millisecond)
		h.ask("AT+MQTTSTATU", urc("+MQTTSTATU :1")+isOK) // half open
		if len(b.got) > 0 {
			t.Error("it arrived")
		}
		p := newPeer(t)
		h = airOff(t, p.l.Addr().String(), "blackhole=1")
		h.socket(p)
		for range 2 {
			h.ask("AT+CIPSEND=1", "\r\n> ")
			h.send("x")
			h.expect(urc("SEND OK"))
		}
		h.ask("AT+CIPACK", urc("+CIPACK: 2,1,1")+isOK)
	},
	"link": func(t *testing.T) {
		h, b := air(t, "link=2000")
		begin := time.Now()
		h.airOffer(0, "t", strings.Repeat("x", 1000))
		h.expect(isOK)
		b.next(t)
		if took := time.Since(begin); took < 450*time.Millisecond {
			t.Errorf("1000 bytes took %v", took)
		}
	},
}
