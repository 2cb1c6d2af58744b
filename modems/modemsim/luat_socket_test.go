package modemsim

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// peer is the other end of a socket.
type peer struct {
	t *testing.T
	l net.Listener
	net.Conn
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &peer{t: t, l: l}
}

func (p *peer) accept() {
	p.t.Helper()
	p.l.(*net.TCPListener).SetDeadline(time.Now().Add(patient))
	conn, err := p.l.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.Conn = conn
	p.t.Cleanup(func() { conn.Close() })
}

func (p *peer) write(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) expect(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	p.SetReadDeadline(time.Now().Add(patient))
	if n, err := io.ReadFull(p.Conn, got); string(got[:n]) != want {
		p.t.Fatalf("got %q, want %q (%v)", got[:n], want, err)
	}
}

// gone insists that the module has closed the connection.
func (p *peer) gone() {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(patient))
	if b, err := io.ReadAll(p.Conn); err != nil || len(b) > 0 {
		p.t.Fatalf("got %q, %v instead of the end", b, err)
	}
}

// socket opens a single connection.
func (h *host) socket(p *peer) {
	h.t.Helper()
	h.ask(`AT+CIPSTART="TCP","server",80`, isOK)
	p.accept()
	h.expect(urc("CONNECT OK"))
}

func (h *host) bearer() {
	h.t.Helper()
	h.ask("AT+CSTT;+CIICR", isOK)
	h.ask("AT+CIFSR", urc("10.7.157.1"))
}

func TestAirSingleSocket(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := airOff(t, p.l.Addr().String())
	state := func(s string) {
		t.Helper()
		h.ask("AT+CIPSTATUS", isOK+urc("STATE: %s", s))
	}
	h.ask("AT+CIPSEND=1", urc("+CME ERROR: 3"))
	h.ask("AT+CIPCLOSE", isError)
	h.ask(`AT+CIPSTART=1,"TCP","server",80`, urc("+CME ERROR: 3")) // the form of several
	h.socket(p)
	state("CONNECT OK")
	h.ask(`AT+CIPSTART=tcp,server,"80"`, isOK+urc("ALREADY CONNECT"))
	for _, data := range []string{"\x1a\x1b\r\nOK\r\n\x00\xff", strings.Repeat("x", 1460)} {
		h.send("AT+CIPSEND=" + strconv.Itoa(len(data)) + "\r\n")
		h.expect("\r\n> ")
		h.send(data)
		h.expect(urc("SEND OK"))
		p.expect(data)
	}
	h.ask("AT+CIPSEND=1461", isError)
	h.ask("AT+CIPQSEND=1", isOK)
	h.ask("AT+CIPSEND", "\r\n> ") // log of an Air780EPV
	h.send("666888\r\n\x1a")
	h.expect(urc("DATA ACCEPT:8"))
	p.expect("666888\r\n")
	h.ask("AT+CIPSPRT=0", isOK)
	h.ask("AT+CIPSEND=1", "")
	h.send("x")
	h.expect(urc("DATA ACCEPT:1"))
	p.expect("x")
	h.ask("AT+CIPACK", urc("+CIPACK: 1479,1479,0")+isOK)

	p.write("TEST\r\nOK")
	h.expect("\r\nTEST\r\nOK\r\n")
	h.ask("AT+CIPRXF=1;+CIPHEAD=1", isOK)
	p.write("abc")
	h.expect("\r\n+IPD,3:abc")
	h.ask("AT+CIPSHOWTP=1;+CIPSRIP=1", isOK)
	p.write("abc")
	h.expect(urc("RECV FROM:server:80") + "\r\n+IPD,3,TCP:abc")
	h.ask("AT+CIPCLOSE", urc("CLOSE OK"))
	p.gone()
	state("TCP CLOSED")
	h.socket(p)
	p.Close()
	h.expect(urc("CLOSED"))
	state("TCP CLOSED")
	h.ask("AT+CIPSEND=1", urc("+CME ERROR: 3"))
	h.socket(p)
	h.ask("AT+CIPSHUT", urc("SHUT OK"))
	p.gone()
	state("IP INITIAL")
	p.l.Close()
	h.ask(`AT+CIPSTART="TCP","server",80`, isOK+urc("STATE: IP STATUS")+urc("CONNECT FAIL"))
	h.ask("AT+CIPMODE=1", isError)
	h.ask("AT+CIPMODE?", urc("+CIPMODE: 0")+isOK)
}

func TestAirManySockets(t *testing.T) {
	t.Parallel()
	p, q := newPeer(t), newPeer(t)
	h := start(t, Config{Model: "air724ug", Map: map[string]string{"server:80": p.l.Addr().String(), "server:81": q.l.Addr().String()}, Faults: []string{"echo=off"}})
	h.ask("AT+CIPMUX=1", isOK)
	h.ask(`AT+CIPSTART=1,"TCP","server",80`, urc("+CME ERROR: 3")) // several of them need the bearer
	h.bearer()
	h.ask("AT+CIPMUX=0", urc("+CME ERROR: 3"))
	h.ask(`AT+CIPSTART=1,"TCP","server","80"`, isOK)
	p.accept()
	h.expect(urc("1,CONNECT OK"))
	h.ask(`AT+CIPSTART=5,TCP,server,81`, isOK)
	q.accept()
	h.expect(urc("5,CONNECT OK"))
	h.ask(`AT+CIPSTART=5,"TCP","server",81`, isOK+urc("5,ALREADY CONNECT"))
	h.ask(`AT+CIPSTART=6,"TCP","server",81`, urc("+CME ERROR: 3"))
	h.ask("AT+CIPSTATUS", isOK+urc("STATE: IP PROCESSING")+urc(`C: 0,,"","","","INITIAL"`)+urc(`C: 1,0,"TCP","server","80","CONNECTED"`)+
		urc(`C: 2,,"","","","INITIAL"`)+urc(`C: 3,,"","","","INITIAL"`)+urc(`C: 4,,"","","","INITIAL"`)+urc(`C: 5,0,"TCP","server","81","CONNECTED"`))
	h.ask("AT+CIPSEND=5,2", "\r\n> ")
	h.send("hi")
	h.expect(urc("5,SEND OK"))
	q.expect("hi")
	h.ask("AT+CIPQSEND=1", isOK)
	h.ask("AT+CIPSEND=1", "\r\n> ")
	h.send("ho\x1a")
	h.expect(urc("DATA ACCEPT:1,2"))
	p.expect("ho")
	p.write("\r\nCLOSED\r\n")
	h.expect("\r\n+RECEIVE,1,10:\r\n\r\nCLOSED\r\n")
	h.ask("AT+CIPCLOSE=1,1", urc("1,CLOSE OK"))
	p.gone()
	q.Close()
	h.expect(urc("5, CLOSED"))
	h.ask("AT+CIPCLOSE=5", isError)
	p.l.Close()
	h.ask(`AT+CIPSTART=0,"TCP","server",80`, isOK+urc("0,CONNECT FAIL"))
	h.ask("AT+CIPSHUT", urc("SHUT OK"))
	h.ask("AT+CIPMUX=0", isOK)
}

// A host that fetches what came, piece by piece; what it does not fetch holds the other side.
func TestAirFetch(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := airOff(t, p.l.Addr().String())
	h.ask("AT+CIPRXGET=2,10", urc("+CME ERROR: 3"))
	h.ask("AT+CIPRXGET=1", isOK)
	h.socket(p)
	p.write("12345\r\nOK\r\n")
	h.expect(urc("+CIPRXGET: 1"))
	h.ask("AT+CIPRXGET=4", urc("+CIPRXGET: 4,11")+isOK)
	h.ask("AT+CIPRXGET=2,5", urc("+CIPRXGET: 2,5,6\r\n12345")+isOK)
	h.ask("AT+CIPRXGET=3,730", urc("+CIPRXGET: 3,6,0\r\n0D0A4F4B0D0A")+isOK)
	h.ask("AT+CIPRXGET=2,1460", urc("+CIPRXGET: 2,0,0")+isOK)
	p.write("a")
	h.expect(urc("+CIPRXGET: 1"))
	h.ask("AT+CIPRXGET=2,1461", isError)
	h.ask("AT+CIPRXGET?", urc("+CIPRXGET: 1")+isOK)

	const n = 32 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.Conn, strings.Repeat("y", n))
		sent <- err
	}()
	select {
	case err := <-sent:
		t.Fatalf("32 MB went into a module that nobody reads (%v)", err)
	case <-time.After(300 * time.Millisecond):
	}
	h.ask("AT+CIPRXGET=2,1", "\r\n+CIPRXGET: 2,1,")
	got := h.until("\r\na\r\n" + isOK)
	if kept, err := strconv.Atoi(got[:strings.Index(got, "\r")]); err != nil || kept > inboundWindow*maxSend {
		t.Errorf("%d bytes are kept (%v)", kept, err)
	}
	p.Close()
	if err := <-sent; err == nil {
		t.Error("all of it went")
	}
}

func TestAirSocketTLSAndUDP(t *testing.T) {
	t.Parallel()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	h := airOff(t, u.LocalAddr().String())
	h.ask(`AT+CIPSTART="UDP","server",80`, isOK+urc("CONNECT OK"))
	h.ask("AT+CIPSEND=2", "\r\n> ")
	h.send("hi")
	h.expect(urc("SEND OK"))
	buf := make([]byte, 100)
	u.SetReadDeadline(time.Now().Add(patient))
	n, from, err := u.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hi" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
	if _, err := u.WriteTo([]byte("ho"), from); err != nil {
		t.Fatal(err)
	}
	h.expect("\r\nho\r\n")
	h.ask("AT+CIPSHUT", urc("SHUT OK"))

	p := newPeer(t)
	h = airOff(t, p.l.Addr().String())
	h.ask("AT+CIPSSL=1", isOK)
	h.ask(`AT+CIPSTART="TCP","server",80`, isOK)
	p.accept()
	p.expect("\x16\x03") // a handshake
}

// The network takes the bearer: nothing works until AT+CIPSHUT.
func TestAirDeactivated(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := airOff(t, p.l.Addr().String())
	h.socket(p)
	h.ask("AT+CGATT=0", isOK+urc("+PDP: DEACT"))
	p.gone()
	h.ask("AT+CGATT=1", isOK)
	h.ask("AT+CIPSTATUS", isOK+urc("STATE: PDP DEACT"))
	h.ask(`AT+CIPSTART="TCP","server",80`, isOK+urc("STATE: PDP DEACT")+urc("CONNECT FAIL"))
	h.ask("AT+CIPSHUT", urc("SHUT OK"))
	h.socket(p)
}
