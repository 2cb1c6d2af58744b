package modemsim

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems/modemtest"
)

// caller connects to the module and returns the port that it is called from.
func caller(t *testing.T, address string) (*peer, string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	return &peer{t: t, Conn: conn}, port
}

func TestQuectelListener(t *testing.T) {
	t.Parallel()
	where := modemtest.FreeAddr(t)
	h := stack(t, Config{Map: map[string]string{"10.7.157.1:2020": where}})
	h.ask(`AT+QIOPEN=1,1,"TCP LISTENER","127.0.0.1",0,2020,0`, isOK+urc("+QIOPEN: 1,0"))
	h.ask("AT+QISTATE=0,1", urc(`+QISTATE: 1,"TCP LISTENER","10.7.157.1",0,2020,3,1,1,0,"uart1"`)+isOK) // TCP/IP AN V1.2, 3.5
	h.ask(`AT+QIOPEN=1,2,"TCP LISTENER","127.0.0.1",0,2020,0`, isOK+urc("+QIOPEN: 2,557"))
	h.ask("AT+QICLOSE=2", isOK)
	h.ask("AT+QISEND=1,1", isError)
	h.ask("AT+QIRD=1", isError)
	p, port := caller(t, where)
	h.expect(urc(`+QIURC: "incoming",11,1,"127.0.0.1",%s`, port))
	p.write("test")
	h.expect(urc(`+QIURC: "recv",11`))
	h.ask("AT+QIRD=11,1500", qird("test"))
	h.qisend(11, "reply", isSent)
	p.expect("reply")
	h.ask("AT+QISTATE=1,11", urc(`+QISTATE: 11,"TCP INCOMING","127.0.0.1",%s,2020,2,1,1,0,"uart1"`, port)+isOK)
	for id := 10; id >= 0; id-- {
		if id != 1 {
			_, port := caller(t, where)
			h.expect(urc(`+QIURC: "incoming",%d,1,"127.0.0.1",%s`, id, port))
		}
	}
	q, _ := caller(t, where)
	h.expect(urc(`+QIURC: "incoming full"`))
	q.gone()
	h.ask("AT+QICLOSE=1", isOK)
	if _, err := net.Dial("tcp", where); err == nil {
		t.Error("it still listens")
	}
	h.qisend(11, "more", isSent) // what came by it stays
	p.expect("more")
}

// Names that the map knows have addresses, which can be opened as well as the names.
func TestQuectelNames(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{Map: map[string]string{"a.b:1": "127.0.0.1:1"}, RTT: 20 * time.Millisecond}, p)
	h.ask(`AT+QIDNSGIP=1,"server"`, isOK+urc(`+QIURC: "dnsgip",0,1,0`)+urc(`+QIURC: "dnsgip","198.51.100.2"`))
	h.ask(`AT+QIDNSGIP=1,"172.188.83.251"`, isOK+urc(`+QIURC: "dnsgip",0,1,0`)+urc(`+QIURC: "dnsgip","172.188.83.251"`)) // log L4
	h.ask(`AT+QIDNSGIP=1,"`+noHost+`"`, isOK+urc(`+QIURC: "dnsgip",565`))
	h.ask(`AT+QIDNSGIP=2,"server"`, isOK+urc(`+QIURC: "dnsgip",561`))
	h.ask(`AT+QIOPEN=1,0,"TCP","198.51.100.2",80`, isOK+urc("+QIOPEN: 0,0"))
	p.accept()
	h.ask("AT+QISTATE", urc(`+QISTATE: 0,"TCP","198.51.100.2",80,65514,2,1,0,0,"uart1"`)+isOK)
	line := urc(`+QPING: 0,"198.51.100.1",32,20,255`)
	h.ask(`AT+QPING=1,"a.b"`, isOK+strings.Repeat(line, 4)+urc("+QPING: 0,4,4,0,20,20,20"))
	h.ask(`AT+QPING=1,"a.b",1,1`, isOK+line+urc("+QPING: 0,1,1,0,20,20,20"))
	h.ask(`AT+QPING=2,"a.b"`, isOK+urc("+QPING: 561"))
}

// What a socket sends is acknowledged a round trip later, and AT+QICLOSE waits for that. Until then the other
// commands wait as well.
func TestQuectelFarAway(t *testing.T) {
	t.Parallel()
	const rtt = 2 * time.Second
	p := newPeer(t)
	h := stack(t, Config{RTT: rtt}, p)
	h.qiopen(0, buffered, p)
	begin := time.Now()
	h.qisend(0, "12345", isSent)
	h.ask("AT+QISEND=0,0", urc("+QISEND: 5,0,5")+isOK)
	p.expect("12345")
	h.settled(0, 5)
	if took := time.Since(begin); took < rtt {
		t.Errorf("acknowledged after %v", took)
	}
	begin = time.Now()
	h.send("AT+QICLOSE=0\rAT+QISTATE\r")
	h.expect(isOK)
	if took := time.Since(begin); took < rtt {
		t.Errorf("closed after %v", took)
	}
	h.expect(isOK)
	p.gone()

	h.qiopen(0, buffered, p)
	begin = time.Now()
	h.ask("AT+QICLOSE=0,0", isOK)
	if took := time.Since(begin); took > rtt {
		t.Errorf("AT+QICLOSE with the timeout 0 took %v", took)
	}
	h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK)
	p.accept()
	h.ask("AT+QICLOSE=0", isOK) // before the module knows that it is open
	p.gone()
	h.ask("AT+QISTATE", isOK)
}

// A full send buffer is no failure for good: nothing of the refused data is sent, and the next one may fit.
func TestQuectelSendBuffer(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{RTT: 4 * time.Second}, p)
	h.qiopen(0, buffered, p)
	part := strings.Repeat("x", 1460)
	for range sendBuffer / 1460 {
		h.qisend(0, part, isSent)
	}
	h.qisend(0, strings.Repeat("y", 1460), isFail)
	h.ask("AT+QISEND=0,0", urc("+QISEND: 10220,0,10220")+isOK)
	h.settled(0, 10220)
	h.qisend(0, "z", isSent)
	p.expect(strings.Repeat(part, sendBuffer/1460) + "z")
}

// Both MQTT and sockets count for the knobs that wait for the nth.
func TestQuectelCountsTogether(t *testing.T) {
	t.Parallel()
	b, p := newBroker(t), newPeer(t)
	h := stack(t, Config{Map: b.mapped(), Faults: []string{"pdpdeact=3"}}, p)
	h.connect()
	h.qiopen(0, buffered, p)
	h.publish(1, 1, "t", "x")
	h.qisend(0, "1", isSent)
	h.offer(2, 1, "t", "x")
	h.expect(isOK + urc(`+QIURC: "pdpdeact",1`) + urc("+QMTSTAT: 0,1"))
	p.expect("1")
	p.gone()
	if n := h.sim.Stats(); n.Sends != 1 || n.Publishes != 2 {
		t.Errorf("%d sends and %d publishes", n.Sends, n.Publishes)
	}
}
