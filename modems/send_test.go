package modems_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
	"github.com/atbridge/atbridge/modems"
)

// Somebody was killed in the middle of his data, and the modem takes what comes next for the rest of it. Who sends that is
// told so, and the next one gets his own answer, not the one that ends the data.
func TestSendAfterLostData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const csq = "\r\n+CSQ: 20,99\r\n\r\nOK\r\n"
		d, port := attest.New(t)
		m := modems.Raw(port, nil)
		defer m.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.Expect("AT+CSQ\r")                 // is data
			d.Answer("AT+CMEE?\r", "\r\nOK\r\n") // is the rest of it, and this its end
			d.Answer("AT+CCLK?\r", "\r\n+CCLK: \"26/01/01,00:00:00+00\"\r\n\r\nOK\r\n")
			d.Answer("AT\r", "\r\nOK\r\n")
			d.Answer("AT+CSQ\r", csq)
		}()
		req := modems.SendRequest{Commands: []string{"AT+CSQ"}, Timeout: 5 * time.Second}
		if _, err := m.Send(t.Context(), req); !errors.Is(err, atcmd.ErrTimeout) || !strings.Contains(err.Error(), "now it answers again") {
			t.Error(err)
		}
		if answers, err := m.Send(t.Context(), req); err != nil || len(answers[0].Lines) != 1 {
			t.Errorf("%v, %v", answers, err)
		}
		<-done
	})
}

// A prompt that comes before anything was sent is for somebody else's data. Nothing is sent into it.
func TestSendAtPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		m := modems.Raw(port, nil)
		defer m.Close()
		d.Send("\r\n> ")
		synctest.Wait()
		_, err := m.Send(t.Context(), modems.SendRequest{Commands: []string{"AT"}, Timeout: time.Second})
		if modems.KindOf(err) != modems.NoAnswerYet || !strings.Contains(err.Error(), "waits for the data of an earlier command") {
			t.Error(err)
		}
	})
}
