package modemsim

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems/modemtest"
)

func TestQMTCFG(t *testing.T) {
	h := start(t, Config{})
	h.quiet()
	h.send("AT+QMTCFG=?\r")
	list := h.until(isOK) // log L2, line for line
	want := "\r\n" + strings.Join([]string{
		`+QMTCFG: "version",(0-5),(3,4)`,
		`+QMTCFG: "pdpcid",(0-5),(1-15)`,
		`+QMTCFG: "ssl",(0-5),(0,1),(0-5)`,
		`+QMTCFG: "keepalive",(0-5),(0-3600)`,
		`+QMTCFG: "session",(0-5),(0,1)`,
		`+QMTCFG: "timeout",(0-5),(1-1200),(1-10),(0,1)`,
		`+QMTCFG: "will",(0-5),(0,1),(0-2),(0,1),"willtopic","willmessage"`,
		`+QMTCFG: "willex",(0-5),(0,1),(0-2),(0,1),"willtopic",(0-256)`,
		`+QMTCFG: "recv/mode",(0-5),(0,1),(0,1)`,
		`+QMTCFG: "send/mode",(0-5),(0,1)`,
		`+QMTCFG: "onenet",(0-5),"product id","access key"`,
		`+QMTCFG: "aliauth",(0-5),"product key","device name","device secret"`,
		`+QMTCFG: "hwauth",(0-5),"device id","device secret"`,
		`+QMTCFG: "hwprodid",(0-5),"product id","product secret","nodeid"`,
		`+QMTCFG: "qmtping",(0-5),(5-60)`,
		`+QMTCFG: "dataformat",(0-5),(0,1),(0,1)`,
		`+QMTCFG: "view/mode",(0-5),(0,1)`,
		`+QMTCFG: "CTWing",(0-5),"client_id","feature_string"`,
		`+QMTCFG: "edit/timeout",(0-5),(0,1),(1-180)`,
	}, "\r\n") + "\r\n" + isOK
	if list != want {
		t.Errorf("got %q\nwant %q", list, want)
	}
	for _, c := range []struct{ key, byDefault, write, after string }{
		{"version", "3", "4", "4"},
		{"pdpcid", "1", "2", "2"},
		{"ssl", "0", "1,2", "1,2"},
		{"SSL", "1,2", "0", "0"},
		{"keepalive", "120", "0", "0"},
		{"session", "1", "0", "0"},
		{"timeout", "5,3,0", "60,10,1", "60,10,1"},
		{"recv/mode", "0,0", "1", "1,0"},
		{"send/mode", "0", "1", "1"},
		{"dataformat", "0,0", "1,0", "1,0"},
		{"view/mode", "0", "1", "1"},
		{"edit/timeout", "0,30", "1,5", "1,5"},
		{"qmtping", "5", "60", "60"},
		{"aliauth", `"","",""`, `"a","b","c"`, `"a","b","c"`},
		{"onenet", `"",""`, `"a","b"`, `"a","b"`},
		{"will", "0", `1,1,1,"t","m"`, `1,1,1,"t","m"`},
		{"willex", `1,1,1,"t",1`, "0", "0"},
	} {
		name := c.key
		if name == "SSL" {
			name = "ssl"
		}
		h.ask(fmt.Sprintf(`AT+QMTCFG="%s",3`, c.key), urc(`+QMTCFG: "%s",%s`, name, c.byDefault)+isOK)
		h.ask(fmt.Sprintf(`AT+QMTCFG="%s",3,%s`, c.key, c.write), isOK)
		h.ask(fmt.Sprintf(`AT+QMTCFG="%s",3`, c.key), urc(`+QMTCFG: "%s",%s`, name, c.after)+isOK)
	}
	for _, bad := range []string{
		`"version",0,5`, `"version",6,4`, `"nosuch",0`, `"keepalive",0,3601`, `"timeout",0,5`, `"ssl",0,1`,
		`"aliauth",0,"a","b"`, `"will",0,1,1,1,"t"`, `"qmtping",0,4`, `"recv/mode",0,2`, `"session",0,0,0`, `"session"`,
	} {
		h.ask("AT+QMTCFG="+bad, isError)
	}
	h.ask("AT+CFUN=1,1", isOK)
	h.until("PB DONE\r\n")
	h.quiet()
	h.ask(`AT+QMTCFG="version",3`, urc(`+QMTCFG: "version",3`)+isOK) // volatile
}

// What was configured is what the broker sees.
func TestConnect(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	c := f.online(h)
	if c.ProtocolName != "MQIsdp" || c.ProtocolVersion != 3 || !c.CleanSession || c.Keepalive != 120 || c.UsernameFlag {
		t.Errorf("by default %v", c)
	}
	h.ask(`AT+QMTCFG="version",0,4`, isError) // not while there is a connection
	h.ask(`AT+QMTCONN=0,"again"`, isError)
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,2"))
	h.ask("AT+QMTDISC=0", isOK+urc("+QMTDISC: 0,0"))
	next[*packets.DisconnectPacket](f)
	f.gone()
	h.ask("AT+QMTCLOSE=0", isError)
	h.ask("AT+QMTCONN?;+QMTOPEN?", isOK)

	h.ask(`AT+QMTCFG="version",0,4;+QMTCFG="session",0,0;+QMTCFG="keepalive",0,30`, isOK)
	h.ask(`AT+QMTCFG="willex",0,1,2,1,"w/t",5`, "\r\n> ")
	h.send("\r\n\x00\"x")
	h.expect(isOK)
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK)
	f.accept()
	h.expect(urc("+QMTOPEN: 0,0"))
	h.ask("AT+QMTCONN?", urc("+QMTCONN: 0,1")+isOK)
	h.ask(`AT+QMTCONN=0,"pk.dev|securemode=3,signmethod=hmacsha1|","us,er","p w"`, isOK)
	c = next[*packets.ConnectPacket](f)
	if c.ProtocolName != "MQTT" || c.ProtocolVersion != 4 || c.CleanSession || c.Keepalive != 30 ||
		c.ClientIdentifier != "pk.dev|securemode=3,signmethod=hmacsha1|" || c.Username != "us,er" || string(c.Password) != "p w" ||
		c.WillTopic != "w/t" || string(c.WillMessage) != "\r\n\x00\"x" || c.WillQos != 2 || !c.WillRetain {
		t.Errorf("got %v", c)
	}
	h.ask("AT+QMTCONN?", urc("+QMTCONN: 0,2")+isOK)
	f.accepted(4)
	h.expect(urc("+QMTCONN: 0,0,4"))
	f.conn.Close()
	h.expect(urc("+QMTSTAT: 0,1"))
	h.ask(`AT+QMTCONN=0,"late"`, isError) // log L6
}

func TestAliauth(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	h.ask(`AT+QMTCFG="aliauth",0,"pk","dn","secret"`, isOK)
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK)
	f.accept()
	h.expect(urc("+QMTOPEN: 0,0"))
	h.ask("AT+QMTCONN=0,0", isOK) // log L3: without quotes
	c := next[*packets.ConnectPacket](f)
	if c.ClientIdentifier != "0|securemode=3,signmethod=hmacsha1|" || c.Username != "dn&pk" || len(c.Password) != 40 {
		t.Errorf("got %v", c)
	}
}

func TestConnackTimeout(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	h.ask(`AT+QMTCFG="timeout",0,1,0,0`, isOK)
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK)
	f.accept()
	h.expect(urc("+QMTOPEN: 0,0"))
	h.ask(`AT+QMTCONN=0,"x"`, isOK+urc("+QMTCONN: 0,2")+urc("+QMTSTAT: 0,4"))
}

// PINGREQ goes out when nothing else did; what happens without an answer is the test of
// the fault noping.
func TestPing(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	h.ask(`AT+QMTCFG="keepalive",0,1`, isOK)
	begin := time.Now()
	f.online(h)
	for n := range 2 {
		next[*packets.PingreqPacket](f)
		if took := time.Since(begin); took < time.Duration(n+1)*time.Second {
			t.Errorf("PINGREQ %d after %v", n, took)
		}
		f.send(packets.NewControlPacket(packets.Pingresp))
	}
}

func TestOpenFails(t *testing.T) {
	h := start(t, Config{Map: map[string]string{"nobody:1": modemtest.FreeAddr(t), "nowhere:1": noHost + ":1"}})
	h.quiet()
	h.ask(`AT+QMTOPEN=0,"nobody",1`, isOK+urc("+QMTOPEN: 0,-1"))
	h.ask(`AT+QMTOPEN=0,"nowhere",1`, isOK+urc("+QMTOPEN: 0,4"))
}

func TestReceive(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	h.ask(`AT+QMTCFG="recv/mode",0,1,1`, isOK)
	f.online(h)
	payload := func(i int) string { return fmt.Sprintf("a\"b\r\nOK\r\n%d", i) }
	for i := range 6 {
		f.publish(uint16(i+1), 1, "t/x", payload(i))
		next[*packets.PubackPacket](f)
		if i < 5 {
			h.expect(urc("+QMTRECV: 0,%d", i))
		}
	}
	h.ask("AT+QMTRECV?", urc("+QMTRECV: 0,1,1,1,1,1")+isOK) // the sixth is gone
	h.ask("AT+QMTRECV=0,2", urc(`+QMTRECV: 0,3,"t/x",10,"%s"`, payload(2))+isOK)
	h.ask("AT+QMTRECV?", urc("+QMTRECV: 0,1,1,0,1,1")+isOK)
	var all []string
	for _, i := range []int{0, 1, 3, 4} {
		all = append(all, fmt.Sprintf(`+QMTRECV: 0,%d,"t/x",10,"%s"`, i+1, payload(i)))
	}
	h.ask("AT+QMTRECV=0", "\r\n"+strings.Join(all, "\r\n")+"\r\n"+isOK)
	h.ask("AT+QMTRECV=0", isOK)
}

func TestSeveralClients(t *testing.T) {
	b := newBroker(t)
	h := start(t, Config{Map: b.mapped()})
	h.quiet()
	for i := range 6 {
		h.ask(fmt.Sprintf(`AT+QMTOPEN=%d,"broker",1883`, i), isOK+urc("+QMTOPEN: %d,0", i))
		h.ask(fmt.Sprintf(`AT+QMTCONN=%d,"c%d"`, i, i), isOK+urc("+QMTCONN: %d,0,0", i))
	}
	h.ask(`AT+QMTSUB=5,1,"x",1,"y",0`, isOK+urc("+QMTSUB: 5,1,0,1,0"))
	h.offer(3, 1, "y", "from 0")
	got := h.until(urc("+QMTPUBEX: 0,3,0"))
	if !strings.HasPrefix(got, isOK) {
		t.Errorf("got %q", got)
	}
	if want := urc(`+QMTRECV: 5,0,"y","from 0"`); !strings.Contains(got, want) {
		h.expect(want)
	}
	h.ask("AT+QMTCLOSE=4", isOK+urc("+QMTCLOSE: 4,0"))
	h.ask("AT+QMTCONN?", "\r\n+QMTCONN: 0,3\r\n+QMTCONN: 1,3\r\n+QMTCONN: 2,3\r\n+QMTCONN: 3,3\r\n+QMTCONN: 5,3\r\n"+isOK)
}

// A flood from the broker is held back by TCP, and nothing of it is lost or out of order.
func TestFlood(t *testing.T) {
	f := newFake(t)
	h := start(t, Config{Baud: 921600, Map: f.mapped()})
	h.quiet()
	f.online(h)
	const n = 300
	payload := strings.Repeat("f", 200)
	go func() {
		for i := range n {
			p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			p.TopicName, p.Payload = "t", fmt.Appendf(nil, "%04d%s", i, payload)
			if p.Write(f.conn) != nil {
				return
			}
		}
	}()
	for i := range n {
		h.expect(urc(`+QMTRECV: 0,0,"t","%04d%s"`, i, payload))
	}
}

// A hostile broker cannot make the module allocate what it likes.
func TestHugePacket(t *testing.T) {
	for _, head := range []string{"\x30\xff\xff\xff\x7f", "\x30\xff\xff\xff\xff\x7f", "\xf0\x00", "\x20\x00"} {
		if p, err := readPacket(bufio.NewReader(strings.NewReader(head))); err == nil {
			t.Errorf("%x gave %v", head, p)
		}
	}
	f := newFake(t)
	h := start(t, Config{Map: f.mapped()})
	h.quiet()
	f.online(h)
	f.conn.Write([]byte("\x30\xff\xff\xff\x7f"))
	h.expect(urc("+QMTSTAT: 0,1"))
}

func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string, 10)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := serve(t, l)
	h := start(t, Config{Map: map[string]string{"broker:8883": b.addr}, RTT: 20 * time.Millisecond})
	h.quiet()
	h.ask(`AT+QMTCFG="ssl",0,1,2`, isOK)
	h.ask(`AT+QSSLCFG="seclevel",2,1`, isOK)
	h.ask(`AT+QMTOPEN=0,"broker",8883`, isOK+urc("+QMTOPEN: 0,-1")) // there is no certificate
	h.ask(`AT+QSSLCFG="seclevel",2,0`, isOK)
	h.ask(`AT+QMTOPEN=0,"broker",8883`, isOK+urc("+QMTOPEN: 0,0"))
	if name := <-names; name != "" {
		t.Errorf("server name %q although sni is 0", name)
	}
	h.ask(`AT+QMTCONN=0,"secure"`, isOK+urc("+QMTCONN: 0,0,0"))
	h.publish(1, 1, "t", "x")
	h.ask("AT+QMTDISC=0", isOK+urc("+QMTDISC: 0,0"))
	h.ask(`AT+QSSLCFG="sni",2,1`, isOK)
	h.ask(`AT+QMTOPEN=0,"broker",8883`, isOK+urc("+QMTOPEN: 0,0"))
	if name := <-names; name != "broker" {
		t.Errorf("server name %q", name)
	}
}

func TestMosquitto(t *testing.T) {
	addr := mosquitto(t)
	for _, version := range []int{3, 4} {
		h := start(t, Config{Baud: 921600, Map: map[string]string{"broker:1883": addr}})
		h.quiet()
		h.ask(fmt.Sprintf(`AT+QMTCFG="version",0,%d`, version), isOK)
		h.ask(`AT+QMTCFG="recv/mode",0,0,1`, isOK)
		h.connect()
		for qos := range 3 {
			h.ask(fmt.Sprintf(`AT+QMTSUB=0,%d,"a/%d",%d`, qos+1, qos, qos), isOK+urc("+QMTSUB: 0,%d,0,%d", qos+1, qos))
			id := qos * 10
			h.offer(id, qos, fmt.Sprintf("a/%d", qos), "over\r\nmosquitto")
			got := h.until("\"over\r\nmosquitto\"\r\n")
			if want := urc("+QMTPUBEX: 0,%d,0", id); !strings.Contains(got, want) {
				h.expect(want)
			}
		}
		h.ask("AT+QMTDISC=0", isOK+urc("+QMTDISC: 0,0"))
	}
}
