package modemsim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// qsocks starts an EC600 with a context, and a peer that it finds under the name "server".
func qsocks(t *testing.T, specs ...string) (*host, *peer) {
	t.Helper()
	p := newPeer(t)
	h := start(t, Config{Map: map[string]string{"server:80": p.l.Addr().String()}, Faults: append([]string{"echo=off"}, specs...)})
	h.ask("AT+QISDE=0", isOK)
	h.ask("AT+QIACT=1", isOK)
	return h, p
}

// qopen opens connection id in a mode.
func (h *host) qopen(p *peer, id, mode int) {
	h.t.Helper()
	h.ask(fmt.Sprintf(`AT+QIOPEN=1,%d,"TCP","server",80,0,%d`, id, mode), isOK)
	p.accept()
	h.expect(urc("+QIOPEN: %d,0", id))
}

func (h *host) qsend(id int, data string) {
	h.t.Helper()
	h.ask(fmt.Sprintf("AT+QISEND=%d,%d", id, len(data)), "\r\n> ")
	h.send(data)
	h.expect(urc("SEND OK"))
}

func init() {
	faultTests["send-fail"] = func(t *testing.T) {
		h, p := qsocks(t, "send-fail=2")
		h.qopen(p, 0, 1)
		h.qsend(0, "1")
		h.ask("AT+QISEND=0,1", "\r\n> ")
		h.send("2")
		h.expect(urc("SEND FAIL"))
		h.qsend(0, "3")
		p.expect("13")
	}
}

// In push mode data comes by itself, counted, whatever it holds.
func TestQuectelPush(t *testing.T) {
	t.Parallel()
	h, p := qsocks(t)
	h.qopen(p, 0, 1)
	for _, data := range []string{"hello", "\r\nOK\r\n", "> ", "\x00\x1a\x1b\xff", "+QIURC: \"recv\",0,9\r\n", strings.Repeat("x", 1460)} {
		h.qsend(0, data)
		p.expect(data)
		p.write(data)
		h.expect(urc("+QIURC: \"recv\",0,%d\r\n%s", len(data), data))
	}
	h.ask("AT+QISEND=0,1461", isError)
	h.ask("AT+QIRD=0", isError)
	h.ask("AT+QISEND=0", "\r\n> ")
	h.send("until Ctrl-Z\x1a")
	h.expect(urc("SEND OK"))
	p.expect("until Ctrl-Z")
	h.ask("AT+QICLOSE=0", isOK)
	p.gone()
	h.ask("AT+QICLOSE=0", isOK)
	h.ask("AT+QISEND=0,1", isError)
}

// In buffer mode it waits to be read, and is announced once until there is nothing more.
func TestQuectelBuffer(t *testing.T) {
	t.Parallel()
	h, p := qsocks(t)
	h.qopen(p, 3, 0)
	h.ask("AT+QIRD=3", "\r\n+QIRD: 0\r\n"+isOK)
	p.write("\r\nOK\r\n")
	h.expect(urc(`+QIURC: "recv",3`))
	h.ask("AT+QIRD=3,0", "\r\n+QIRD: 6,0,6\r\n"+isOK)
	h.ask("AT+QIRD=3,4", "\r\n+QIRD: 4\r\n\r\nOK\r\n"+isOK)
	p.write("more")
	h.silent(50 * time.Millisecond)
	h.ask("AT+QIRD=3", "\r\n+QIRD: 6\r\n\r\nmore\r\n"+isOK)
	h.ask("AT+QIRD=3", "\r\n+QIRD: 0\r\n"+isOK)
	p.write("again")
	h.expect(urc(`+QIURC: "recv",3`))
	p.Close()
	h.expect(urc(`+QIURC: "closed",3`))
	h.ask("AT+QIRD=3,1500", "\r\n+QIRD: 5\r\nagain\r\n"+isOK)
	h.ask("AT+QISTATE=1,3", "\r\n+QISTATE: 3,\"TCP\",\"server\",80,0,4,1,0,0,\"uart1\"\r\n"+isOK)
}

// Twelve connections at once do not mix.
func TestQuectelSeveral(t *testing.T) {
	t.Parallel()
	h, p := qsocks(t)
	var ends [12]*peer
	for id := range ends {
		h.qopen(p, id, 1)
		ends[id] = &peer{t: t, Conn: p.Conn}
	}
	h.ask(`AT+QIOPEN=1,12,"TCP","server",80`, isError)
	h.ask(`AT+QIOPEN=1,5,"TCP","server",80`, isOK+urc("+QIOPEN: 5,563"))
	for id := range ends {
		h.qsend(id, fmt.Sprint("to ", id))
		ends[id].expect(fmt.Sprint("to ", id))
	}
	for id := range ends {
		ends[id].write("x")
		h.expect(urc("+QIURC: \"recv\",%d,1\r\nx", id))
	}
}

// Each reason why a connection cannot be opened has its code, and keeps the number taken.
func TestQuectelCannotOpen(t *testing.T) {
	t.Parallel()
	h := bare(t)
	h.ask(`AT+QIOPEN=1,0,"TCP","127.0.0.1",1`, isOK+urc("+QIOPEN: 0,561"))
	h.ask("AT+QIACT=1", isOK)
	h.ask(`AT+QIOPEN=1,0,"TCP","127.0.0.1",1`, isOK+urc("+QIOPEN: 0,563"))
	h.ask("AT+QICLOSE=0", isOK)
	h.ask(`AT+QIOPEN=1,0,"TCP","127.0.0.1",1,0,1`, isOK+urc("+QIOPEN: 0,566"))
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 566,socket connect failed")+isOK)
	h.ask(`AT+QIOPEN=1,1,"TCP","nobody.invalid",1`, isOK+urc("+QIOPEN: 1,565"))
	for _, bad := range []string{`1,0,"UDP","a",1`, `1,0,"TCP","a",1,0,2`, `1,0,"TCP","a"`, `0,0,"TCP","a",1`, `1,0,"TCP","a",0`} {
		h.ask("AT+QIOPEN="+bad, isError)
	}
}

// What the faults do to connections.
func TestQuectelSocketFaults(t *testing.T) {
	t.Parallel()
	for spec, test := range map[string]func(h *host, p *peer){
		"pdpdeact=1": func(h *host, p *peer) {
			h.qsend(0, "x")
			h.expect(urc(`+QIURC: "pdpdeact",1`))
			h.ask("AT+QISEND=0,1", isError)
		},
		"stat=1@1": func(h *host, p *peer) {
			h.qsend(0, "x")
			h.expect(urc(`+QIURC: "closed",0`))
		},
		"reboot=1": func(h *host, p *peer) {
			h.qsend(0, "x")
			h.expect(banner)
			h.ask("AT+QISTATE?", isOK)
		},
		"wedge=1": func(h *host, p *peer) {
			h.qsend(0, "x")
			p.expect("x")
			h.send("AT\r")
			h.silent(50 * time.Millisecond)
		},
		"blackhole=1": func(h *host, p *peer) {
			h.qsend(0, "x")
			p.expect("x")
			h.qsend(0, "lost")
			p.write("lost")
			h.silent(50 * time.Millisecond)
			h.ask("AT+QISEND=0,0", "\r\n+QISEND: 5,1,4\r\n"+isOK)
		},
		"view": func(h *host, p *peer) {
			h.ask("AT+QISEND=0,4", "\r\n> ")
			h.send("seen")
			h.expect("seen" + urc("SEND OK"))
		},
		"reboot-prompt=1": func(h *host, p *peer) {
			h.ask("AT+QISEND=0,4", "\r\n> "+banner)
		},
		"link=1000": func(h *host, p *peer) { // the module's buffer is full long before the network has taken it
			full := false
			for range 20 {
				h.ask("AT+QISEND=0,1460", "\r\n> ")
				h.send(strings.Repeat("x", 1460))
				if full = strings.Contains(h.until("\r\n")+h.until("\r\n"), "FAIL"); full {
					break
				}
			}
			if !full {
				h.t.Error("the buffer has no end")
			}
		},
	} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			h, p := qsocks(t, spec)
			h.qopen(p, 0, 1)
			test(h, p)
		})
	}
}
