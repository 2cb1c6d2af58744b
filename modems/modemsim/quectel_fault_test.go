package modemsim

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

func init() { maps.Copy(faultTests, quectelKnobTests) }

// quectelKnobTests has the knobs of Quectel's dialect alone.
var quectelKnobTests = map[string]func(t *testing.T){
	"no-pubex": func(t *testing.T) {
		h, b := faulty(t, "no-pubex")
		h.ask("AT+QMTPUBEX=?", isError)
		h.ask(`AT+QMTPUBEX=0,1,1,0,"t",1`, isError)
		h.ask("AT+QMTPUB=?", urc(`+QMTPUB: (0-5),<msgid>,(0-2),(0,1),"topic","length"`)+isOK)
		for qos, payload := range []string{"\x1a", "a\x1bb", "AT\r"} { // with a length nothing ends it
			h.ask(pub(qos+1, qos, ",%d", len(payload)), "\r\n> ")
			h.send(payload)
			h.expect(isOK + urc("+QMTPUB: 0,%d,0", qos+1))
			if p := b.next(t); string(p.Payload) != payload || int(p.FixedHeader.Qos) != qos {
				t.Errorf("got %q at QoS %d", p.Payload, p.FixedHeader.Qos)
			}
		}
		h.ask(pub(7, 1, ""), "\r\n> ") // and without one Ctrl-Z does
		h.send("text\x1a")
		h.expect(isOK + urc("+QMTPUB: 0,7,0"))
		if p := b.next(t); string(p.Payload) != "text" {
			t.Errorf("got %q", p.Payload)
		}
		bare(t).ask("AT+QMTPUB=?", isError) // MQTT AN V1.0 has none
	},
	"pub-ctrlz": func(t *testing.T) {
		h, b := faulty(t, "pub-ctrlz")
		h.ask(`AT+QMTPUBEX=0,1,1,0,"t",1`, isError)
		h.ask(pub(1, 1, ",%d", 4), isError)
		h.ask(pub(1, 1, ""), "\r\n> ")
		h.send("given up\x1b")
		h.expect(isError)
		h.ask(pub(1, 1, ""), "\r\n> ")
		h.send(strings.Repeat("x", maxPayload+1) + "\x1a")
		h.expect(isError)
		h.ask(pub(1, 1, ""), "\r\n> ")
		h.send("\x1a")
		h.expect(isError)
		h.ask(pub(1, 2, ""), "\r\n> ")
		h.send("\r\nOK\r\n\x1a")
		h.expect(isOK + urc("+QMTPUB: 0,1,0"))
		if p := b.next(t); string(p.Payload) != "\r\nOK\r\n" {
			t.Errorf("got %q", p.Payload)
		}
	},
	"pem-crlf": func(t *testing.T) {
		a := newAuthority(t)
		h, _ := a.secure(t, []string{"pem-crlf"}, a.issue("broker"), nil)
		h.upload("lf.pem", a.pem)
		h.upload("crlf.pem", strings.ReplaceAll(a.pem, "\n", "\r\n"))
		h.ask(`AT+QSSLCFG="seclevel",2,1;+QSSLCFG="cacert",2,"UFS:lf.pem"`, isOK)
		h.ask(openTLS, isOK+urc("+QMTOPEN: 0,-1"))
		h.ask(`AT+QSSLCFG="cacert",2,"UFS:crlf.pem"`, isOK)
		h.ask(openTLS, isOK+urc("+QMTOPEN: 0,0"))
	},
	"bad-sum": func(t *testing.T) {
		h := bare(t, "bad-sum=2")
		h.upload("a", "1234567890")
		h.ask(`AT+QFUPL="b",10`, urc("CONNECT"))
		h.send("1234567890")
		h.expect(urc("+QFUPL: 10,3918") + isOK)
		h.ask(`AT+QFDWL="b"`, urc("CONNECT")+"12345\x167890"+urc("+QFDWL: 10,3918")+isOK)
	},
	"upper-sum": func(t *testing.T) {
		h := bare(t, "upper-sum")
		h.ask(`AT+QFUPL="a",1`, urc("CONNECT"))
		h.send("\xab")
		h.expect(urc("+QFUPL: 1,AB00") + isOK)
	},
	"ufs": func(t *testing.T) {
		h := bare(t, "ufs=15")
		h.ask(`AT+QFUPL="a",16`, urc("+CME ERROR: 420"))
		h.upload("a", "1234567890")
		h.ask(`AT+QFUPL="b",6`, urc("+CME ERROR: 420"))
		h.ask(`AT+QFLDS="UFS"`, urc("+QFLDS: 5,15")+isOK)
		h.ask(`AT+QFDEL="*"`, isOK)
		h.upload("b", "123456789012345")
	},
}

// pub is AT+QMTPUB to topic t; tail is a length, or nothing.
func pub(id, qos int, tail string, a ...any) string {
	return fmt.Sprintf(`AT+QMTPUB=0,%d,%d,0,"t"`, id, qos) + fmt.Sprintf(tail, a...)
}
