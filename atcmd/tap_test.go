package atcmd_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
)

// wire collects what a tap is told.
type wire struct{ sent, received []string }

func (w *wire) tap(sent bool, text []byte) {
	if sent {
		w.sent = append(w.sent, string(text))
	} else {
		w.received = append(w.received, string(text))
	}
}

// The tap is told every byte, blank lines and line ends too, cut at the ends of lines and at prompts.
func TestTapIsToldEveryByte(t *testing.T) {
	c := atcmd.Set("+QMTPUBEX", 0, 1)
	c.Payload = []byte("\r\n> hello")
	said := []string{"AT+QMTPUBEX=0,1\r\r\n", "> ", "\r\n\r\nOK\r\n", "\n\r\n+CREG: 1\r\n", "\x00\xff"}
	var w wire
	play(t, func(d *attest.DCE) {
		d.Expect("AT+QMTPUBEX=0,1\r")
		d.SendWhole(said[0] + said[1])
		d.Expect("\r\n> hello")
		d.SendWhole(said[2] + said[3] + said[4])
	}, func(ctx context.Context, e *atcmd.Engine) {
		if _, err := e.Do(ctx, c); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		e.Close()
	}, atcmd.WithTap(w.tap))
	if got, want := strings.Join(w.received, "|"), strings.Join(said, "|"); got != want {
		t.Errorf("the tap was told %q, want %q", got, want)
	}
	if got := strings.Join(w.sent, "|"); got != "AT+QMTPUBEX=0,1\r|\r\n> hello" {
		t.Errorf("the tap was told of %q", got)
	}
}

// A secret comes back in a URC that has half come when the next command is written: it is masked all the same.
func TestTapMasksWholeSecrets(t *testing.T) {
	var w wire
	play(t, func(d *attest.DCE) {
		d.Answer("AT+QMTCONN=0,\"hunter2hunter2\"\r", "\r\nOK\r\n\r\n+QIND: \"hunter2")
		d.Answer("AT+CSQ\r", "hunter2\"\r\n\r\n+CSQ: 7,99\r\n\r\nOK\r\n")
	}, func(ctx context.Context, e *atcmd.Engine) {
		if _, err := e.Do(ctx, atcmd.Set("+QMTCONN", 0, "hunter2hunter2").WithSecret("hunter2hunter2")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		wantStep(t, ctx, e)
		wantURCs(t, e, `+QIND: "hunter2hunter2"`)
	}, atcmd.WithTap(w.tap))
	if all := strings.Join(append(w.sent, w.received...), "|"); strings.Contains(all, "hunter2") || strings.Count(all, "***") != 2 {
		t.Errorf("the tap was told %q", all)
	}
}
