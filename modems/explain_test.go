package modems

import (
	"slices"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	for line, want := range map[string]string{
		"+CSQ: 19,99":                    "-75 dBm, fair",
		"+CSQ: 28,99":                    "-57 dBm, excellent",
		"+CSQ: 99,99":                    "no signal, or not known",
		"+CESQ: 99,99,255,255,19,51":     "RSRP -90 dBm",
		"+CME ERROR: 10":                 "SIM not inserted",
		"+CMS ERROR: 321":                "invalid memory index",
		"+CPIN: READY":                   "the SIM is ready",
		"+CEREG: 0,1":                    "registered, at home",
		"+CEREG: 5":                      "registered, roaming",
		`+CEREG: 2,"D509","80D413D",7`:   "not registered, searching",
		`+CEREG: 2,3,"D509","80D413D",7`: "the network denies it",
		"+CGEV: NW PDN DEACT 1":          "a data connection has ended",
		"+QMTSTAT: 0,1":                  "closed by the server",
		"+QMTSTAT: 0,2":                  "the broker did not answer PINGREQ",
		"+QMTOPEN: 0,0":                  "the network to the broker is open",
		"+QMTOPEN: 0,4":                  "the name of the broker could not be resolved",
		"+QMTCONN: 0,0,0":                "connected to the broker",
		"+QMTCONN: 0,0,5":                "the broker refused the connection: not authorised",
		"+QMTCONN: 0,2":                  "connecting",
		"+QMTPUBEX: 0,7,0":               "the broker has it",
		"+QMTPUBEX: 0,7,1,2":             "sent again, no acknowledgement yet",
		"+QMTSUB: 0,1,0,1":               "subscribed, QoS 1",
		"+QMTSUB: 0,1,0,128":             "the broker refuses the subscription",
		`+QIURC: "pdpdeact",1`:           "the network has ended the data connection",
		"+QIOPEN: 3,566":                 "nobody answers there, or it refuses",
		"+LMQTTURC: STATS,0,1":           "closed by the server",
		"+LMQTTOPEN: 0,-1,4":             "the name of the broker could not be resolved",
		"+MQTTSTATU :1":                  "connected to the broker",
		"CONNACK OK":                     "connected to the broker",
		`+MQTTURC: "conn",0,5`:           "the broker did not answer PINGREQ",
		"OK":                             "",
		"+QMTSTAT: x":                    "",
		"+QMTSTAT:":                      "",
		"+CSQ: ":                         "",
		`+CSQ: "`:                        "",
		"CONNACK OK and more":            "",
	} {
		if got := Explain("", line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	if got := Explain("air724ug", "+QMTSTAT: 0,1"); got != "" {
		t.Errorf("another dialect: %q", got)
	}
}

// What is completed is a command that can be typed, with a word on it, and each driver's own are among them.
func TestKnown(t *testing.T) {
	for driver, want := range map[string]string{"ec600": "+QMTOPEN?", "air724ug": "+MQTTSTATU", "nt35e": "+LMQTTCONN?", "ml307": "+MCCID", "generic": "+CSQ"} {
		known := Known(driver)
		if !slices.ContainsFunc(known, func(k KnownCommand) bool { return k.Name == want }) {
			t.Errorf("%s does not know %s", driver, want)
		}
		for _, k := range known {
			if k.Does == "" || strings.ContainsAny(k.Name, " \r\n") {
				t.Errorf("%s: %+v", driver, k)
			}
		}
	}
	if slices.ContainsFunc(Known("generic"), func(k KnownCommand) bool { return strings.HasPrefix(k.Name, "+Q") }) {
		t.Error("27.007 has no AT+Q...")
	}
	if n, all := len(Known("generic")), len(Known("")); all < n+50 {
		t.Errorf("without a driver there are %d commands, with 27.007 alone %d", all, n)
	}
}
