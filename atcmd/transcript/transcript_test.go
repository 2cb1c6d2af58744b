package transcript_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
	"github.com/atbridge/atbridge/atcmd/transcript"
)

// Whatever bytes an entry holds, its line is one line, holds them all, and is read as what was written.
func TestEntriesComeBack(t *testing.T) {
	check := func(want transcript.Entry) error {
		line := want.String()
		if strings.ContainsAny(line, "\r\n\x00\x1a\x1b\x7f") || strings.HasSuffix(line, " ") {
			return fmt.Errorf("%q cannot be seen", line)
		}
		got, err := transcript.Parse(strings.NewReader(line))
		if err != nil || len(got.Entries) != 1 || got.Entries[0] != want {
			return fmt.Errorf("%s\ncame back as %+v, %v", line, got, err)
		}
		return nil
	}
	for _, text := range []string{" ", "\r\n> ", "  x  ", `"`, `\"`, `\\"`, `\`, "#", "-> x", "中文", "\xff\x00", "\u00a0", "\ufffd", "***"} {
		if err := check(transcript.Entry{At: -1, Text: text, Line: 1}); err != nil {
			t.Error(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringN(1, -1, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, -1), func(b []byte) string { return string(b) })).Draw(t, "text")
		at := time.Duration(rapid.IntRange(0, 1e9).Draw(t, "ms")) * time.Millisecond
		if err := check(transcript.Entry{At: at, Sent: rapid.Bool().Draw(t, "sent"), Text: text, Line: 1}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestParseSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"# a remark\n\n0.1 -> AT\\r\n0.1 AT":   "4: an entry is",
		"0.1 -> ":                              "1: an entry is",
		"-1 -> AT":                             "1: an entry is",
		"NaN <- OK":                            "1: an entry is",
		"1e99 <- OK":                           "1: an entry is",
		`0 <- \"OK`:                            "1: ",
		`0 <- OK\`:                             "1: ",
		"- <- " + strings.Repeat("x", 600<<10): "1: ",
	} {
		if _, err := transcript.Parse(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s...", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# firmware: X\n     0.000 -> AT\\r\n         - <- \\r\\n>\\x20\n")
	f.Add(`0 <- "\\"\"`)
	f.Fuzz(func(t *testing.T, text string) {
		once, err := transcript.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, e := range once.Entries {
			twice, err := transcript.Parse(strings.NewReader(e.String()))
			if err != nil || len(twice.Entries) != 1 || twice.Entries[0].Text != e.Text || twice.Entries[0].Sent != e.Sent {
				t.Errorf("%q became %+v, %v", e.String(), twice, err)
			}
		}
	})
}

// dialogue is a session with a PIN, a password, a payload, an error and URCs.
func dialogue(ctx context.Context, e *atcmd.Engine, pin, password string) string {
	publish := atcmd.Set("+QMTPUBEX", 0, 1, 1, 0, "t", 5)
	publish.Payload = []byte("> \r\n\x1a")
	connect := atcmd.Set("+QMTCONN", 0, "site7", "user", password).WithSecret("user", password)
	connect.Until = "+QMTCONN:"
	said := ""
	for _, c := range []atcmd.Command{atcmd.Exec("E0"), atcmd.Set("+CPIN", pin).WithSecret(pin), connect, publish, atcmd.Read("+COPS")} {
		r, err := e.Do(ctx, c)
		said += fmt.Sprintf("%s: %q %q %q %v\n", c, r.Text(), r.Final, r.Until.Head, err)
	}
	e.Close()
	for u := range e.URCs() {
		said += u.Head + "\n"
	}
	return said
}

// What the tap recorded plays back as the same modem: the same answers, the same URCs, to a host with other secrets.
func TestRecordedPlaysBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session.at")
	var first, second string
	synctest.Test(t, func(t *testing.T) {
		out, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		d, port := attest.New(t)
		go func() {
			d.Expect("ATE0\r")
			d.SendWhole("ATE0\r\r\nOK\r\n")
			d.Answer("AT+CPIN=\"1234\"\r", "AT+CPIN=\"1234\"\r\r\n+CPIN: READY\r\n\r\nOK\r\n")
			time.Sleep(time.Second)
			d.Answer("AT+QMTCONN=0,\"site7\",\"user\",\"hunter2hunter2\"\r", "\r\nOK\r\n\r\n+QIND: \"hunter2hunter2\"\r\n\r\n+QMTCONN: 0,0,0\r\n")
			d.Answer("AT+QMTPUBEX=0,1,1,0,\"t\",5\r", "\r\n> ")
			d.Answer("> \r\n\x1a", "\r\nOK\r\n\r\n+QMTPUBEX: 0,1,0\r\n")
			d.Expect("AT+COPS?\r")
			d.SendWhole("\r\n+CREG: 1\r\n\r\n+CME ERROR: 30\r\n")
		}()
		rec := transcript.NewRecorder(out, "firmware: X1", "source: this test")
		first = dialogue(t.Context(), atcmd.New(port, atcmd.WithTap(rec.Tap)), "1234", "hunter2hunter2")
		if rec.Err() != nil {
			t.Error(rec.Err())
		}
	})
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "1234") || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), `"user"`) {
		t.Errorf("%v; a secret stands in\n%s", err, text)
	}
	if !strings.HasPrefix(string(text), "# firmware: X1\n# source: this test\n     0.000 -> ATE0\\r\n     0.000 <- ATE0\\r\\r\\n\n     0.000 <- OK\\r\\n\n") {
		t.Errorf("the file begins\n%s", text)
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		second = dialogue(t.Context(), atcmd.New(attest.Play(t, file, transcript.Timed())), "0", `another, longer one`)
		if took := time.Since(start); took < time.Second || took > 2*time.Second {
			t.Errorf("played in %v, recorded in 1 s", took)
		}
	})
	for _, s := range []string{"hunter2hunter2", "***"} {
		first = strings.ReplaceAll(first, s, "***")
	}
	if second != first {
		t.Errorf("recorded:\n%s\nplayed:\n%s", first, second)
	}
}

// Play objects, and says where, to all that differs from the transcript.
func TestPlayObjects(t *testing.T) {
	for name, tc := range map[string]struct{ script, host, want string }{
		"as recorded":           {"- -> AT\\r\n- <- OK\n- -> AT\\r\n", "AT\rAT\r", ""},
		"another command":       {"- -> AT\\r\n- <- OK\n- -> AT+CSQ\\r\n", "AT\rAT+CPIN?\r", "line 3, - -> AT+CSQ\\r: the host sent"},
		"one byte more":         {"- -> AT\\r\n", "AT\r\n", `after the end the host sent "\n"`},
		"hung up":               {"- -> AT\\r\n- -> AT\\r\n", "AT\r", "line 2, - -> AT\\r: the host has closed the line"},
		"hung up in a line":     {"- -> ATI\\r\n", "AT", `line 1, - -> ATI\r: the host has closed the line`},
		"a masked place":        {"- -> AT+CPIN=\"***\"\\r\n", "AT+CPIN=\"4711\"\r", ""},
		"two":                   {"- -> AT+X=\"***\",\"***\",1\\r\n", "AT+X=\"a,b\",\"c\",1\r", ""},
		"at the end":            {"- -> token=***\n", "token=abc", ""},
		"is not empty":          {"- -> AT+CPIN=\"***\"\\r\n", "AT+CPIN=\"\"\r", "line 1"},
		"holds no line end":     {"- -> AT+CPIN=***,1\\r\n", "AT+CPIN=0\rAT+CPIN=1,1\r", "line 1"},
		"differs behind a mask": {"- -> AT+X=\"***\",1\\r\n", "AT+X=\"a\",2\r", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			script, err := transcript.Parse(strings.NewReader(tc.script))
			if err != nil {
				t.Fatal(err)
			}
			host, modem := net.Pipe()
			go func() {
				io.WriteString(host, tc.host) // fails when the modem has objected
				if strings.HasPrefix(name, "hung up") {
					host.Close()
				}
			}()
			go io.Copy(io.Discard, host)
			err = script.Play(t.Context(), modem)
			modem.Close()
			host.Close()
			if got := fmt.Sprint(err); (tc.want == "") != (err == nil) || !strings.Contains(got, tc.want) && tc.want != "" {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// A full disk ends the recording with an error, not the session.
func TestRecorderKeepsItsError(t *testing.T) {
	r, w := io.Pipe()
	full := errors.New("no space left")
	r.CloseWithError(full)
	rec := transcript.NewRecorder(w)
	rec.Tap(true, []byte("AT\r"))
	rec.Tap(true, []byte("AT\r"))
	if !errors.Is(rec.Err(), full) {
		t.Error(rec.Err())
	}
}
