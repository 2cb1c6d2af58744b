package modemsim

import (
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"
)

func init() { maps.Copy(faultTests, socketKnobTests) }

// knobbed opens socket 0 to a peer.
func knobbed(t *testing.T, mode int, faults ...string) (*host, *peer) {
	t.Helper()
	p := newPeer(t)
	h := stack(t, Config{Faults: faults}, p)
	h.qiopen(0, mode, p)
	return h, p
}

// socketKnobTests has the knobs that only sockets have.
var socketKnobTests = map[string]func(t *testing.T){
	"qiopen": func(t *testing.T) {
		p := newPeer(t)
		h := stack(t, Config{Faults: []string{"qiopen=569x2"}}, p)
		for range 2 {
			h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0,569"))
			h.ask("AT+QICLOSE=0", isOK)
		}
		h.qiopen(0, buffered, p)
		h = stack(t, Config{Faults: []string{"qiopen=-1x1"}}, p)
		h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK)
		h.silent(50 * time.Millisecond)
		h.ask("AT+QISTATE", urc(`+QISTATE: 0,"TCP","server",80,65514,1,1,0,0,"uart1"`)+isOK)
		h.ask("AT+QICLOSE=0", isOK)
		h.qiopen(0, buffered, p)
	},
	"send-fail": func(t *testing.T) {
		h, p := knobbed(t, buffered, "send-fail=2")
		h.qisend(0, "1", isSent)
		h.qisend(0, "2", isFail)
		h.ask("AT+QIGETERROR", urc("+QIGETERROR: 558,socket write failed")+isOK)
		h.ask(`AT+QISENDEX=0,"33"`, isSent)
		h.ask(`AT+QISENDEX=0,"34"`, isFail)
		p.expect("13")
		h.settled(0, 2)
		if n := h.sim.Stats().Sends; n != 2 {
			t.Errorf("%d sends", n)
		}
	},
	"send-buffer": func(t *testing.T) {
		h, _ := knobbed(t, buffered, "send-buffer=10", "link=100") // 8 bytes are acknowledged after 80 ms
		h.qisend(0, "12345678", isSent)
		h.qisend(0, "90123456", isFail)
		h.settled(0, 8)
		h.qisend(0, "90123456", isSent)
		h.qisend(0, "12345678901", isFail)
	},
	"drop-recv": func(t *testing.T) {
		h, p := knobbed(t, buffered, "drop-recv=2")
		for range 2 {
			p.write("a")
			h.expect(urc(`+QIURC: "recv",0`))
			h.ask("AT+QIRD=0", qird("a"))
			p.write("b")
			h.silent(50 * time.Millisecond)
			h.ask("AT+QIRD=0", qird("b"))
		}
	},
	"recv-zero": func(t *testing.T) {
		h, p := knobbed(t, buffered, "recv-zero")
		p.write("a")
		h.expect(urc(`+QIURC: "recv",0`))
		h.ask("AT+QIRD=0", qird("a"))
		p.write("b")
		h.arrives(0, 2)
		h.ask("AT+QIRD=0", qird("b"))
		h.ask("AT+QIRD=0", urc("+QIRD: 0")+isOK)
		p.write("c")
		h.expect(urc(`+QIURC: "recv",0`))
	},
	"push-bare": func(t *testing.T) {
		h, p := knobbed(t, pushed, "push-bare")
		p.write("abc")
		h.expect(urc(`+QIURC: "recv",0,3`) + "abc")
		h.ask("AT", isOK)
	},
	"qird-tail": func(t *testing.T) {
		h, p := knobbed(t, buffered, "qird-tail")
		p.write("abc")
		h.expect(urc(`+QIURC: "recv",0`))
		h.ask("AT+QIRD=0", urc("+QIRD: 3")+"abc\r\n"+isOK)
	},
}

// The knobs of MQTT and of the line do their work on sockets too.
func TestSocketFaults(t *testing.T) {
	t.Parallel()
	for name, test := range sharedKnobTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

var sharedKnobTests = map[string]func(t *testing.T){
	"prompt": func(t *testing.T) {
		h, p := knobbed(t, buffered, "prompt=crlf")
		h.ask("AT+QISEND=0,1", "\r\n>\r\n")
		h.send("x")
		h.expect(isSent)
		p.expect("x")
	},
	"drop-prompt": func(t *testing.T) {
		h, p := knobbed(t, buffered, "drop-prompt=1")
		h.ask("AT+QISEND=0,3", "")
		h.silent(50 * time.Millisecond)
		h.send("AT\r")
		h.expect(isSent)
		p.expect("AT\r")
	},
	"dup-prompt": func(t *testing.T) {
		h, p := knobbed(t, buffered, "dup-prompt")
		h.ask("AT+QISEND=0", "\r\n> \r\n> ")
		h.send("x\x1a")
		h.expect(isSent)
		p.expect("x")
	},
	"reboot-prompt": func(t *testing.T) {
		h, p := knobbed(t, buffered, "reboot-prompt=1")
		h.ask("AT+QISEND=0,1", "\r\n> "+banner)
		p.gone()
		h.ask("AT+QISTATE", isOK)
	},
	"reboot": func(t *testing.T) {
		h, p := knobbed(t, buffered, "reboot=2")
		h.qisend(0, "1", isSent)
		h.qisend(0, "2", isSent+banner)
		p.expect("12")
		p.gone()
		h.ask("AT+QISDE?", urc("+QISDE: 1")+isOK)
	},
	"wedge": func(t *testing.T) {
		h, p := knobbed(t, pushed, "wedge=1")
		h.qisend(0, "1", isSent)
		p.expect("1")
		p.write("data for nobody")
		h.send("AT\r")
		h.silent(50 * time.Millisecond)
		h.sim.Reset()
		h.expect(banner)
		p.gone()
	},
	"pdpdeact": func(t *testing.T) {
		h, p := knobbed(t, buffered, "pdpdeact=2")
		h.qisend(0, "1", isSent)
		h.ask(`AT+QISENDEX=0,"32"`, isSent+urc(`+QIURC: "pdpdeact",1`))
		p.expect("12")
		p.gone()
		h.ask("AT+QIACT?", isOK)
		h.ask("AT+QIRD=0", isError)
	},
	"stat": func(t *testing.T) {
		h, _ := knobbed(t, buffered, "stat=1@1")
		h.qisend(0, "1", isSent+urc(`+QIURC: "closed",0`))
		h.ask("AT+QISEND=0,1", isError)
	},
	"blackhole": func(t *testing.T) {
		h, p := knobbed(t, pushed, "blackhole=1", "send-buffer=6")
		h.qisend(0, "1", isSent)
		p.expect("1")
		h.qisend(0, "2345", isSent)
		p.write("lost")
		p.Conn.(*net.TCPConn).CloseWrite()
		h.silent(50 * time.Millisecond)
		h.ask("AT+QISEND=0,0", urc("+QISEND: 5,0,5")+isOK)
		h.qisend(0, "67", isFail)
		begin := time.Now()
		h.ask("AT+QICLOSE=0,1", isOK) // nobody acknowledges
		if took := time.Since(begin); took < 900*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
		if b, err := io.ReadAll(p.Conn); len(b) > 0 || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		h.ask("AT+QISTATE", isOK)
		h.qiopen(0, pushed, p)
		h.qisend(0, "3", isSent)
		p.expect("3")
	},
	"link": func(t *testing.T) {
		h, p := knobbed(t, pushed, "link=2000")
		begin := time.Now()
		h.qisend(0, strings.Repeat("x", 1000), isSent)
		h.ask("AT+QICLOSE=0", isOK) // waits until all has arrived
		if took := time.Since(begin); took < 450*time.Millisecond {
			t.Errorf("1000 bytes took %v", took)
		}
		p.expect(strings.Repeat("x", 1000))
		p.gone()
	},
	"pdp-drift": func(t *testing.T) {
		h := stack(t, Config{Faults: []string{"pdp-drift"}}, newPeer(t))
		h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0,566"))
		h.ask(`AT+QIDNSGIP=1,"server"`, isOK+urc(`+QIURC: "dnsgip",565`))
	},
	"early-urc": func(t *testing.T) {
		p := newPeer(t)
		h := stack(t, Config{Faults: []string{"early-urc"}}, p)
		h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, urc("+QIOPEN: 0,0")+isOK)
		h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, urc("+QIOPEN: 0,563")+isOK)
		h.ask(`AT+QIDNSGIP=1,"server"`, urc(`+QIURC: "dnsgip",0,1,0`)+urc(`+QIURC: "dnsgip","198.51.100.1"`)+isOK)
		h.qisend(0, "x", isSent)
	},
	"urc-inside": func(t *testing.T) {
		p := newPeer(t)
		h := start(t, Config{Map: map[string]string{"server:80": p.l.Addr().String()}, Faults: []string{"echo=off", "urc-inside"}})
		ind := urc(`+QIND: "csq",28,99`)
		h.ask("AT+QISDE=0;+QIACT=1", ind+isOK)
		h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, ind+isOK+urc("+QIOPEN: 0,0"))
		p.accept()
		h.ask("AT+QISEND=0,1", ind+"\r\n> ")
		h.send("x")
		h.expect(isSent)
		p.write("abc")
		h.expect(urc(`+QIURC: "recv",0`))
		h.ask("AT+QIRD=0", ind+urc("+QIRD: 3")+"abc"+ind+isOK)
	},
	"view": func(t *testing.T) {
		h, p := knobbed(t, buffered, "view")
		h.qisend(0, "seen", "seen"+isSent)
		p.expect("seen")
	},
	"urcport": func(t *testing.T) {
		p := newPeer(t)
		h := stack(t, Config{Faults: []string{"urcport=usbat"}}, p)
		h.ask(`AT+QIOPEN=1,0,"TCP","server",80,0,1`, isOK)
		p.accept()
		p.write("elsewhere")
		h.silent(50 * time.Millisecond)
		h.ask(`AT+QURCCFG="urcport","uart1"`, isOK)
		p.write("here")
		h.expect(urc(`+QIURC: "recv",0,4`) + "here\r\n")
	},
	"spaces": func(t *testing.T) {
		h := stack(t, Config{Faults: []string{"spaces"}}, newPeer(t))
		h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0, 0"))
	},
	"compact-ok": func(t *testing.T) {
		h, p := knobbed(t, buffered, "compact-ok")
		p.write("abc")
		h.expect(urc(`+QIURC: "recv",0`))
		h.ask("AT+QIRD=0", qird("abc"))
		h.ask("AT+QIRD=0", "\r\n+QIRD: 0\r\nOK\r\n")
	},
}
