package modems

import (
	"context"
	"fmt"

	"github.com/atbridge/atbridge/atcmd"
)

// The Quectel EC600 and what speaks as it does: LTE Cat.1 modules of the ASR and Unisoc platforms. Sources, named in
// the files of the family by these keys:
//
//	MQTT  Quectel EC200x&EC600S&EG912Y MQTT Application Note V1.0 (2020-08-12)
//	TCP   Quectel EC200x&EG912Y&EC600S TCP(IP) Application Note V1.2
//	AT    Quectel EC200x&EC600S&EG912Y AT Commands Manual V1.1 (2020-07-07, preliminary)
//
// Logs of an EC600S, an EC800M and an EC200U show where firmware differs from them.
func init() {
	Register(&Driver{
		Name:     "ec600",
		Title:    "Quectel EC600 (S, N, U, M) and relatives that speak QMT commands",
		TLS:      "1.2, own authority and client certificate; dates are not checked",
		Checked:  "documentation and published logs of an EC600S, an EC800M and an EC200U, through the simulator; no module of our own yet",
		Models:   []string{"EC600", "EC800", "EC200", "EG800", "EG912", "EG915"},
		Messages: "+QMTRECV:",
		Grammar:  quectelGrammar(true, false, 0),
		Setup: []atcmd.Command{
			atcmd.Set("+QISDE", 0), // no echo of socket payloads; the default is 1 (TCP 2.2.16)
		},
		Attach:   quectelURCPort,
		Activate: quectelActivate, Deactivate: quectelDeactivate,
		ICCID:   quectelICCID,
		Socket:  quectelSockets{},
		HasMQTT: atcmd.Test("+QMTOPEN"),
		MQTT:    quectelMQTT{payload: 1500, window: 5}, // MQTT 3.2.7

		AliyunLogin: true, // MQTT 3.2.1, "aliauth"

		Disruptive: []string{"+QIACT", "+QIDEACT", "+QICSGP", "+QPOWD", "+QRST", "+QURCCFG", "+QMTCFG", "+QMTOPEN", "+QMTCLOSE", "+QMTCONN", "+QMTDISC", "+QIOPEN", "+QICLOSE", "+QISEND", "+QIRD", "+QISWTMD", "+QICFG",
			"+QMTSUB", "+QMTUNS", "+QMTPUB", "+QMTPUBEX", "+QSSLCFG", "+QFDEL", "+QISDE", "+QPRTPARA", "+QSCLK", "+QCFG"},
		Commands:  quectelCommands,
		Results:   quectelResults,
		Secretive: []Secretive{{"+QICSGP", 1, true}, {"+QMTCONN", 1, false}, {"+QMTCFG", 1, true}},
	})
}

// quectelURCPort makes sure that URCs come out of the port in use. The setting is written to the module's memory at
// once (AT 2.25), so it is read first and written only if it differs.
func quectelURCPort(ctx context.Context, m *Modem) error {
	want := m.opts.Port
	if want == "" {
		want = "uart1"
	}
	r, err := m.Do(ctx, atcmd.Set("+QURCCFG", "urcport"))
	if atcmd.Refused(err) {
		return nil // firmware without the setting sends URCs to every port, or to the one in use
	}
	if err != nil {
		return fmt.Errorf("asking where URCs go: %w", err)
	}
	if len(r.Info) > 0 {
		if _, p, err := atcmd.ParseParams(r.Info[0].Head); err == nil && (p.Text(1) == want || p.Text(1) == "all") {
			return nil
		}
	}
	return m.try(ctx, atcmd.Set("+QURCCFG", "urcport", want))
}

// quectelICCID reads the SIM's number, which may hold letters.
func quectelICCID(ctx context.Context, c atcmd.Commander) (string, error) {
	r, err := c.Do(ctx, atcmd.Exec("+QCCID"))
	return bare(r, "+QCCID"), err
}
