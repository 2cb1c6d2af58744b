package modems

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTypedSecrets(t *testing.T) {
	for line, want := range map[string]string{
		`AT+CSQ`:                                    "[] false",
		`AT+CPIN=1234`:                              "[1234] false",
		`at+cpin=4711`:                              "[4711] false",
		`at+cpin="1234","5678"`:                     "[1234 5678] false",
		`AT+CPIN?`:                                  "[] false",
		`AT+QICSGP=1,1,"CMNET","me","pw",1`:         "[me pw] true",
		`AT+QICSGP=1`:                               "[] true",
		`AT+QMTCONN=0,"site7","me","pw"`:            "[me pw] false",
		`AT+QMTCFG="recv/mode",0,0,1`:               "[] true",
		`AT+QMTCFG="aliauth",0,"pk","dev","secret"`: "[pk dev secret] true",
		`AT+MCONFIG="id","me","pw"`:                 "[me pw] true",
		`AT+MQTTCONN=0,"h",1883,"id","me","pw"`:     "[me pw] false",
		`AT+CSQ;+QMTCONN=0,"site7","me","pw"`:       "[site7 me pw] false",
	} {
		c := Typed(line)
		if got := fmt.Sprint(c.Secret, c.Private); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// What each driver says of its commands holds before any modem is known, and reading is always allowed.
func TestPermitKnowsTheDialects(t *testing.T) {
	for _, line := range []string{`AT+CFUN=0`, `AT+QMTDISC=0`, `AT+LMQTTDISC=0`, `AT+MQTTDISC=0`, `AT+MIPCLOSE`} {
		if err := permit(line, false, false, false); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, line := range []string{`AT+QMTCONN?`, `AT+LMQTTCONN?`, `AT+CSQ`, `AT+QCCID`} {
		if err := permit(line, false, false, false); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// A command that asks for data, and gets none, would hold the modem until the modem gives up. It is not sent.
func TestPermitWantsData(t *testing.T) {
	for _, line := range []string{`AT+QFUPL="y",100`, `at + cmgs = "1"`, `AT+CMGW`, `AT+CSQ;+CMGC=1,2`, `AT+QFWRITE=1,10`, `AT+FSWRITE="ca.crt",0,9,30`, `AT+QHTTPURL=9,9`, `AT+HTTPDATA=9,999`} {
		for name, tc := range map[string]struct {
			req  SendRequest
			want bool
		}{
			"no data":               {SendRequest{Commands: []string{"AT", line}}, false},
			"the data is another's": {SendRequest{Commands: []string{line, "AT"}, Data: []byte("x")}, false},
			"forced":                {SendRequest{Commands: []string{line}, Force: true}, true},
		} {
			err := Permit(tc.req, false)
			if passes := err == nil; passes != tc.want || !passes && !strings.Contains(err.Error(), "--data") {
				t.Errorf("%s, %s: %v", line, name, err)
			}
		}
	}
	for _, req := range []SendRequest{
		{Commands: []string{`AT+CMGS="1"`}, Data: []byte("hello\x1a")},
		{Commands: []string{`AT+QFUPL="y",1`}, Data: []byte("x")},
		{Commands: []string{`AT+CMGS=?`}}, {Commands: []string{`AT+QFUPL=?`}},
	} {
		if err := Permit(req, false); err != nil {
			t.Errorf("%s: %v", req.Commands, err)
		}
	}
}
