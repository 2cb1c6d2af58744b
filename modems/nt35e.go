package modems

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/atbridge/atbridge/atcmd"
)

// The Lierda NT35E and its relatives: LTE Cat.1 bis modules on EigenComm's EC618 and EC71x. One manual, the Lierda
// NT35E&NT26E-CN AT command manual, covers NT35E and NT26E. The same hardware is sold with two firmwares: "L" with
// AT+LMQTT commands, "Q" with Quectel's AT+QMT ones. Sources, named in the files of the family by these keys:
//
//	AT    Lierda NT35E&NT26E-CN AT command manual, as quoted in an application article about Aliyun
//	MQTT  Lierda NT26 MQTT protocol commands, as restated by an open library for NT26-KCN with notes from hardware
//	field drivers in products with NT26, NT26E and NT26K
//
// No complete log of an NT35E is public: where these leave something open, every form is taken.
func init() {
	Register(&Driver{
		Name:     "nt35e",
		Models:   []string{"NT35", "NT26", "NT21"},
		Probe:    nt35eProbe,
		Messages: "+LMQTTURC:",
		Grammar:  lierdaGrammar(true),
		Flavours: []*Driver{nt35eFlavours["L"], nt35eFlavours["Q"]},

		Disruptive: []string{"+ECRST", "+LMQTTCFG", "+LMQTTOPEN", "+LMQTTCLOSE", "+LMQTTCONN", "+LMQTTDISC", "+LMQTTSUBUNSUB", "+LMQTTPUB", "+LMQTTPUBEX", "+LMQTTREAD"},
		Commands:   slices.Concat(lierdaCommands, quectelCommands),
		Results:    slices.Concat(lierdaResults, quectelResults),
		Secretive:  []Secretive{{"+LMQTTCONN", 1, false}, {"+LMQTTCFG", 1, true}},
	})
}

const nt35eChecked = "documentation and drivers in the field, through the simulator; no transcript, no module of our own yet"

// nt35eRestart: which of them an NT35E knows is not documented; relatives know one each.
var nt35eRestart = []string{"+CFUN=1,1", "+ECRST", "+RESET"}

var nt35eFlavours = map[string]*Driver{
	"L": {
		Name:    "nt35e",
		Flavour: "L",
		Title:   "Lierda NT35E, NT26 and relatives",
		TLS:     "no",
		Checked: nt35eChecked,
		Grammar: lierdaGrammar(true),
		Restart: nt35eRestart,
		ICCID:   lierdaICCID,
		MQTT:    lierdaMQTT{window: 4},

		AliyunLogin: true,

		NoSocket: "the TCP commands of Lierda's L firmware are not documented; the Q firmware of the same module has them, and this driver, too",
	},
	"Q": {
		Name:       "nt35e",
		Flavour:    "Q",
		Title:      "the same with Quectel's commands",
		TLS:        "as the EC600",
		Checked:    nt35eChecked,
		Grammar:    quectelGrammar(true, false, 0),
		Setup:      []atcmd.Command{atcmd.Set("+QISDE", 0)}, // as the EC600
		Activate:   quectelActivate,
		Deactivate: quectelDeactivate,
		Restart:    nt35eRestart,
		ICCID:      lierdaICCID,
		Socket:     quectelSockets{},
		HasMQTT:    atcmd.Test("+QMTOPEN"),
		MQTT:       quectelMQTT{payload: 1500, window: 5}, // as the EC600, after whose commands it is made

		AliyunLogin: true,
	},
}

// nt35eRevision finds the flavour in a revision such as NT26KCNA00NNA-L01010950.
var nt35eRevision = regexp.MustCompile(`-([LQ])\d{6,8}`)

// nt35eProbe reads the flavour from the revision, and where that does not say it, tries which commands there are.
func nt35eProbe(ctx context.Context, c atcmd.Commander, id Identity) (*Driver, error) {
	revision := id.Revision
	for _, ask := range []string{"+LGMR", "I"} {
		if nt35eRevision.MatchString(revision) {
			break
		}
		r, err := c.Do(ctx, atcmd.Exec(ask))
		if err != nil && !atcmd.Refused(err) {
			return nil, err
		}
		revision += "\n" + r.Text()
	}
	if found := nt35eRevision.FindStringSubmatch(revision); found != nil {
		return nt35eFlavours[found[1]], nil
	}
	for _, try := range []struct{ name, flavour string }{{"+LMQTTCONN", "L"}, {"+QMTCONN", "Q"}} {
		_, err := c.Do(ctx, atcmd.Read(try.name))
		if err == nil {
			return nt35eFlavours[try.flavour], nil
		}
		if !atcmd.Refused(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the firmware %q has neither Lierda's AT+LMQTT commands (L) nor Quectel's AT+QMT commands (Q)",
		ErrUnsupported, id.Revision)
}

// lierdaICCID reads the SIM's number by Lierda's command, or by one of those that its firmware is built on.
func lierdaICCID(ctx context.Context, c atcmd.Commander) (string, error) {
	for _, name := range []string{"+LCCID", "+ECICCID", "+ICCID"} {
		r, err := c.Do(ctx, atcmd.Exec(name))
		if err != nil && !atcmd.Refused(err) {
			return "", err
		}
		if n := bare(r, name); n != "" {
			return n, nil
		}
	}
	return "", fmt.Errorf("%w: the module does not tell the ICCID", ErrUnsupported)
}
