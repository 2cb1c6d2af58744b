package modemsim

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stack starts a module whose context is up, without any echo. It knows each peer as server:80, server:81, ...
func stack(t *testing.T, cfg Config, peers ...*peer) *host {
	t.Helper()
	if cfg.Map == nil {
		cfg.Map = map[string]string{}
	}
	for i, p := range peers {
		cfg.Map[fmt.Sprint("server:", 80+i)] = p.l.Addr().String()
	}
	cfg.Faults = append([]string{"echo=off"}, cfg.Faults...)
	h := start(t, cfg)
	h.ask("AT+QISDE=0;+QIACT=1", isOK)
	return h
}

// qiopen opens the socket id to a peer.
func (h *host) qiopen(id, mode int, p *peer) {
	h.t.Helper()
	h.ask(fmt.Sprintf(`AT+QIOPEN=1,%d,"TCP","server",%d,0,%d`, id, 80+id, mode), isOK+urc("+QIOPEN: %d,0", id))
	p.accept()
}

// qisend sends with a length.
func (h *host) qisend(id int, data, answer string) {
	h.t.Helper()
	h.ask(fmt.Sprintf("AT+QISEND=%d,%d", id, len(data)), "\r\n> ")
	h.send(data)
	h.expect(answer)
}

var isSent, isFail = urc("SEND OK"), urc("SEND FAIL")

// qird is what AT+QIRD answers with data.
func qird(data string) string { return urc("+QIRD: %d", len(data)) + data + isOK }

// settled asks until AT+QISEND=id,0 tells that all of n bytes have been acknowledged.
func (h *host) settled(id, n int) {
	h.t.Helper()
	want := urc("+QISEND: %d,%d,0", n, n) + isOK
	for end := time.Now().Add(patient); time.Now().Before(end); {
		h.send(fmt.Sprintf("AT+QISEND=%d,0\r", id))
		if h.until(isOK) == want {
			return
		}
	}
	h.t.Fatalf("%d bytes are not acknowledged", n)
}

// hostile is data that looks like everything else on the line.
const hostile = "\r\n+QIURC: \"closed\",0\r\n\r\nOK\r\n\r\n> \x1a\x1b+++\x00\xff\"AT\rSEND OK\r\n"

func TestQuectelBufferedSocket(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"ec600", "nt35e-q"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t)
			h := stack(t, Config{Model: model}, p)
			h.ask("AT+QISTATE?", isOK)
			h.qiopen(0, buffered, p)
			h.ask("AT+QISTATE=1,0", urc(`+QISTATE: 0,"TCP","198.51.100.1",80,65514,2,1,0,0,"uart1"`)+isOK)
			h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0,563"))
			h.ask("AT+QIGETERROR", urc("+QIGETERROR: 563,socket identity has been used")+isOK)
			h.ask("AT+QISEND=0,0", urc("+QISEND: 0,0,0")+isOK)
			for _, data := range []string{hostile, "\x1a", strings.Repeat("x", 1460)} {
				h.qisend(0, data, isSent)
				p.expect(data)
			}
			h.settled(0, len(hostile)+1+1460)
			h.ask("AT+QIRD=0,1500", urc("+QIRD: 0")+isOK)
			p.write(hostile)
			h.expect(urc(`+QIURC: "recv",0`))
			h.ask("AT+QIRD=0,0", urc("+QIRD: %d,0,%d", len(hostile), len(hostile))+isOK)
			h.ask("AT+QIRD=0,10", qird(hostile[:10]))
			h.ask("AT+QIRD=0", qird(hostile[10:]))
			h.ask("AT+QIRD=0,0", urc("+QIRD: %d,%d,0", len(hostile), len(hostile))+isOK)
			p.write("again")
			h.expect(urc(`+QIURC: "recv",0`))
			h.ask("AT+QICLOSE=0", isOK)
			p.gone()
			h.ask("AT+QIRD=0,0", isError)
			h.ask("AT+QISTATE", isOK)
			h.ask("AT+QICLOSE=0", isOK)
		})
	}
}

// While something is unread, more of it is not announced.
func TestQuectelAnnouncedOnce(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{}, p)
	h.qiopen(0, buffered, p)
	p.write("one")
	h.expect(urc(`+QIURC: "recv",0`))
	p.write("two")
	h.arrives(0, 6)
	h.ask("AT+QIRD=0,3", qird("one"))
	p.write("three")
	h.arrives(0, 11)
	h.ask("AT+QIRD=0,1500", qird("twothree"))
	p.write("four")
	h.expect(urc(`+QIURC: "recv",0`))
	h.ask(`AT+QICFG="recvind",1`, isOK)
	h.ask("AT+QIRD=0,1500", qird("four"))
	p.write("five")
	h.expect(urc(`+QIURC: "recv",0,4`))
}

// arrives asks until the module has received n bytes. A URC in between is a failure.
func (h *host) arrives(id, n int) {
	h.t.Helper()
	begins := fmt.Sprintf("\r\n+QIRD: %d,", n)
	for end := time.Now().Add(patient); time.Now().Before(end); {
		h.send(fmt.Sprintf("AT+QIRD=%d,0\r", id))
		got := h.until(isOK)
		if strings.Contains(got, "QIURC") {
			h.t.Fatalf("got %q", got)
		}
		if strings.HasPrefix(got, begins) {
			return
		}
	}
	h.t.Fatalf("%d bytes have not arrived", n)
}

// Data longer than one URC or one AT+QIRD can carry comes in pieces, and none of it is lost.
func TestQuectelPieces(t *testing.T) {
	t.Parallel()
	p, q := newPeer(t), newPeer(t)
	h := stack(t, Config{}, p, q)
	h.qiopen(0, pushed, p)
	h.qiopen(1, buffered, q)
	var data strings.Builder
	for i := range 2501 {
		data.WriteByte(byte(i % 251))
	}
	p.write(data.String()) // log L4: 1500 and 1001
	first, second := data.String()[:maxRead], data.String()[maxRead:]
	h.expect(urc(`+QIURC: "recv",0,1500`) + first + "\r\n" + urc(`+QIURC: "recv",0,1001`) + second + "\r\n")
	q.write(data.String())
	h.expect(urc(`+QIURC: "recv",1`))
	h.arrives(1, 2501)
	h.ask("AT+QIRD=1,1500", qird(first))
	h.ask("AT+QIRD=1,1500", qird(second))
	h.ask("AT+QIRD=1,1500", urc("+QIRD: 0")+isOK)
	h.ask("AT+QIRD=1,1501", isError)
}

func TestQuectelPushedSocket(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{}, p)
	h.qiopen(0, pushed, p)
	h.ask("AT+QISTATE=0,1", urc(`+QISTATE: 0,"TCP","198.51.100.1",80,65514,2,1,0,1,"uart1"`)+isOK)
	p.write(hostile)
	h.expect(urc(`+QIURC: "recv",0,%d`, len(hostile)) + hostile + "\r\n")
	h.ask("AT+QIRD=0,1500", urc("+QIRD: 0")+isOK)
	h.ask("AT+QISEND=0,2", "\r\n> ")
	p.write("late")
	h.send("a") // nothing comes between prompt and payload
	h.silent(50 * time.Millisecond)
	h.send("b")
	h.expect(isSent + urc(`+QIURC: "recv",0,4`) + "late\r\n")
	h.ask("AT+QISWTMD=0,0", isOK)
	p.write("kept")
	h.expect(urc(`+QIURC: "recv",0`))
	h.ask("AT+QISWTMD=0,1", isOK+urc(`+QIURC: "recv",0,4`)+"kept\r\n")
	h.ask(`AT+QICFG="viewmode",1`, isOK)
	p.write("x")
	h.expect("\r\n+QIURC: \"recv\",0,1,x\r\n")
	h.ask("AT+QISWTMD=0,2", isError) // transparent mode
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 555,operation not supported")+isOK)
}

// The forms of AT+QISEND that have no length, and the echo of what is typed.
func TestQuectelCtrlZ(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{}, p)
	h.qiopen(0, buffered, p)
	h.ask("AT+QISEND=0", "\r\n> ")
	h.send("test1\r\n\x1a")
	h.expect(isSent)
	p.expect("test1\r\n")
	h.ask("AT+QISEND=0", "\r\n> ")
	h.send("never\x1b")
	h.expect(isError)
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 571,cancel send")+isOK)
	h.ask("AT+QISEND=0", "\r\n> ")
	h.send(strings.Repeat("y", 1461) + "\x1a")
	h.expect(isError)
	h.ask(`AT+QISENDEX=0,"3132333435"`, isSent)
	p.expect("12345")
	for _, bad := range []string{"123", "xx", "", strings.Repeat("00", 257)} {
		h.ask(`AT+QISENDEX=0,"`+bad+`"`, isError)
	}
	h.ask("AT+QISDE=1", isOK)
	h.qisend(0, "seen", "seen"+isSent)
	p.expect("seen")
	h.ask(`AT+QISDE=0;+QICFG="dataformat",1,1`, isOK)
	h.qisend(0, "00fF", isSent)
	p.expect("\x00\xff")
	h.qisend(0, "0", isError)
	p.write("\x00\xff")
	h.expect(urc(`+QIURC: "recv",0`))
	h.ask("AT+QIRD=0,1500", qird("00FF"))
}

func TestQuectelManySockets(t *testing.T) {
	t.Parallel()
	var peers []*peer
	for range 12 {
		peers = append(peers, newPeer(t))
	}
	h := stack(t, Config{}, peers...)
	for id, p := range peers {
		h.qiopen(id, id%2, p)
	}
	for id := range peers {
		h.qisend(id, fmt.Sprint("to ", id), isSent)
	}
	for id, p := range peers {
		p.expect(fmt.Sprint("to ", id))
		p.write(fmt.Sprintf("of %2d", id))
		if id%2 == pushed {
			h.expect(urc(`+QIURC: "recv",%d,5`, id) + fmt.Sprintf("of %2d\r\n", id))
		} else {
			h.expect(urc(`+QIURC: "recv",%d`, id))
		}
	}
	h.ask("AT+QIRD=10", qird("of 10"))
	h.ask("AT+QIRD=0", qird("of  0"))
	h.ask(`AT+QIOPEN=1,12,"TCP","server",80`, isError)
	h.ask("AT+QICLOSE=3", isOK)
	peers[3].gone()
	h.qisend(4, "still", isSent)
	peers[4].expect("still")
	h.ask("AT+QIDEACT=1", isOK)
	for id, p := range peers {
		if id != 3 {
			p.gone()
		}
	}
	h.ask("AT+QISTATE", isOK)
}

// The other side closes: what it said before can still be read, and nothing can be sent.
func TestQuectelClosedByPeer(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{}, p)
	h.qiopen(0, buffered, p)
	p.write("last words")
	h.expect(urc(`+QIURC: "recv",0`))
	p.Conn.(*net.TCPConn).CloseWrite()
	h.expect(urc(`+QIURC: "closed",0`))
	h.ask("AT+QISTATE=1,0", urc(`+QISTATE: 0,"TCP","198.51.100.1",80,65514,4,1,0,0,"uart1"`)+isOK)
	h.ask("AT+QISEND=0,4", isError)
	h.ask("AT+QISENDEX=0,\"00\"", isError)
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 567,socket has been closed")+isOK)
	h.ask("AT+QIRD=0,4", qird("last"))
	h.ask("AT+QIRD=0", qird(" words"))
	h.ask("AT+QIRD=0", urc("+QIRD: 0")+isOK)
	h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0,563"))
	p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := p.Read(make([]byte, 1)); err == io.EOF {
		t.Error("the module closed its side before AT+QICLOSE")
	}
	h.ask("AT+QICLOSE=0", isOK)
	p.gone()

	h.qiopen(0, buffered, p)
	h.ask("AT+QISEND=0,4", "\r\n> ")
	p.Close()
	h.silent(50 * time.Millisecond)
	h.send("lost")
	h.expect(isError + urc(`+QIURC: "closed",0`))
	h.ask("AT+QICLOSE=0", isOK)

	h.ask(`AT+QICFG="passiveclosed",1`, isOK)
	h.qiopen(0, buffered, p)
	p.Close()
	h.expect(urc(`+QIURC: "closed",0`))
	h.qiopen(0, buffered, p)
}

// The network takes the context: all of its sockets are gone, and only that is said.
func TestQuectelContext(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, Config{Faults: []string{"echo=off"}, Map: map[string]string{"server:80": p.l.Addr().String()}})
	h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0,561"))
	h.ask(`AT+QISTATE`, urc(`+QISTATE: 0,"TCP","server",80,65514,0,1,0,0,"uart1"`)+isOK)
	h.ask("AT+QIACT=1", isOK)
	h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0,563")) // until it is closed
	h.ask("AT+QICLOSE=0", isOK)
	h.qiopen(0, pushed, p)
	h.ask("AT+CGATT=0", isOK+urc(`+QIURC: "pdpdeact",1`))
	p.gone()
	h.ask("AT+QISEND=0,1", isError)
	h.ask("AT+QISTATE", isOK)
	h.ask("AT+CGATT=1", isOK)
	h.ask("AT+QIDEACT=1;+QIACT=1", isOK)
	h.qiopen(0, pushed, p)
	h.ask("AT+QICLOSE=0,0", isOK)
	p.l.Close()
	h.ask(`AT+QIOPEN=1,0,"TCP","server",80`, isOK+urc("+QIOPEN: 0,566"))
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 566,socket connect failed")+isOK)
	h.ask(`AT+QIOPEN=1,1,"TCP","`+noHost+`",80`, isOK+urc("+QIOPEN: 1,565"))
}

func TestQuectelSocketArguments(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{}, p)
	h.ask(`AT+QIOPEN=1,"TCP","220.180.239.212",8009,0,1`, isError) // TCP/IP AN V1.2, 3.9
	h.ask("AT+QIGETERROR", urc("+QIGETERROR: 552,invalid parameters")+isOK)
	h.qiopen(0, buffered, p)
	for _, bad := range []string{
		`QIOPEN=1,1,"SCTP","server",80`, `QIOPEN=1,1,"TCP","server",80,0,2`, `QIOPEN=1,1,"TCP","server",80,0,3`, `QIOPEN=1,1,"UDP SERVICE","127.0.0.1",0,1`,
		`QIOPEN=0,1,"TCP","server",80`, `QIOPEN=1,1,"TCP","server",65536`, `QIOPEN=1,1,"TCP","server"`, `QIOPEN=1,1,"TCP","",80`,
		"QISEND=0,1461", "QISEND=12,1", "QISEND=1,1", "QISEND=1,0", "QISEND=1", "QISEND=0,-1", `QISEND=0,1,"127.0.0.1",80`,
		"QIRD=1", "QIRD=0,1501", "QICLOSE=12", "QICLOSE=0,65536", "QISTATE=2,0", "QISTATE=1", "QISWTMD=1,0",
		`QICFG="nosuch"`, `QICFG="viewmode",2`, `QICFG="dataformat",1`, `QIDNSGIP=1`, `QPING=1`,
	} {
		h.ask("AT+"+bad, isError)
	}
	h.ask(`AT+QICFG="dataformat"`, urc(`+QICFG: "dataformat",0,0`)+isOK)
	h.ask(`AT+QICFG="tcp/keepalive",1,60,30,3;+QICFG="tcp/keepalive"`, urc(`+QICFG: "tcp/keepalive",1,60,30,3`)+isOK)
	h.ask(`AT+QICFG="tcp/keepalive",0`, isOK)
}

func TestQuectelUDP(t *testing.T) {
	t.Parallel()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	h := stack(t, Config{Map: map[string]string{"server:80": u.LocalAddr().String()}})
	h.ask(`AT+QIOPEN=1,0,"UDP","server",80,0,0`, isOK+urc("+QIOPEN: 0,0"))
	h.qisend(0, "hi", isSent)
	buf := make([]byte, 100)
	u.SetReadDeadline(time.Now().Add(patient))
	n, from, err := u.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hi" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
	for _, text := range []string{"ho", "hum"} {
		if _, err := u.WriteTo([]byte(text), from); err != nil {
			t.Fatal(err)
		}
	}
	h.expect(urc(`+QIURC: "recv",0`))
	h.arrives(0, 5)
	h.ask("AT+QIRD=0", qird("ho"))
	h.ask("AT+QIRD=0", qird("hum"))
}

// What is pushed while a payload is awaited is held back by TCP, and not by memory alone; all of it comes in the end.
func TestQuectelPushedFlood(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{}, p)
	h.qiopen(0, pushed, p)
	h.ask("AT+QISEND=0,1", "\r\n> ")
	const n = 16 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.Conn, strings.Repeat("y", n))
		sent <- err
	}()
	select {
	case err := <-sent:
		t.Fatalf("16 MB went into a module that may not print (%v)", err)
	case <-time.After(300 * time.Millisecond):
	}
	h.send("x")
	h.expect(isSent)
	for got := 0; got < n; {
		h.expect("\r\n+QIURC: \"recv\",0,")
		size, err := strconv.Atoi(strings.TrimSuffix(h.until("\r\n"), "\r\n"))
		if err != nil || size < 1 || size > maxRead {
			t.Fatalf("%d bytes (%v)", size, err)
		}
		h.expect(strings.Repeat("y", size) + "\r\n")
		got += size
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	p.expect("x")
}

// A host that does not read holds the other side.
func TestQuectelWindow(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := stack(t, Config{}, p)
	h.qiopen(0, buffered, p)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.Conn, strings.Repeat("y", 32<<20))
		sent <- err
	}()
	h.expect(urc(`+QIURC: "recv",0`))
	select {
	case err := <-sent:
		t.Fatalf("32 MB went into a module that nobody reads (%v)", err)
	case <-time.After(300 * time.Millisecond):
	}
	h.send("AT+QIRD=0,0\r")
	h.expect("\r\n+QIRD: ")
	got := h.until(isOK)
	if kept, err := strconv.Atoi(got[:strings.Index(got, ",")]); err != nil || kept > inboundWindow*maxRead {
		t.Errorf("%d bytes are kept (%v)", kept, err)
	}
	p.Close()
	if err := <-sent; err == nil {
		t.Error("all of it went")
	}
}
