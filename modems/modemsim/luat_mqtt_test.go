package modemsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems/modemtest"
)

// What was configured is what the broker sees, and each state has its answers.
func TestAirConnect(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	h.ask("AT+MCONNECT=1,60", urc("+CME ERROR: 767")) // no TCP
	h.ask("AT+MIPCLOSE", urc("+CME ERROR: 767"))
	h.ask("AT+MDISCONNECT", isError)
	h.ask(`AT+MCONFIG="pk.dev|securemode=3,signmethod=hmacsha1|","us,er","p%2F w",1,1,"w/t","{\22a\22:1}\0D\0A\5C"`, isOK)
	h.ask(`AT+MIPSTART=broker,"1883"`, isOK) // quotes or not
	f.accept()
	h.expect(urc("CONNECT OK"))
	h.ask("AT+MQTTSTATU", "\r\n+MQTTSTATU :2\r\n"+isOK)
	h.ask(`AT+MIPSTART="broker","1883"`, isOK+urc("ALREADY CONNECT"))
	h.ask("AT+MCONNECT=0,300", isOK)
	h.ask("AT+MCONNECT=0,300", urc("+CME ERROR: 767"))
	c := next[*packets.ConnectPacket](f)
	if c.ProtocolName != "MQTT" || c.ProtocolVersion != 4 || c.CleanSession || c.Keepalive != 300 ||
		c.ClientIdentifier != "pk.dev|securemode=3,signmethod=hmacsha1|" || c.Username != "us,er" || string(c.Password) != "p%2F w" ||
		!c.WillFlag || c.WillQos != 1 || !c.WillRetain || c.WillTopic != "w/t" || string(c.WillMessage) != "{\"a\":1}\r\n\\" {
		t.Errorf("got %v", c)
	}
	f.accepted(0)
	h.expect(urc("CONNACK OK"))
	h.ask("AT+MQTTSTATU", "\r\n+MQTTSTATU :1\r\n"+isOK)
	h.ask("AT+MCONNECT=0,300", urc("+CME ERROR: 767")) // log of an Air780E

	h.f.Close() // the session outlives the host
	h.open()
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("ALREADY CONNECT"))
	h.ask("AT+MDISCONNECT", isOK)
	next[*packets.DisconnectPacket](f)
	h.ask("AT+MIPCLOSE", isOK)
	f.gone()
	h.ask("AT+MQTTSTATU", "\r\n+MQTTSTATU :0\r\n"+isOK)

	h.ask(`AT+MCONFIG=id,"",""`, isOK)
	if c := f.airSession(h); c.ClientIdentifier != "id" || c.UsernameFlag || c.PasswordFlag || c.WillFlag || !c.CleanSession {
		t.Errorf("got %v", c)
	}
	f.conn.Close()
	h.expect(urc("CLOSED"))
	h.ask("AT+MIPCLOSE", urc("+CME ERROR: 767")) // log of an Air780EP
	for _, bad := range []string{
		`AT+MCONFIG="a","b"`, `AT+MCONFIG=`, `AT+MCONFIG="a","","",1,1,t,"m"`, `AT+MCONFIG="a","","",1,1,"t",m`, `AT+MCONFIG="a","","",3,1,"t","m"`,
		`AT+MCONFIG="` + strings.Repeat("a", 257) + `"`, `AT+MIPSTART="broker"`, `AT+MIPSTART="broker",0`, "AT+MCONNECT=1,0", "AT+MCONNECT=1", "AT+MCONNECT=2,60",
	} {
		h.ask(bad, isError)
	}
	h.ask("AT+CFUN=1,1", isOK)
	h.airBoots()
	h.ask(`AT+MIPSTART="broker",1883`, isOK)
	f.accept()
	h.expect(urc("CONNECT OK"))
	h.ask("AT+MCONNECT=1,60", urc("+CME ERROR: 767")) // AT+MCONFIG is not stored
}

// A refusal is told as ERROR, and the server closes then.
func TestAirRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	h.ask(`AT+MCONFIG="x"`, isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK)
	f.accept()
	h.expect(urc("CONNECT OK"))
	h.ask("AT+MCONNECT=1,60", isOK)
	next[*packets.ConnectPacket](f)
	f.accepted(5)
	h.expect(isError)
	h.ask("AT+MQTTSTATU", "\r\n+MQTTSTATU :2\r\n"+isOK)
	f.conn.Close()
	h.expect(urc("CLOSED"))
}

func TestAirOpenFails(t *testing.T) {
	t.Parallel()
	h := airOff(t, modemtest.FreeAddr(t))
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: IP INITIAL")+urc("CONNECT FAIL"))
	h.ask("AT+CIPMUX=1", isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: IP INITIAL")+urc("7,CONNECT FAIL"))
	h.ask("AT+CFUN=4", isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("STATE: IP INITIAL")+urc("7,CONNECT FAIL"))
}

// Where connections have numbers, MQTT's is 7.
func TestAirNumberedLink(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	h.ask("AT+CIPMUX=1", isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK)
	f.accept()
	h.expect(urc("7,CONNECT OK"))
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("ALREADY CONNECT"))
	f.conn.Close()
	h.expect(urc("7, CLOSED"))
}

func TestAirSubscribe(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	h.ask(`AT+MSUB="t",1`, urc("+CME ERROR: 767"))
	f.airOnline(h)
	for _, bad := range []string{`"t"`, `"t",3`, `"",1`, `"t",1,"u",1`, `"` + strings.Repeat("t", 257) + `",1`} {
		h.ask("AT+MSUB="+bad, isError)
	}
	h.ask(`AT+MSUB="a\22b",2`, isOK)
	s := next[*packets.SubscribePacket](f)
	if len(s.Topics) != 1 || s.Topics[0] != `a"b` || s.Qoss[0] != 2 {
		t.Errorf("got %v", s)
	}
	h.silent(30 * time.Millisecond)
	ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	ack.MessageID, ack.ReturnCodes = s.MessageID, []byte{128} // not told
	f.send(ack)
	h.expect(urc("SUBACK"))
	h.ask(`AT+MUNSUB="a"`, isOK)
	u := next[*packets.UnsubscribePacket](f)
	unack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
	unack.MessageID = u.MessageID
	f.send(unack)
	h.expect(urc("UNSUBACK"))
}

// A payload stands in its URC as it is: only the length tells its end.
func TestAirReceive(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	f.airOnline(h)
	var every strings.Builder
	for i := range 256 {
		every.WriteByte(byte(i))
	}
	for i, payload := range []string{"Hello World", "", "\r\nOK\r\n", `","x",3 byte,`, "21 °C, 多云", "+MSUB: \"t\",1 byte,x", every.String(), strings.Repeat("x", 4100)} {
		f.publish(uint16(i+1), 1, "a,b", payload)
		h.expect("\r\n" + `+MSUB: "a,b",` + strconv.Itoa(len(payload)) + " byte," + payload + "\r\n")
		if p := next[*packets.PubackPacket](f); p.MessageID != uint16(i+1) {
			t.Errorf("got %v", p)
		}
	}
	f.publish(9, 2, "t", "once")
	f.publish(9, 2, "t", "once")
	next[*packets.PubrecPacket](f)
	next[*packets.PubrecPacket](f)
	h.expect(urc(`+MSUB: "t",4 byte,once`))
	rel := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	rel.MessageID = 9
	f.send(rel)
	next[*packets.PubcompPacket](f)
	f.publish(0, 0, "t", "next")
	h.expect(urc(`+MSUB: "t",4 byte,next`)) // and nothing of the second copy
}

// Four messages are kept; a fifth takes the place of the first.
func TestAirBuffered(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	f.airOnline(h)
	h.ask("AT+MQTTMSGSET=1", isOK)
	f.publish(0, 0, "mqtt/topic", "SSSSddddd")
	h.expect(urc("+MSUB: 0"))
	h.ask("AT+MQTTMSGGET?", "\r\n+MQTTMSGGET: 0,VALID\r\n+MQTTMSGGET: 1,INVALID\r\n+MQTTMSGGET: 2,INVALID\r\n+MQTTMSGGET: 3,INVALID\r\n"+isOK)
	h.ask("AT+MQTTMSGGET", urc("+MSUB: mqtt/topic,9 byte,SSSSddddd")+isOK)
	h.ask("AT+MQTTMSGGET", isOK)
	for i := 1; i <= 5; i++ {
		f.publish(0, 0, "t", strconv.Itoa(i))
		h.expect(urc("+MSUB: %d", i%4))
	}
	h.ask("AT+MQTTMSGGET", "\r\n+MSUB: t,1 byte,2\r\n+MSUB: t,1 byte,3\r\n+MSUB: t,1 byte,4\r\n+MSUB: t,1 byte,5\r\n"+isOK)
	h.ask("AT+MQTTMSGSET?", urc("+MQTTMSGSET:1")+isOK)
}

func TestAirPing(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := airOff(t, f.l.Addr().String())
	h.ask(`AT+MCONFIG="sim"`, isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK)
	f.accept()
	h.expect(urc("CONNECT OK"))
	begin := time.Now()
	h.ask("AT+MCONNECT=1,1", isOK)
	next[*packets.ConnectPacket](f)
	f.accepted(0)
	h.expect(urc("CONNACK OK"))
	for n := range 2 {
		next[*packets.PingreqPacket](f)
		if took := time.Since(begin); took < time.Duration(n+1)*time.Second {
			t.Errorf("PINGREQ %d after %v", n, took)
		}
		f.send(packets.NewControlPacket(packets.Pingresp))
	}
	h.silent(30 * time.Millisecond) // the host hears nothing of it
}

// TLS without a word of AT+SSLCFG checks nothing; context 88 with a CA checks the chain and the name.
func TestAirTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"other.example"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string, 10)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := serve(t, l)
	h := airOff(t, b.addr)
	fail := isOK + urc("STATE: IP STATUS") + urc("CONNECT FAIL")
	h.ask("AT+CSTT;+CIICR", isOK)
	h.ask("AT+CIFSR", urc("10.7.157.1"))
	h.ask(`AT+SSLMIPSTART="broker",8883`, isOK+urc("CONNECT OK"))
	if name := <-names; name != "broker" {
		t.Errorf("server name %q", name)
	}
	h.ask("AT+MIPCLOSE", isOK)

	h.ask(`AT+SSLCFG="seclevel",88,1;+SSLCFG="seclevel",88`, urc(`+SSLCFG: "seclevel",88,1`)+isOK)
	h.ask(`AT+SSLMIPSTART="broker",8883`, fail) // there is no CA
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	h.ask(`AT+FSWRITE="ca.crt",0,100,10`, isError)
	h.ask(`AT+FSCREATE="ca.crt"`, isOK)
	h.ask(`AT+FSCREATE="ca.crt"`, isError)
	h.ask(`AT+FSWRITE="ca.crt",0,`+strconv.Itoa(len(ca)-9)+",10", "\r\n> ")
	h.send(ca[:len(ca)-9])
	h.expect(isOK)
	h.ask(`AT+FSWRITE="ca.crt",1,9,10`, "\r\n> ")
	h.send(ca[len(ca)-9:])
	h.expect(isOK)
	h.ask(`AT+SSLCFG="cacert",88,"ca.crt"`, isOK)
	h.ask(`AT+SSLMIPSTART="broker",8883`, fail) // it is another's certificate
	if name := <-names; name != "broker" {
		t.Errorf("server name %q", name)
	}
	h.ask(`AT+SSLCFG="hostname",88,"other.example"`, isOK)
	h.ask(`AT+MCONFIG="secure"`, isOK)
	h.ask(`AT+SSLMIPSTART="broker",8883`, isOK+urc("CONNECT OK"))
	h.ask("AT+MCONNECT=1,60", isOK+urc("CONNACK OK"))
	h.airOffer(1, "t", "x")
	h.expect(isOK + urc("PUBACK"))
	h.ask("AT+MIPCLOSE", isOK)

	h.ask(`AT+SSLCFG="seclevel",88,2`, isOK)
	h.ask(`AT+SSLMIPSTART="broker",8883`, fail)      // no certificate of its own
	h.ask(`AT+SSLCFG="seclevel",88,`, isOK)          // forgotten
	h.ask(`AT+SSLCFG="ciphersuite",88,0X002F`, isOK) // RSA key exchange, which this server has no key for
	h.ask(`AT+SSLMIPSTART="broker",8883`, fail)
	h.ask(`AT+SSLCFG="nosuch",88,1`, isError)
	h.ask(`AT+SSLCFG="seclevel",7,1`, isError)
	h.ask("AT+CFUN=1,1", isOK)
	h.airBoots()
	h.ask(`AT+FSCREATE="ca.crt"`, isError) // files stay
	h.ask(`AT+FSWRITE="ca.crt",0,5,1`, "\r\n> ")
	h.send("abc")
	h.expect(urc("TimeOut"))
}

// Mosquitto agrees with all of it.
func TestAirMosquitto(t *testing.T) {
	t.Parallel()
	addr := mosquitto(t)
	h := airOff(t, addr)
	h.airConnect()
	results := []string{"", urc("PUBACK"), urc("PUBREC") + urc("PUBCOMP")}
	for qos, result := range results {
		q := strconv.Itoa(qos)
		h.ask(`AT+MSUB="a/`+q+`",`+q, isOK+urc("SUBACK"))
		h.airOffer(qos, "a/"+q, "over\r\nmosquitto")
		got := h.until("over\r\nmosquitto\r\n")
		if !strings.Contains(got, isOK) {
			t.Errorf("got %q", got)
		}
		for want := range strings.SplitAfterSeq(result, "\r\n\r\n") {
			if want = strings.Trim(want, "\r\n"); want != "" && !strings.Contains(got, want) {
				h.until(want + "\r\n")
			}
		}
	}
	h.ask(`AT+MUNSUB="a/0"`, isOK+urc("UNSUBACK"))
	h.ask("AT+MDISCONNECT", isOK)
	h.ask("AT+MIPCLOSE", isOK)
}
