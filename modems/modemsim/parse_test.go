package modemsim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseArgs(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string // nil: spoilt
	}{
		{``, []string{""}},
		{`0`, []string{"0"}},
		{`0,"a,b",1`, []string{"0", "a,b", "1"}},
		{` 0 , "a" , 1 `, []string{"0", "a", "1"}},
		{`"",""`, []string{"", ""}},
		{`1,`, []string{"1", ""}},
		{`"a`, nil},
		{`"a"b`, nil},
		{`a"b"`, nil},
		{`"a\"b"`, nil},
		{`"a""b"`, nil},
	} {
		a := parseArgs(c.text)
		var got []string
		for _, p := range a.list {
			got = append(got, p.text)
		}
		if a.bad != (c.want == nil) || !a.bad && !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, bad %t", c.text, got, a.bad)
		}
	}
}

// desk is a module without a line: a test hands it bytes and takes what it prints.
func desk() *dce {
	s := &Sim{cfg: Config{Latency: "none"}}
	s.faults, _ = parseFaults(nil)
	return newDCE(s, newEC600)
}

func (d *dce) typed(s string) (printed string) {
	d.receive(piece{data: []byte(s), end: d.now.Add(time.Millisecond)})
	for t := d.earliest(); t != nil && !t.at.After(d.now); t = d.earliest() {
		d.fire(t)
	}
	d.settle()
	var b strings.Builder
	for _, g := range d.out {
		b.Write(g.data)
	}
	d.out = nil
	return b.String()
}

// Whatever is typed, the module survives, and answers AT once any payload it may have
// asked for is over.
func TestAnythingTyped(t *testing.T) {
	words := []string{
		"AT", "at", "+", "&", "E0", "E1", "V1", "Z", "&F", "&W", "S3", "?", "=", "=?", ",", `"`, ";", "\r", "\n", "\b", " ", "A/",
		"+QMTCFG", `="willex",0,1,1,0,"w",9`, `"version"`, "+QICSGP=1", "+QIACT=1", "+QMTOPEN=0", "+CGDCONT=1", `"IP"`,
		"+CPIN=", "+COPS", "+CLCK", "+CCLK=", "+QMTRECV", "+QSSLCFG", "+QCFG", "+QIDNSCFG=1", "0", "1", "99999999999999999999", "-1", "\x00", "\xff", "x",
	}
	rapid.Check(t, func(t *rapid.T) {
		d := desk()
		for _, w := range rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(words), rapid.String())).Draw(t, "words") {
			d.typed(w)
		}
		d.typed(strings.Repeat("x", 300))
		d.typed("\r")
		if got := d.typed("AT\r"); !strings.HasSuffix(got, "\r\nOK\r\n") {
			t.Fatalf("AT answers %q", got)
		}
	})
}
