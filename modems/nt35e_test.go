package modems

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
)

// attached attaches to a scripted module in a bubble.
func attached(t *testing.T, script exchanges, fn func(m *Modem, err error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		scripted := make(chan struct{})
		go func() { defer close(scripted); script.play(d); d.Silent() }()
		m, err := Attach(t.Context(), port, Options{})
		fn(m, err)
		synctest.Wait() // the last line end is still on its way
		if err == nil {
			m.Close()
		}
		<-scripted
	})
}

// The flavour is read where it can be, else tried out.
func TestNT35EProbe(t *testing.T) {
	noEcho := []string{"AT+QISDE=0\r", ok}
	refused, unknown := "\r\n+CME ERROR: 4\r\n", "Lierda6180316"
	for name, tc := range map[string]struct {
		script  exchanges
		flavour string
	}{
		"L by its revision": {identified(revisionL), "L"},
		"Q by its revision": {identified("NT26FCNB30WNA-Q01010950").then(noEcho...), "Q"},
		"L by LGMR":         {identified(unknown).then("AT+LGMR\r", "\r\n"+revisionL+"\r\n"+ok), "L"},
		"Q by ATI":          {identified(unknown).then("AT+LGMR\r", refused, "ATI\r", "\r\nLierda\r\nNT26\r\nRevision: NT26FCNB30WNA-Q01010950\r\n"+ok).then(noEcho...), "Q"},
		"L by its commands": {identified(unknown).then("AT+LGMR\r", refused, "ATI\r", ok, "AT+LMQTTCONN?\r", "\r\n+LMQTTCONN: 0,1\r\n"+ok), "L"},
		"Q by its commands": {identified(unknown).then("AT+LGMR\r", refused, "ATI\r", ok, "AT+LMQTTCONN?\r", "\r\nERROR\r\n", "AT+QMTCONN?\r", ok).then(noEcho...), "Q"},
		"neither":           {identified(unknown).then("AT+LGMR\r", refused, "ATI\r", ok, "AT+LMQTTCONN?\r", refused, "AT+QMTCONN?\r", refused), ""},
	} {
		t.Run(name, func(t *testing.T) {
			attached(t, tc.script, func(m *Modem, err error) {
				if tc.flavour == "" {
					if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "neither Lierda's AT+LMQTT commands (L) nor Quectel's AT+QMT commands (Q)") {
						t.Error(err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if id := m.Identity(); m.Driver() != "nt35e" || m.driver.Flavour != tc.flavour || id.Model != "NT26-KCN" || id.Manufacturer != "Lierda" || id.IMEI != "860000000000001" || id.Revision == "" {
					t.Errorf("%s %s %+v", m.Driver(), m.driver.Flavour, id)
				}
			})
		})
	}
}

// Both firmwares have a mask ROM that says one thing at every start, with no line end.
func TestNT35EBanner(t *testing.T) {
	for _, g := range []atcmd.Grammar{nt35eFlavours["L"].Grammar, nt35eFlavours["Q"].Grammar, union()} {
		if g.Banner != "^boot.rom" {
			t.Errorf("%q", g.Banner)
		}
	}
}

func TestNT35EICCID(t *testing.T) {
	for name, script := range map[string]exchanges{
		"LCCID":   {"AT+LCCID\r\n", "\r\n+LCCID: 8986001234567890123A\r\n" + ok},
		"ECICCID": {"AT+LCCID\r\n", "\r\nERROR\r\n", "AT+ECICCID\r\n", "\r\n+ECICCID: 8986001234567890123A\r\n" + ok},
		"ICCID":   {"AT+LCCID\r\n", "\r\nERROR\r\n", "AT+ECICCID\r\n", ok, "AT+ICCID\r\n", "\r\n+ICCID: \"8986001234567890123A\"\r\n" + ok},
	} {
		t.Run(name, func(t *testing.T) {
			withModem(t, script.play, func(ctx context.Context, m *Modem) {
				if n, err := m.driver.ICCID(ctx, m); n != "8986001234567890123A" || err != nil {
					t.Error(n, err)
				}
			})
		})
	}
}

// What stands is left alone; what differs is written while detached, on the context that the module uses.
func TestNT35EActivate(t *testing.T) {
	up, detach := "\r\n+CGATT: 1\r\n"+ok, "AT+CGATT=0\r\n"
	address := "\r\n+CGPADDR: 1,\"10.1.2.3\"\r\n" + ok
	for name, tc := range map[string]struct {
		pdp    PDPConfig
		script exchanges
		want   string
		err    string
	}{
		"already up": {PDPConfig{}, exchanges{"AT+CGACT?\r\n", "\r\n+CGACT: 1,1\r\n" + ok, "AT+CGATT?\r\n", up, "AT+CGPADDR=1\r\n", address}, "10.1.2.3", ""},
		"context 0": {PDPConfig{}, exchanges{"AT+CGACT?\r\n", "\r\n+CGACT: 0,1\r\n" + ok, "AT+CGATT?\r\n", up,
			"AT+CGPADDR=0\r\n", "\r\n+CGPADDR: 0,10.1.2.3\r\n" + ok}, "10.1.2.3", ""},
		"nothing yet": {PDPConfig{}, exchanges{"AT+CGACT?\r\n", ok, "AT+CGATT?\r\n", "\r\n+CGATT: 0\r\n" + ok, "AT+CGATT=1\r\n", ok,
			"AT+CGACT=1,1\r\n", ok, "AT+CGPADDR=1\r\n", address}, "10.1.2.3", ""},
		"right APN": {PDPConfig{APN: "cmnet"}, exchanges{"AT+CGACT?\r\n", "\r\n+CGACT: 1,1\r\n" + ok, "AT+CGDCONT?\r\n", "\r\n+CGDCONT: 1,\"IP\",\"CMNET\",\"10.1.2.3\",0,0\r\n" + ok,
			"AT+CGAUTH?\r\n", "\r\nERROR\r\n", "AT+CGATT?\r\n", up, "AT+CGPADDR=1\r\n", address}, "10.1.2.3", ""},
		"another APN, with a password": {PDPConfig{APN: "corp", User: "u", Password: "p", Auth: "chap", IP: "ipv4v6"}, exchanges{"AT+CGACT?\r\n", "\r\n+CGACT: 1,1\r\n" + ok,
			"AT+CGDCONT?\r\n", "\r\n+CGDCONT: 1,\"IP\",\"cmnet\"\r\n" + ok, detach, ok, "AT+CGDCONT=1,\"IPV4V6\",\"corp\"\r\n", ok,
			"AT+CGAUTH=1,2,\"u\",\"p\"\r\n", ok, "AT+CGATT?\r\n", "\r\n+CGATT: 0\r\n" + ok, "AT+CGATT=1\r\n", ok,
			"AT+CGACT?\r\n", "\r\n+CGACT: 1,1\r\n" + ok, "AT+CGPADDR=1\r\n", address}, "10.1.2.3", ""},
		"another password": {PDPConfig{APN: "corp", User: "u", Password: "p", Auth: "pap"}, exchanges{"AT+CGACT?\r\n", "\r\n+CGACT: 1,1\r\n" + ok,
			"AT+CGDCONT?\r\n", "\r\n+CGDCONT: 1,\"IP\",\"corp\"\r\n" + ok, "AT+CGAUTH?\r\n", "\r\n+CGAUTH: 1,1,\"u\",\"old\"\r\n" + ok, detach, "\r\nERROR\r\n",
			"AT+CGDCONT=1,\"IP\",\"corp\"\r\n", ok, "AT+CGAUTH=1,1,\"u\",\"p\"\r\n", ok, "AT+CGATT?\r\n", up,
			"AT+CGACT?\r\n", "\r\n+CGACT: 1,0\r\n" + ok, "AT+CGACT=1,1\r\n", ok, "AT+CGPADDR=1\r\n", address}, "10.1.2.3", ""},
		"refused": {PDPConfig{}, exchanges{"AT+CGACT?\r\n", "\r\n+CGACT: 1,0\r\n" + ok, "AT+CGATT?\r\n", up, "AT+CGACT=1,1\r\n", "\r\n+CME ERROR: 30\r\n"}, "", "no network service"},
		"no address": {PDPConfig{}, exchanges{"AT+CGACT?\r\n", "\r\n+CGACT: 1,1\r\n" + ok, "AT+CGATT?\r\n", up,
			"AT+CGPADDR=1\r\n", "\r\n+CGPADDR: 1,\"0.0.0.0\"\r\n" + ok}, "", "has no address"},
		"an APN that could break out": {PDPConfig{APN: "a\"\r\nAT+CFUN=0"}, nil, "", "modem.apn"},
	} {
		t.Run(name, func(t *testing.T) {
			withModem(t, tc.script.play, func(ctx context.Context, m *Modem) {
				got, err := activate27007(ctx, m, tc.pdp)
				if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%q, %v; want %q, %q", got, err, tc.want, tc.err)
				}
			})
		})
	}
}
