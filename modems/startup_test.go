package modems_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/atbridge/atbridge/atcmd/attest"
	"github.com/atbridge/atbridge/modems"
)

// A modem that boots answers a command of before its banner after it, and is one answer behind from then on. Nothing is
// believed until each answer belongs to its command.
func TestOneAnswerBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

const ok, cmee = "\r\nOK\r\n", "\r\n+CMEE: 1\r\n\r\nOK\r\n"

// A noisy line has its gaps, and an answer may come alone in one of them. What then comes beside the next answers is not
// taken for the modem's name.
func TestNoiseWithGaps(t *testing.T) {
	greeted := func(d *attest.DCE) {
		d.Answer("AT\r", ok)
		d.Answer("ATE0\r", ok)
		d.Answer("AT+CMEE=1\r", ok)
		d.Answer("AT+CMEE?\r", cmee)
	}
	named := func(d *attest.DCE, before string) {
		d.Answer("AT+CGMI\r", "\r\nAcme\r\n"+ok)
		d.Answer("AT+CGMM\r", before+"\r\nFrob\r\n"+ok)
		d.Answer("AT+CGMR\r", "\r\n1.0\r\n"+ok)
		d.Answer("AT+CGSN\r", "\r\n123456789012345\r\n"+ok)
	}
	for what, dce := range map[string]func(*attest.DCE){
		"before the OK": func(d *attest.DCE) {
			d.Answer("AT\r", "HaI"+ok)
			time.Sleep(100 * time.Millisecond) // of synctest's clock
			d.Send("V\r\n")                    // while nothing is asked
			d.Answer("AT\r", ok)
			noise := time.Now()
			d.Expect("AT\r")
			if quiet := time.Since(noise); quiet < 500*time.Millisecond {
				t.Errorf("an OK is believed after %v without noise", quiet)
			}
			d.Send(ok)
			d.Answer("ATE0\r", ok)
			d.Answer("AT+CMEE=1\r", ok)
			d.Answer("AT+CMEE?\r", cmee)
			named(d, "")
		},
		"beside the name": func(d *attest.DCE) {
			greeted(d)
			named(d, "HaI")
			greeted(d)
			named(d, "")
		},
		"a name below its command's": func(d *attest.DCE) {
			greeted(d)
			named(d, "\r\n+CGMM: \r\n")
		},
		"beside a name that says whose it is": func(d *attest.DCE) {
			for range 2 { // the same twice
				greeted(d)
				named(d, "HaI\r\n+CGMM: \"Frob\"\r\n")
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, port := attest.New(t)
				done := make(chan struct{})
				go func() {
					defer close(done)
					dce(d)
				}()
				m, err := modems.Attach(t.Context(), port, modems.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if id := m.Identity(); id.Manufacturer != "Acme" || id.Model != "Frob" {
					t.Errorf("%+v", id)
				}
				<-done
				m.Close()
			})
		})
	}
}
