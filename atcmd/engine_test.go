package atcmd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
)

// dialect is a small grammar with each kind of counted data, as a driver would set it.
var dialect = atcmd.Grammar{
	URCs:   []string{"+CREG:", "+QMTRECV:", "+QMTPUBEX:", "+QIURC:", "+QIND:", "RDY"},
	Reboot: []string{"RDY", "NORMAL POWER DOWN"},
	Banner: "^boot.rom",
	Block: func(head []byte) (skip, n int, ok bool) {
		s := string(head)
		if _, err := fmt.Sscanf(s, "+QIRD: %d\r", &n); err == nil && strings.HasSuffix(s, "\r") {
			return 1, n, true
		}
		if i := strings.LastIndex(s, `",`); strings.HasPrefix(s, "+QMTRECV:") && strings.HasSuffix(s, ",") && i > 0 {
			if _, err := fmt.Sscanf(s[i:], `",%d,`, &n); err == nil {
				return 0, n + 1, true
			}
		}
		return 0, 0, false
	},
	EditTimeout: 5 * time.Second,
}

// play runs fn as the host and script as the modem, in a bubble where waiting takes no time.
func play(t *testing.T, script func(d *attest.DCE), fn func(ctx context.Context, e *atcmd.Engine), opts ...atcmd.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		e := atcmd.New(port, append([]atcmd.Option{atcmd.WithGrammar(dialect)}, opts...)...)
		scripted := make(chan struct{})
		go func() { defer close(scripted); script(d) }()
		fn(t.Context(), e)
		<-scripted
		e.Close()
	})
}

func heads(lines []atcmd.Line) []string {
	s := []string{}
	for _, l := range lines {
		s = append(s, l.String())
	}
	return s
}

// Whose line is it? Each row is what the modem sends for one command, what the command gets and what the queue gets.
func TestAttribution(t *testing.T) {
	for name, tc := range map[string]struct {
		cmd    atcmd.Command
		answer string
		info   []string
		urcs   []string
		err    string
	}{
		"plain":                    {atcmd.Exec("+CSQ"), "\r\n+CSQ: 20,99\r\n\r\nOK\r\n", []string{"+CSQ: 20,99"}, nil, ""},
		"echo with CR":             {atcmd.Exec("+CSQ"), "AT+CSQ\r\r\n+CSQ: 20,99\r\n\r\nOK\r\n", []string{"+CSQ: 20,99"}, nil, ""},
		"echo with CRLF":           {atcmd.Exec("+CSQ"), "AT+CSQ\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n", []string{"+CSQ: 20,99"}, nil, ""},
		"compact OK":               {atcmd.Exec("+CSQ"), "+CSQ: 20,99\r\nOK\r\n", []string{"+CSQ: 20,99"}, nil, ""},
		"URC before the echo":      {atcmd.Exec("+CSQ"), "\r\n+CREG: 1\r\nAT+CSQ\r\r\n+CSQ: 20,99\r\n\r\nOK\r\n", []string{"+CSQ: 20,99"}, []string{"+CREG: 1"}, ""},
		"URC in the answer":        {atcmd.Exec("+CSQ"), "\r\n+CSQ: 20,99\r\n\r\n+QIND: \"csq\",20,99\r\n\r\nOK\r\n", []string{"+CSQ: 20,99"}, []string{`+QIND: "csq",20,99`}, ""},
		"unknown URC":              {atcmd.Exec("+CSQ"), "\r\n+FOO: 1\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n", []string{"+CSQ: 20,99"}, []string{"+FOO: 1"}, ""},
		"answer like a URC":        {atcmd.Read("+CREG"), "\r\n+CREG: 0,1\r\n\r\nOK\r\n", []string{"+CREG: 0,1"}, nil, ""},
		"URC like the answer":      {atcmd.Read("+CREG"), "\r\n+CREG: 5\r\n\r\n+CREG: 2,1,\"D509\",\"80D\",7\r\n\r\nOK\r\n", []string{`+CREG: 2,1,"D509","80D",7`}, []string{"+CREG: 5"}, ""},
		"long URC like the answer": {atcmd.Read("+CREG"), "\r\n+CREG: 1,\"D509\",\"80D\",7\r\n\r\n+CREG: 2,1\r\n\r\nOK\r\n", []string{"+CREG: 2,1"}, []string{`+CREG: 1,"D509","80D",7`}, ""},
		"result before OK":         {atcmd.Set("+QMTPUBEX", 0, 1), "\r\n+QMTPUBEX: 0,1,0\r\n\r\nOK\r\n", nil, []string{"+QMTPUBEX: 0,1,0"}, ""},
		"bare answer":              {atcmd.Exec("+CGSN"), "\r\n861234567890123\r\n\r\nOK\r\n", []string{"861234567890123"}, nil, ""},
		"ATI":                      {atcmd.Exec("I"), "\r\nQuectel\r\nEC600S\r\nRevision: X\r\n\r\nOK\r\n", []string{"Quectel", "EC600S", "Revision: X"}, nil, ""},
		"chained":                  {atcmd.Exec("+CSQ;+CREG?"), "\r\n+CSQ: 1,99\r\n\r\n+CREG: 0,1\r\n\r\nOK\r\n", []string{"+CSQ: 1,99", "+CREG: 0,1"}, nil, ""},
		"OK in a longer line":      {atcmd.Exec("+X"), "\r\nCONNECT OK\r\n\r\nOK then\r\n\r\nOK\r\n", []string{"CONNECT OK", "OK then"}, nil, ""},
		"ERROR":                    {atcmd.Exec("+X"), "\r\nERROR\r\n", nil, nil, "AT+X: ERROR"},
		"CME":                      {atcmd.Read("+CPIN"), "\r\n+CME ERROR: 10\r\n", nil, nil, "AT+CPIN?: +CME ERROR: 10 (SIM not inserted)"},
		"CME in words":             {atcmd.Read("+CPIN"), "\r\n+CME ERROR: SIM not inserted\r\n", nil, nil, "AT+CPIN?: +CME ERROR: 10 (SIM not inserted)"},
		"CMS":                      {atcmd.Exec("+CMGS"), "\r\n+CMS ERROR: 500\r\n", nil, nil, "AT+CMGS: +CMS ERROR: 500 (unknown error)"},
		"counted data with OK": {atcmd.Set("+QIRD", 0, 1500), "\r\n+QIRD: 12\r\nA\r\nOK\r\n>\x00\x1a\xff\"\r\n\r\nOK\r\n",
			[]string{"+QIRD: 12A\r\nOK\r\n>\x00\x1a\xff\""}, nil, ""},
		"counted data in a URC": {atcmd.Exec("+CSQ"), "\r\n+QMTRECV: 0,0,\"a,b\",6,\"\r\nOK\r\n\"\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n",
			[]string{"+CSQ: 20,99"}, []string{"+QMTRECV: 0,0,\"a,b\",6,\"\r\nOK\r\n\""}, ""},
		"counted data without quotes": {atcmd.Exec("+CSQ"), "\r\n+QMTRECV: 0,0,\"t\",6,\r\nOK\r\n\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n",
			[]string{"+CSQ: 20,99"}, []string{"+QMTRECV: 0,0,\"t\",6,\r\nOK\r\n\r"}, ""},
		"another final": {atcmd.Command{Line: "+QISEND=0,0", Final: func(l string) (bool, error) { return l == "SEND OK", nil }},
			"\r\nOK\r\n\r\nSEND OK\r\n", []string{"OK"}, nil, ""},
		"its error": {atcmd.Command{Line: "+QISEND=0,0", Final: func(l string) (bool, error) { return l == "SEND FAIL", errors.New(l) }},
			"\r\nSEND FAIL\r\n", nil, nil, "AT+QISEND=0,0: SEND FAIL"},
		"noise":                  {atcmd.Exec("+CGMM"), "\x82q\xfe\r\n\x01z\r\nEC600S\r\n\r\nOK\r\n", []string{"EC600S"}, nil, ""},
		"a prompt nobody awaits": {atcmd.Exec("+CSQ"), "\r\n> \r\n+CSQ: 20,99\r\n\r\nOK\r\n", []string{">", "+CSQ: 20,99"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(d *attest.DCE) { d.Answer("AT"+tc.cmd.Line+"\r", tc.answer) },
				func(ctx context.Context, e *atcmd.Engine) {
					resp, err := e.Do(ctx, tc.cmd)
					if got := fmt.Sprint(err); (tc.err == "") != (err == nil) || tc.err != "" && got != tc.err {
						t.Errorf("error %q, want %q", got, tc.err)
					}
					if got := heads(resp.Info); fmt.Sprint(got) != fmt.Sprint(tc.info) {
						t.Errorf("information %q, want %q", got, tc.info)
					}
					for _, want := range tc.urcs {
						if got := (<-e.URCs()).String(); got != want {
							t.Errorf("URC %q, want %q", got, want)
						}
					}
					if n := len(e.URCs()); n > 0 {
						t.Errorf("%d URCs too many", n)
					}
				})
		})
	}
}

func TestPayload(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	pub := atcmd.Set("+QMTPUBEX", 0, 1, 1, 0, "t", 256)
	pub.Payload = every
	for name, prompt := range map[string]string{"blank": "\r\n> ", "bare": "\r\n>", "own line": "\r\n>\r\n", "URC first": "\r\n+CREG: 1\r\n\r\n> "} {
		t.Run(name, func(t *testing.T) {
			play(t, func(d *attest.DCE) {
				d.Answer("AT"+pub.Line+"\r", prompt)
				d.Answer(string(every), "\r\nOK\r\n")
				d.Answer("AT+CSQ\r", "\r\n+CSQ: 1,99\r\n\r\nOK\r\n")
			}, func(ctx context.Context, e *atcmd.Engine) {
				if _, err := e.Do(ctx, pub); err != nil {
					t.Fatal(err)
				}
				if r, err := e.Do(ctx, atcmd.Exec("+CSQ")); err != nil || r.Text() != "+CSQ: 1,99" {
					t.Error(r, err)
				}
			})
		})
	}
}

// The modem ends the command without its prompt, be it with ERROR or with OK: the payload stays here.
func TestPayloadNotSentWithoutPrompt(t *testing.T) {
	for _, final := range []string{"ERROR", "OK", "+CME ERROR: 3"} {
		c := atcmd.Set("+QMTPUBEX", 0, 1)
		c.Payload = []byte("secret plans")
		play(t, func(d *attest.DCE) {
			d.Answer("AT+QMTPUBEX=0,1\r", "\r\n"+final+"\r\n")
			d.Answer("AT\r", "\r\n> \r\nOK\r\n") // a prompt that comes too late is nobody's
			d.Silent()
		}, func(ctx context.Context, e *atcmd.Engine) {
			if _, err := e.Do(ctx, c); !atcmd.Refused(err) {
				t.Errorf("%s: %v", final, err)
			}
			if _, err := e.Do(ctx, atcmd.Exec("")); err != nil {
				t.Errorf("%s: %v", final, err)
			}
			synctest.Wait()
			e.Close()
		})
	}
}

func TestPayloadEchoIsDropped(t *testing.T) {
	g := dialect
	g.PayloadEcho = true
	for _, payload := range []string{"hello", "AT\r\n> OK", "\r\nOK\r\n", "\r\n", "\r\nO", "OK\r"} {
		for name, echo := range map[string]string{"echoed": payload, "not echoed": ""} {
			t.Run(fmt.Sprintf("%q %s", payload, name), func(t *testing.T) {
				c := atcmd.Set("+QMTPUBEX", 0, 1)
				c.Payload = []byte(payload)
				play(t, func(d *attest.DCE) {
					d.Answer("AT+QMTPUBEX=0,1\r", "\r\n> ")
					d.Answer(payload, echo+"\r\nOK\r\n\r\n+QMTPUBEX: 0,1,0\r\n")
				}, func(ctx context.Context, e *atcmd.Engine) {
					if resp, err := e.Do(ctx, c); err != nil {
						t.Error(resp, err)
					}
					for u := range e.URCs() {
						if u.Head == "+QMTPUBEX: 0,1,0" {
							break
						}
					}
				}, atcmd.WithGrammar(g))
			})
		}
	}
}

func TestUntil(t *testing.T) {
	c := atcmd.Set("+QMTOPEN", 0, "h", 1)
	c.Until = "+QMTOPEN:"
	for answer, want := range map[string]string{
		"\r\nOK\r\n\r\n+QMTOPEN: 0,0\r\n": "+QMTOPEN: 0,0",
		"\r\n+QMTOPEN: 0,0\r\n\r\nOK\r\n": "+QMTOPEN: 0,0",
		"\r\nOK\r\n\r\nERROR\r\n":         "ERROR",
	} {
		play(t, func(d *attest.DCE) { d.Answer("AT"+c.Line+"\r", answer) },
			func(ctx context.Context, e *atcmd.Engine) {
				resp, err := e.Do(ctx, c)
				if want == "ERROR" {
					if !atcmd.Refused(err) {
						t.Errorf("%q: %v", answer, err)
					}
				} else if err != nil || resp.Until.Head != want {
					t.Errorf("%q: %q, %v", answer, resp.Until.Head, err)
				}
			})
	}
}

// URCs keep their order, all of them.
func TestURCOrder(t *testing.T) {
	const n = 1000
	play(t, func(d *attest.DCE) {
		for i := range n {
			d.SendWhole(fmt.Sprintf("\r\n+CREG: %d\r\n", i))
		}
	}, func(ctx context.Context, e *atcmd.Engine) {
		for i := range n {
			if got, want := (<-e.URCs()).Head, fmt.Sprintf("+CREG: %d", i); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// Nobody takes the URCs: the engine ends and says so, rather than lose one.
func TestURCOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		e := atcmd.New(port, atcmd.WithGrammar(dialect))
		d.SendWhole(strings.Repeat("\r\n+CREG: 1\r\n", 1025))
		<-e.Done()
		if !errors.Is(e.Err(), atcmd.ErrOverrun) {
			t.Error(e.Err())
		}
	})
}

func TestExclusiveKeepsOthersOut(t *testing.T) {
	play(t, func(d *attest.DCE) {
		d.Answer("AT+A\r", "\r\nOK\r\n")
		d.Answer("AT+B\r", "\r\nOK\r\n")
		d.Answer("AT+C\r", "\r\nOK\r\n")
	}, func(ctx context.Context, e *atcmd.Engine) {
		other := make(chan error, 1)
		err := e.Exclusive(ctx, func(c atcmd.Commander) error {
			if _, err := c.Do(ctx, atcmd.Exec("+A")); err != nil {
				return err
			}
			go func() { _, err := e.Do(ctx, atcmd.Exec("+C")); other <- err }()
			synctest.Wait() // it stands in the queue now
			_, err := c.Do(ctx, atcmd.Exec("+B"))
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err := <-other; err != nil {
			t.Error(err)
		}
	})
}

func TestUnplugged(t *testing.T) {
	play(t, func(d *attest.DCE) { d.Expect("AT\r"); d.HangUp() },
		func(ctx context.Context, e *atcmd.Engine) {
			if _, err := e.Do(ctx, atcmd.Exec("")); !errors.Is(err, atcmd.ErrClosed) {
				t.Error(err)
			}
			if _, err := e.Do(ctx, atcmd.Exec("")); !errors.Is(err, atcmd.ErrClosed) {
				t.Error(err)
			}
		})
}

func TestRebootEndsTheCommand(t *testing.T) {
	for banner, urc := range map[string]string{
		"\r\nRDY\r\n":               "RDY",
		"\r\nNORMAL POWER DOWN\r\n": "NORMAL POWER DOWN",
		"^boot.rom":                 "^boot.rom", // and nothing more
		"\r\n+CSQ: 2^boot.rom'v\xfe\x01'!\\nRDY\r\n": "^boot.rom",
	} {
		play(t, func(d *attest.DCE) {
			d.Answer("AT+CSQ\r", banner)
			d.Answer("AT\r", "\r\nOK\r\n")
		}, func(ctx context.Context, e *atcmd.Engine) {
			if _, err := e.Do(ctx, atcmd.Exec("+CSQ")); !errors.Is(err, atcmd.ErrReboot) {
				t.Errorf("%q: %v", banner, err)
			}
			if _, err := e.Do(ctx, atcmd.Exec("")); err != nil {
				t.Errorf("%q: %v", banner, err)
			}
			if u := <-e.URCs(); u.Head != urc {
				t.Errorf("%q: %v", banner, u)
			}
		})
	}
}
