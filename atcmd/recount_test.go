package atcmd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A stranger's words before the announcement look like one: "+I: 3,x+I: 5,hello" is data of five bytes. However it is cut,
// the true one is found, and what comes behind is not lost.
func TestFalseAnnouncements(t *testing.T) {
	g := *counted
	g.Block = func(head []byte) (skip, n int, ok bool) {
		return counted.Block(head[max(0, strings.LastIndex(string(head), "+I: ")):])
	}
	g.Whole = func(_, _, tail []byte) bool { return len(tail) == 0 }
	for name, tc := range map[string]struct {
		wire string
		stop bool // nothing more comes
		want []string
	}{
		"too short":            {"+I: 3,x+I: 5,hello\r\nOK\r\n", false, []string{"+I: 3,x+I: 5, hello", "OK "}},
		"a line end in it":     {"+I: 3,x+I: 9,\r\nOK\r\nabc\r\nOK\r\n", false, []string{"+I: 3,x+I: 9, \r\nOK\r\nabc", "OK "}},
		"too long":             {"+I: 20,x+I: 5,hello\r\nOK\r\n+J: 1\r\n", false, []string{"+I: 20,x+I: 5, hello", "OK ", "+J: 1 "}},
		"so long that it ends": {"+I: 999,x+I: 5,hello\r\nOK\r\n", true, []string{"+I: 999,x+I: 5, hello", "OK "}},
		"two":                  {"+I: 3,x+I: 999,y+I: 5,hello\r\nOK\r\n", true, []string{"+I: 3,x+I: 999,y+I: 5, hello", "OK "}},
		"none that is true":    {"+I: 3,abcdef\r\nOK\r\n", false, []string{"+I: 3, abc", "OK "}},
	} {
		for cuts, chunks := range map[string][][]byte{"whole": {[]byte(tc.wire)}, "bytes": single([]byte(tc.wire))} {
			s, got := scanner{grammar: &g}, []string(nil)
			emit := func(ev event) { got = append(got, fmt.Sprintf("%s %s", ev.head, ev.block)) }
			for _, c := range chunks {
				s.feed(c, emit)
			}
			if tc.stop {
				s.abandon(emit)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s, %s: %q, want %q", name, cuts, got, tc.want)
			}
		}
	}
}
