package modemsim

import (
	"slices"
	"strings"
	"testing"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range faultTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func TestEveryFaultIsTested(t *testing.T) {
	for _, f := range faultTable {
		if faultTests[f.name] == nil {
			t.Errorf("%s has no test that it happens", f.name)
		}
		if f.help == "" || !slices.ContainsFunc(Faults(), func(s string) bool { return strings.HasPrefix(s, f.usage()+" ") }) {
			t.Errorf("%s has no explanation", f.name)
		}
	}
}

func TestFaultSpecs(t *testing.T) {
	for spec, says := range map[string]string{
		"nosuch":       `unknown fault "nosuch"; there are: model=TEXT, `,
		"nosim=1":      "is written nosim",
		"csq":          "is written csq=N",
		"csq=x":        `"x" is no number from 0 to 99`,
		"late-ok=5":    `"5" is no duration such as 250ms`,
		"prompt=round": `"round" is none of its values`,
		"open=1,2":     "too many numbers",
		"open=4x0":     `"0" is no count`,
		"stat=a@1":     `"a" is no number`,
		"pin=":         "empty",
	} {
		_, err := Start(Config{Model: "ec600", Faults: []string{spec}})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %s", spec, err, says)
		}
	}
}
