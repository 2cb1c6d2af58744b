package modems

import (
	"fmt"
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
		`AT+CSQ;+QMTCONN=0,"site7","me","pw"`:       "[site7 me pw] false",
	} {
		c := Typed(line)
		if got := fmt.Sprint(c.Secret, c.Private); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
