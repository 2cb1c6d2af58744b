package atcmd

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBuilders(t *testing.T) {
	for want, c := range map[string]Command{
		"AT+CSQ":                           Exec("+CSQ"),
		"AT+CREG?":                         Read("+CREG"),
		"AT+QMTCFG=?":                      Test("+QMTCFG"),
		`AT+QMTOPEN=0,"host.example",1883`: Set("+QMTOPEN", 0, "host.example", 1883),
		`AT+X="",1,0,0xFFFF`:               Set("+X", "", true, false, Literal("0xFFFF")),
		`AT+QMTCONN=0,"id","u","***"`:      Set("+QMTCONN", 0, "id", "u", "hunter2").WithSecret("hunter2", ""),
	} {
		if got := c.String(); got != want || c.check() != nil {
			t.Errorf("%s, %v; want %s", got, c.check(), want)
		}
	}
}

// Whatever stands in an argument, the line is one command line whose quotes close where the builder closed them.
func TestNoArgumentBreaksOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		arg := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a"\r\n\x00\x1a\x1b;,\\/+#]{0,12}`)).Draw(t, "arg")
		c := Set("+QMTSUB", 0, 1, arg, 1)
		if err := c.check(); err != nil {
			if !errors.Is(err, ErrArgument) {
				t.Fatal(err)
			}
			return
		}
		if want := `+QMTSUB=0,1,"` + arg + `",1`; c.Line != want {
			t.Fatalf("%q, want %q", c.Line, want)
		}
		if strings.ContainsAny(arg, "\"\r\n\x00\x1a\x1b") || strings.Count(c.Line, `"`) != 2 {
			t.Fatalf("%q passed", arg)
		}
	})
}

func TestQuoteRefuses(t *testing.T) {
	for _, arg := range []string{`"`, `a"b`, `a",1,"b`, `""`, "a\rb", "a\nb", "a\x00b", "a\x1ab", "a\x1bb", "a\x7f"} {
		if c := Set("+X", arg); !errors.Is(c.check(), ErrArgument) {
			t.Errorf("%q passed: %s", arg, c.Line)
		}
	}
}

func TestRawLineIsChecked(t *testing.T) {
	for _, line := range []string{"+CSQ\r", "+X=\"a", "+CSQ\nAT+CFUN=0", "\x1a", "\x00", "I\x1b"} {
		if err := (&Command{Line: line}).check(); !errors.Is(err, ErrArgument) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestParseParams(t *testing.T) {
	for line, want := range map[string]string{
		"+CSQ: 20,99":                          "20|99",
		"+MQTTSTATU :1":                        "1",
		`+CREG: 2,1,"D509","80D413D",7`:        `2|1|"D509"|"80D413D"|7`,
		`+CCLK: "19/09/09, 01:32:52+32"`:       `"19/09/09, 01:32:52+32"`,
		`+QFLDS: 578847, 917503`:               "578847|917503",
		`+COPS: (1,"A"),,(0,1)`:                "error",
		`+X:`:                                  "",
		`+X: "a`:                               "error",
		`OK`:                                   "error",
		`+QIGETERROR: 552, invalid parameters`: "552|invalid parameters",
		`+X: -1,`:                              "-1|",
		`+QMTOPEN: 0,"iot.example.com",1883`:   `0|"iot.example.com"|1883`,
		`+QNWINFO: "FDD LTE",46001,"LTE BAND 3", 1650`: `"FDD LTE"|46001|"LTE BAND 3"|1650`,
	} {
		_, p, err := ParseParams(line)
		var got []string
		for _, f := range p {
			if f.Quoted {
				f.Text = `"` + f.Text + `"`
			}
			got = append(got, f.Text)
		}
		s := strings.Join(got, "|")
		if err != nil {
			s = "error"
		}
		if s != want {
			t.Errorf("%s: %s, %v; want %s", line, s, err, want)
		}
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add(`+CREG: 2,1,"D509","80D413D",7`)
	f.Add(`+X: "`)
	f.Fuzz(func(t *testing.T, line string) {
		_, p, err := ParseParams(line)
		if err == nil && len(p) == 0 {
			t.Error("no error and no field")
		}
	})
}

func TestErrorWords(t *testing.T) {
	for line, want := range map[string]string{
		"+CME ERROR: 10":               "+CME ERROR: 10 (SIM not inserted)",
		"+CME ERROR:3":                 "+CME ERROR: 3 (operation not allowed)",
		"+CME ERROR: 421":              "+CME ERROR: 421",
		"+CME ERROR: sim busy":         "+CME ERROR: 14 (SIM busy)",
		"+CME ERROR: the sky has gone": "+CME ERROR: the sky has gone",
		"+CMS ERROR: 330":              "+CMS ERROR: 330 (SMSC address unknown)",
	} {
		if done, err := final(&Command{}, line); !done || err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v", line, done, err)
		}
	}
}
