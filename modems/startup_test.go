package modems_test

import (
	"testing"
	"testing/synctest"

	"github.com/atbridge/atbridge/atcmd/attest"
	"github.com/atbridge/atbridge/modems"
)

// A modem that boots answers a command of before its banner after it, and is one answer behind from then on. Nothing is
// believed until each answer belongs to its command.
func TestOneAnswerBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ok, cmee = "\r\nOK\r\n", "\r\n+CMEE: 1\r\n\r\nOK\r\n"
		d, port := attest.New(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.Expect("AT\r")       // it is still off
			d.Expect("AT+CMEE?\r") // the engine looks for its step; this one waits in the modem
			d.Send("\r\nRDY\r\n")
			d.Answer("AT\r", cmee)
			d.Answer("AT\r", ok)
			d.Answer("ATE0\r", ok)
			d.Answer("AT+CMEE=1\r", ok)
			d.Answer("AT+CMEE?\r", ok)
			d.Send(cmee) // the answer that was owed comes while nothing is asked
			d.Answer("AT+CMEE?\r", cmee)
			d.Answer("AT+CGMI\r", "\r\nAcme\r\n"+ok)
			d.Answer("AT+CGMM\r", "\r\nFrob\r\n"+ok)
			d.Answer("AT+CGMR\r", "\r\n1.0\r\n"+ok)
			d.Answer("AT+CGSN\r", "\r\n123456789012345\r\n"+ok)
		}()
		m, err := modems.Attach(t.Context(), port, modems.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if id := m.Identity(); id.Manufacturer != "Acme" || id.Model != "Frob" || id.Revision != "1.0" {
			t.Errorf("%+v", id)
		}
		<-done
		m.Close()
	})
}
