package modemsim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// faulty starts a module that has a session with a broker in this process, without echo.
func faulty(t *testing.T, specs ...string) (*host, *broker) {
	t.Helper()
	b := newBroker(t)
	h := start(t, Config{Map: b.mapped(), Faults: append([]string{"echo=off"}, specs...)})
	h.ask(`AT+QMTCFG="recv/mode",0,0,1`, isOK)
	h.connect()
	return h, b
}

func bare(t *testing.T, specs ...string) *host {
	t.Helper()
	return start(t, Config{Faults: append([]string{"echo=off"}, specs...)})
}

const banner = "\r\nRDY\r\n\r\n+CFUN: 1\r\n\r\n+CPIN: READY\r\n\r\n+QUSIM: 1\r\n\r\n+QIND: SMS DONE\r\n\r\n+QIND: PB DONE\r\n"

// Every knob has a test that it does what its explanation says. A knob without one fails
// TestEveryFaultIsTested.
var faultTests = map[string]func(t *testing.T){
	"model": func(t *testing.T) { bare(t, "model=EC600SCN").ask("AT+CGMM", urc("EC600SCN")+isOK) },
	"revision": func(t *testing.T) {
		bare(t, "revision=R1").ask("ATI", urc("Quectel\r\nEC600S\r\nRevision: R1")+isOK)
	},
	"imei":  func(t *testing.T) { bare(t, "imei=1").ask("AT+CGSN", urc("1")+isOK) },
	"iccid": func(t *testing.T) { bare(t, "iccid=8986F").ask("AT+QCCID", urc("+QCCID: 8986F")+isOK) },
	"nosim": func(t *testing.T) {
		h := bare(t, "nosim")
		h.ask("AT+CPIN?", urc("+CME ERROR: 10"))
		h.ask("AT+QCCID", urc("+CME ERROR: 10"))
		h.ask("AT+CREG?", urc("+CREG: 0,0")+isOK)
		h.ask("AT+QSIMSTAT?", urc("+QSIMSTAT: 0,0")+isOK)
	},
	"pin": func(t *testing.T) {
		h := bare(t, "pin=1234")
		h.ask("AT+CPIN?", urc("+CPIN: SIM PIN")+isOK)
		h.ask("AT+CIMI", urc("+CME ERROR: 11"))
		h.ask("AT+CPIN=0000", urc("+CME ERROR: 16"))
		h.ask("AT+QPINC?", urc("+QPINC: \"SC\",2,10\r\n+QPINC: \"P2\",3,10")+isOK)
		h.ask(`AT+CPIN="0000"`, urc("+CME ERROR: 16"))
		h.ask("AT+CPIN=0000", urc("+CME ERROR: 12"))
		h.ask("AT+CPIN?", urc("+CPIN: SIM PUK")+isOK)
	},
	"puk": func(t *testing.T) {
		h := bare(t, "puk")
		h.ask("AT+CPIN?", urc("+CPIN: SIM PUK")+isOK)
		h.ask(`AT+CPIN="00000000","1111"`, urc("+CME ERROR: 16"))
		h.ask(`AT+CPIN="12345678","1111"`, isOK+urc("+CPIN: READY")+urc("+QUSIM: 1")+urc("+QIND: SMS DONE")+urc("+QIND: PB DONE"))
		h.ask("AT+CREG?", urc("+CREG: 0,1")+isOK)
	},
	"noreg": func(t *testing.T) {
		h := bare(t, "noreg")
		h.ask("AT+CEREG?", urc("+CEREG: 0,2")+isOK)
		h.ask("AT+QIACT=1", isError)
		h.ask("AT+COPS?", urc("+COPS: 0")+isOK)
		h.ask("AT+QNWINFO", urc(`+QNWINFO: "NONE"`)+isOK)
		h.ask(`AT+QMTOPEN=0,"b",1`, isOK+urc("+QMTOPEN: 0,3"))
	},
	"denied": func(t *testing.T) { bare(t, "denied").ask("AT+CREG?", urc("+CREG: 0,3")+isOK) },
	"regdelay": func(t *testing.T) {
		h := bare(t, "regdelay=2s")
		h.ask("AT+CREG=1", isOK)
		h.ask("AT+CREG?", urc("+CREG: 1,2")+isOK)
		h.expect(urc("+CREG: 1"))
	},
	"csq":         func(t *testing.T) { bare(t, "csq=99").ask("AT+CSQ", urc("+CSQ: 99,99")+isOK) },
	"qiact-error": func(t *testing.T) { bare(t, "qiact-error").ask("AT+QIACT=1", isError) },
	"qiact-hang": func(t *testing.T) {
		h := bare(t, "qiact-hang")
		h.send("AT+QIACT=1\r")
		h.send("AT\r") // waits
		h.sim.Inject("+URC: 1")
		h.expect(urc("+URC: 1"))
		h.silent(50 * time.Millisecond)
	},
	"pdpdeact": func(t *testing.T) {
		h, _ := faulty(t, "pdpdeact=1")
		h.offer(1, 1, "t", "x")
		h.expect(isOK + urc(`+QIURC: "pdpdeact",1`) + urc("+QMTSTAT: 0,1"))
		h.ask("AT+QIACT?", isOK)
	},
	"pdp-drift": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "pdp-drift"}})
		h.ask("AT+QIACT=1", isOK)
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,-1"))
		h.ask("AT+QIACT?", urc(`+QIACT: 1,1,1,"10.7.157.1"`)+isOK)
		h.ask("AT+CFUN=1,1", isOK+banner)
		h.connect()
	},
	"ghost": func(t *testing.T) {
		bare(t, "ghost").ask("AT+CFUN=1,1", isOK+urc(`+QIURC: "pdpdeact",1`)+banner)
	},
	"echo": func(t *testing.T) { start(t, Config{Faults: []string{"echo=off"}}).ask("AT", isOK) },
	"urcport": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "urcport=usbat"}})
		h.ask(`AT+QURCCFG="urcport"`, urc(`+QURCCFG: "urcport","usbat"`)+isOK)
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK)
		h.silent(100 * time.Millisecond)
		h.ask(`AT+QURCCFG="urcport","uart1"`, isOK)
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,2"))
		h.ask("AT+CFUN=1,1", isOK+banner) // it is in non-volatile memory
		h.ask(`AT+QURCCFG="urcport","usbat"`, isOK)
		h.ask("AT+CFUN=1,1", isOK+urc("RDY"))
		h.silent(50 * time.Millisecond)
	},
	"prompt": func(t *testing.T) {
		for value, prompt := range map[string]string{"space": "\r\n> ", "crlf": "\r\n>\r\n", "bare": ">"} {
			h, _ := faulty(t, "prompt="+value)
			h.ask(`AT+QMTPUBEX=0,1,1,0,"t",1`, prompt)
			h.send("x")
			h.expect(isOK + urc("+QMTPUBEX: 0,1,0"))
		}
	},
	"spaces": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "spaces"}})
		h.ask("AT+QIGETERROR", urc("+QIGETERROR: 0, operate successfully")+isOK)
		h.ask(`AT+QMTCFG="recv/mode",0,0,1`, isOK)
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0, 0"))
		h.ask(`AT+QMTCONN=0,"x"`, isOK+urc("+QMTCONN: 0, 0, 0"))
		h.ask(`AT+QMTSUB=0,1,"t,",1`, isOK+urc("+QMTSUB: 0, 1, 0, 1"))
		b.Publish("t,", []byte("a,b"), false, 0)
		h.expect(urc(`+QMTRECV: 0, 0, "t,", 3, "a,b"`))
	},
	"compact-ok": func(t *testing.T) {
		h := bare(t, "compact-ok")
		h.ask("AT+CSQ", "\r\n+CSQ: 28,99\r\nOK\r\n")
		h.ask("AT", isOK)
	},
	"unquoted": func(t *testing.T) {
		h, b := faulty(t, "unquoted")
		h.ask(`AT+QMTSUB=0,1,"t",1`, isOK+urc("+QMTSUB: 0,1,0,1"))
		b.Publish("t", []byte(`{"a":1}`), false, 0)
		h.expect(urc(`+QMTRECV: 0,0,"t",7,{"a":1}`))
	},
	"nolength": func(t *testing.T) {
		h, b := faulty(t, "nolength")
		h.ask(`AT+QMTSUB=0,1,"t",1`, isOK+urc("+QMTSUB: 0,1,0,1"))
		b.Publish("t", []byte("x"), false, 0)
		h.expect(urc(`+QMTRECV: 0,0,"t","x"`))
	},
	"no-recvmode": func(t *testing.T) {
		h := bare(t, "no-recvmode")
		h.ask(`AT+QMTCFG="recv/mode",0,0,1`, isError)
		h.send("AT+QMTCFG=?\r")
		if got := h.until(isOK); strings.Contains(got, "recv/mode") {
			t.Errorf("got %q", got)
		}
	},
	"no-edit-timeout": func(t *testing.T) { bare(t, "no-edit-timeout").ask(`AT+QMTCFG="edit/timeout",0,1,5`, isError) },
	"view": func(t *testing.T) {
		bare(t, "view").ask(`AT+QMTCFG="view/mode",0`, urc(`+QMTCFG: "view/mode",1`)+isOK)
	},
	"empty-ok": func(t *testing.T) {
		h, b := faulty(t, "empty-ok")
		h.ask(`AT+QMTPUBEX=0,1,1,0,"t",0`, "\r\n> "+isOK+urc("+QMTPUBEX: 0,1,0"))
		if p := b.next(t); len(p.Payload) != 0 {
			t.Errorf("got %q", p.Payload)
		}
		h.ask("AT", isOK)
	},
	"close-idle": func(t *testing.T) {
		bare(t).ask("AT+QMTCLOSE=0", isError)
		bare(t, "close-idle=-1").ask("AT+QMTCLOSE=0", isOK+urc("+QMTCLOSE: 0,-1"))
	},
	"buffer": func(t *testing.T) {
		f := newFake(t)
		h := start(t, Config{Map: f.mapped(), Faults: []string{"echo=off", "buffer=overwrite"}})
		h.ask(`AT+QMTCFG="recv/mode",0,1,0`, isOK)
		f.online(h)
		for i := range 6 {
			f.publish(0, 0, "t", fmt.Sprint(i))
			h.expect(urc("+QMTRECV: 0,%d", i%5))
		}
		h.ask("AT+QMTRECV=0,0", urc(`+QMTRECV: 0,0,"t","5"`)+isOK)
	},
	"urc-inside": func(t *testing.T) {
		h := bare(t, "urc-inside")
		ind := urc(`+QIND: "csq",28,99`)
		h.ask("AT+CSQ", ind+urc("+CSQ: 28,99")+ind+isOK)
		h.ask(`AT+QMTCFG="willex",0,1,1,0,"w",1`, ind+"\r\n> ")
		h.send("x")
		h.expect(isOK)
	},
	"early-urc": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "early-urc"}})
		h.ask(`AT+QMTOPEN=0,"broker",1883`, urc("+QMTOPEN: 0,0")+isOK)
		h.ask(`AT+QMTCONN=0,"x"`, urc("+QMTCONN: 0,0,0")+isOK)
		h.ask(`AT+QMTSUB=0,1,"s",1`, urc("+QMTSUB: 0,1,0,1")+isOK)
		for qos := range 3 {
			h.offer(qos, qos, "t", "x")
			h.expect(urc("+QMTPUBEX: 0,%d,0", qos) + isOK)
		}
		h.ask("AT+QMTDISC=0", urc("+QMTDISC: 0,0")+isOK)
		h.ask("AT", isOK)
	},
	"late-ok": func(t *testing.T) {
		h := bare(t, "late-ok=200ms")
		begin := time.Now()
		h.send("AT+CSQ\r")
		h.expect(urc("+CSQ: 28,99"))
		h.expect(isOK)
		if took := time.Since(begin); took < 200*time.Millisecond {
			t.Errorf("OK after %v", took)
		}
	},
	"late-close": func(t *testing.T) {
		h, _ := faulty(t, "late-close=300ms")
		h.send("AT+QMTCLOSE=0\rAT+CSQ\r") // at once: the host may be slower than the module
		h.expect(isOK + urc("+CSQ: 28,99") + isOK + urc("+QMTCLOSE: 0,0"))
	},
	"drop-urc": func(t *testing.T) {
		h, b := faulty(t, "drop-urc=2")
		h.publish(1, 1, "t", "x")
		h.offer(2, 1, "t", "x")
		h.expect(isOK)
		h.silent(100 * time.Millisecond)
		h.publish(3, 1, "t", "x")
		b.next(t)
		b.next(t)
		b.next(t)
	},
	"drop-prompt": func(t *testing.T) {
		h, b := faulty(t, "drop-prompt=2")
		h.publish(1, 1, "t", "x")
		h.send(`AT+QMTPUBEX=0,2,1,0,"t",4` + "\r")
		h.silent(50 * time.Millisecond)
		h.send("AT\rx") // becomes payload
		h.expect(isOK + urc("+QMTPUBEX: 0,2,0"))
		b.next(t)
		if p := b.next(t); string(p.Payload) != "AT\rx" {
			t.Errorf("got %q", p.Payload)
		}
	},
	"dup-prompt": func(t *testing.T) {
		h, _ := faulty(t, "dup-prompt")
		h.ask(`AT+QMTPUBEX=0,1,1,0,"t",1`, "\r\n> \r\n> ")
		h.send("x")
		h.expect(isOK + urc("+QMTPUBEX: 0,1,0"))
	},
	"boot-delay": func(t *testing.T) {
		begin := time.Now()
		h := bare(t, "boot-delay=200ms")
		h.send("AT\r") // nobody hears it
		h.expect(banner)
		if took := time.Since(begin); took < 200*time.Millisecond {
			t.Errorf("RDY after %v", took)
		}
		h.ask("AT", isOK)
	},
	"noise": func(t *testing.T) {
		h := bare(t, "noise=50ms")
		const all = 10 * 57 // each 5 ms, what fits in them at 115200 baud
		if got := h.garbage(all); len(got) != all {
			t.Errorf("only %d bytes of noise", len(got))
		}
		h.ask("AT", isOK)
	},
	"wrongbaud": func(t *testing.T) {
		h := start(t, Config{Baud: 115200, Faults: []string{"echo=off", "wrongbaud=9600"}})
		h.send("AT\rAT\rAT\r")
		h.heard(9)
		if got := h.garbage(0); strings.Contains(got, "OK") {
			t.Errorf("got %q", got)
		}
		h.speed(9600)
		h.send("\rAT+IPR?\r") // the first ends whatever the module made of it
		h.until(urc("+IPR: 9600") + isOK)
	},
	"garble": func(t *testing.T) {
		text := strings.Repeat("0123456789", 100) + "\r"
		h := start(t, Config{Seed: 1, Faults: []string{"garble=50"}})
		h.send(text)
		if got := h.garbage(len(text) - 200); got == text || len(got) < len(text)-200 {
			t.Errorf("%d of %d bytes came back, all alike: %t", len(got), len(text), got == text)
		}
	},
	"wedge": func(t *testing.T) {
		h, b := faulty(t, "wedge=2")
		h.publish(1, 1, "t", "x")
		h.offer(2, 1, "t", "x")
		h.expect(isOK)
		h.send("AT\r")
		h.silent(50 * time.Millisecond)
		b.next(t)
		b.next(t) // it did go out
		h.sim.Reset()
		h.expect(banner)
		h.connect()
		h.publish(3, 1, "t", "x")
	},
	"reboot": func(t *testing.T) {
		h, _ := faulty(t, "reboot=2")
		h.publish(1, 1, "t", "x")
		h.offer(2, 1, "t", "x")
		h.expect(isOK + banner)
		h.ask("AT+QMTCONN?", isOK)
		if n := h.sim.Stats().Reboots; n != 1 {
			t.Errorf("%d reboots", n)
		}
	},
	"reboot-prompt": func(t *testing.T) {
		h, _ := faulty(t, "reboot-prompt=1")
		h.ask(`AT+QMTPUBEX=0,1,1,0,"t",1`, "\r\n> "+banner)
		h.ask("AT+QMTOPEN?", isOK)
	},
	"open": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "open=4x2"}})
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,4"))
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,4"))
		h.connect()
	},
	"conn": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "conn=0,5x1"}})
		h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,0"))
		h.ask(`AT+QMTCONN=0,"x"`, isOK+urc("+QMTCONN: 0,0,5"))
		h.ask(`AT+QMTCONN=0,"x"`, isOK+urc("+QMTCONN: 0,0,0"))
		h2 := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "conn=2"}})
		h2.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,0"))
		h2.ask(`AT+QMTCONN=0,"x"`, isOK+urc("+QMTCONN: 0,2"))
	},
	"stat": func(t *testing.T) {
		h, b := faulty(t, "stat=7@2")
		h.publish(1, 1, "t", "x")
		h.offer(2, 1, "t", "x")
		h.expect(isOK + urc("+QMTSTAT: 0,7"))
		h.ask(`AT+QMTPUBEX=0,3,1,0,"t",1`, isError)
		b.next(t)
		h.connect()
		h.publish(3, 1, "t", "x")
	},
	"noping": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "noping"}})
		h.ask(`AT+QMTCFG="keepalive",0,2`, isOK)
		h.connect()
		h.expect(urc("+QMTPING: 0,1") + urc("+QMTSTAT: 0,2"))
	},
	"pubex-error": func(t *testing.T) {
		h, _ := faulty(t, "pubex-error=2")
		h.publish(1, 1, "t", "x")
		h.ask(`AT+QMTPUBEX=0,2,1,0,"t",1`, isError)
		h.publish(2, 1, "t", "x")
	},
	"pub-fail": func(t *testing.T) {
		h, b := faulty(t, "pub-fail=2")
		h.publish(1, 1, "t", "1")
		h.offer(2, 1, "t", "2")
		h.expect(isOK + urc("+QMTPUBEX: 0,2,2"))
		h.publish(2, 1, "t", "3")
		b.next(t)
		if p := b.next(t); string(p.Payload) != "3" {
			t.Errorf("got %q", p.Payload)
		}
	},
	"lose-puback": func(t *testing.T) {
		f := newFake(t)
		h := start(t, Config{Map: f.mapped(), Faults: []string{"echo=off", "lose-puback=1"}})
		h.ask(`AT+QMTCFG="timeout",0,1,3,1`, isOK)
		f.online(h)
		h.offer(1, 1, "t", "x")
		h.expect(isOK)
		next[*packets.PublishPacket](f)
		f.puback(1)
		h.expect(urc("+QMTPUBEX: 0,1,1,1"))
		if p := next[*packets.PublishPacket](f); !p.Dup {
			t.Errorf("got %v", p)
		}
		f.puback(1)
		h.expect(urc("+QMTPUBEX: 0,1,0"))
	},
	"blackhole": func(t *testing.T) {
		b := newBroker(t)
		h := start(t, Config{Map: b.mapped(), Faults: []string{"echo=off", "blackhole=1"}})
		h.ask(`AT+QMTCFG="timeout",0,1,1,0`, isOK)
		h.ask(`AT+QMTSUB=0,1,"t",1`, isError)
		h.connect()
		h.offer(1, 1, "t", "x")
		h.expect(isOK)
		b.next(t)
		h.offer(2, 1, "t", "x") // its acknowledgement never comes
		h.expect(isOK)
		got := h.until(urc("+QMTPUBEX: 0,2,2"))
		if got != urc("+QMTPUBEX: 0,1,2")+urc("+QMTPUBEX: 0,2,2") {
			t.Errorf("got %q", got)
		}
		select {
		case p := <-b.got:
			t.Errorf("the broker got %v", p)
		default:
		}
	},
	"fail-inflight": func(t *testing.T) {
		f := newFake(t)
		h := start(t, Config{Map: f.mapped(), Faults: []string{"echo=off", "fail-inflight"}})
		f.online(h)
		for id := 1; id <= 2; id++ {
			h.offer(id, 1, "t", "x")
			h.expect(isOK)
			next[*packets.PublishPacket](f)
		}
		f.conn.Close()
		h.expect(urc("+QMTPUBEX: 0,1,2") + urc("+QMTPUBEX: 0,2,2") + urc("+QMTSTAT: 0,1"))
	},
	"granted": func(t *testing.T) {
		h, _ := faulty(t, "granted=128")
		h.ask(`AT+QMTSUB=0,1,"t",1`, isOK+urc("+QMTSUB: 0,1,0,128"))
	},
	"no-mqtt": func(t *testing.T) {
		for model, ask := range map[string][2]string{
			"ec600": {"AT+QMTOPEN?", isOK}, "nt35e-q": {"AT+QMTOPEN?", isOK}, "nt35e": {"AT+LMQTTCONN?", isOK}, "air724ug": {"AT+MQTTSTATU", urc("+MQTTSTATU :0") + isOK},
		} {
			start(t, Config{Model: model, Faults: []string{"echo=off"}}).ask(ask[0], ask[1])
			start(t, Config{Model: model, Faults: []string{"echo=off", "no-mqtt"}}).ask(ask[0], isError)
		}
	},
	"swallow": func(t *testing.T) {
		h := bare(t, "swallow=1", "boot-delay=1ms")
		h.expect(banner)
		h.send("AT\r")
		h.silent(30 * time.Millisecond)
		h.ask("AT", isOK)
	},
	"link": func(t *testing.T) {
		h, b := faulty(t, "link=2000")
		begin := time.Now()
		h.offer(1, 1, "t", strings.Repeat("x", 1000))
		h.expect(isOK)
		b.next(t)
		if took := time.Since(begin); took < 450*time.Millisecond {
			t.Errorf("1000 bytes took %v", took)
		}
	},
}
