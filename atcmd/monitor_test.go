package atcmd_test

import (
	"strings"
	"testing"

	"github.com/atbridge/atbridge/atcmd"
)

// What a monitor makes of bytes that pass in pieces: '>' before what the host sends, '<' before what the modem sends.
func TestMonitor(t *testing.T) {
	for name, tc := range map[string]struct{ passed, want []string }{
		"a command": {[]string{">AT+CSQ\r", "<\r\n+CSQ: 1,99\r\n\r\nOK\r\n"}, []string{">AT+CSQ\r", "<\r\n+CSQ: 1,99\r\n", "<\r\nOK\r\n"}},
		"typed, with echo": {[]string{">A", "<A", ">T+P=hunter2", "<T+P=hun", ">\r", "<ter2\r\r\nOK\r\n"},
			[]string{">AT+P=***\r", "<AT+P=***\r\r\n", "<OK\r\n"}},
		"a URC while it is typed": {[]string{">AT+P=hun", "<\r\nRING\r\n", ">ter2\r", "<\r\nOK\r\n"},
			[]string{"<\r\nRING\r\n", ">AT+P=***\r", "<\r\nOK\r\n"}},
		"CRLF hosts":            {[]string{">AT\r\n", "<\r\nOK\r\n", ">ATI\r\n", "<\r\nOK\r\n"}, []string{">AT\r", "<\r\nOK\r\n", ">\nATI\r", "<\r\nOK\r\n", ">\n"}},
		"a payload":             {[]string{">AT+S=5\r", "<\r\n> ", ">he", ">llo", "<\r\nSEND OK\r\n"}, []string{">AT+S=5\r", "<\r\n> ", ">hello", "<\r\nSEND OK\r\n"}},
		"a prompt alone":        {[]string{">AT+S=5\r", "<\r\n>", ">hello", "< \r\nOK\r\n"}, []string{">AT+S=5\r", "<\r\n>", ">hello", "< \r\n", "<OK\r\n"}},
		"a payload like a line": {[]string{">AT+S=2\r", "<\r\n> ", ">AT", "<\r\nOK\r\n"}, []string{">AT+S=2\r", "<\r\n> ", ">AT", "<\r\nOK\r\n"}},
		"a file":                {[]string{">AT+F\r", "<\r\nCONNECT\r\n", ">AT\r\nx", "<\r\nOK\r\n"}, []string{">AT+F\r", "<\r\nCONNECT\r\n", ">AT\r\nx", "<\r\nOK\r\n"}},
		"a secret that returns": {[]string{">AT+P=hunter2\r", "<\r\nOK\r\n", "<\r\n+Q: hunter2\r\n"}, []string{">AT+P=***\r", "<\r\nOK\r\n", "<\r\n+Q: ***\r\n"}},
		"a private answer":      {[]string{">AT+P?\r", "<\r\n+P: hunter3\r\n"}, []string{">AT+P?\r", "<\r\n+P: ***\r\n"}},
		"the rest":              {[]string{"<\xfe\xff", ">AT"}, []string{"<\xfe\xff", ">AT"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			m := atcmd.NewMonitor(func(sent bool, text []byte) { got = append(got, "<>"[btoi(sent):][:1]+string(text)) }, func(line string) atcmd.Command {
				c := atcmd.Command{Line: strings.TrimPrefix(line, "AT"), Private: strings.HasPrefix(line, "AT+P")}
				if _, secret, ok := strings.Cut(line, "="); ok && c.Private {
					c.Secret = []string{secret}
				}
				return c
			})
			for _, p := range tc.passed {
				if p[0] == '>' {
					m.FromHost([]byte(p[1:]))
				} else {
					m.FromModem([]byte(p[1:]))
				}
			}
			m.Flush()
			if strings.Join(got, "|") != strings.Join(tc.want, "|") {
				t.Errorf("told %q, want %q", got, tc.want)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
