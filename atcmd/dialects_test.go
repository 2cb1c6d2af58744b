package atcmd_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
)

// announcements are the lines behind or inside which the makers' stacks send counted data: the line up to there with its
// count, how many bytes of framing stand between, and how many more belong to the data (quotes).
var announcements = []struct {
	line       *regexp.Regexp
	skip, more int
}{
	{regexp.MustCompile(`^\+QIRD: (\d+)\r$`), 1, 0},
	{regexp.MustCompile(`^\+QIURC: "recv",\d+,(\d+)\r$`), 1, 0},
	{regexp.MustCompile(`^CONNECT (\d+)\r$`), 1, 0},
	{regexp.MustCompile(`^\+RECEIVE,\d+,(\d+):$`), 2, 0},
	{regexp.MustCompile(`^\+IPD,(\d+):$`), 0, 0},
	{regexp.MustCompile(`^\+MSUB: ?(?:"[^"]*"|[^",]*),(\d+) byte,$`), 0, 0},
	{regexp.MustCompile(`^\+HTTPREAD: (\d+)\r$`), 1, 0},
	{regexp.MustCompile(`^\+QMTRECV: \d+,\d+,"[^"]*",(\d+),$`), 0, 2},
	{regexp.MustCompile(`^\+LMQTTURC: ?RECV,\d+,\d+,"[^"]*",(\d+),$`), 0, 0},
}

// makers is the grammar of all of them at once.
var makers = atcmd.Grammar{
	URCs:        []string{"+CREG:", "+CEREG:", "+QIURC:", "+QIOPEN:", "+RECEIVE,", "+IPD,", "+MSUB:", "+LMQTTURC:", "CLOSED", "CONNACK OK", "PUBACK", "SUBACK"},
	EditTimeout: 5 * time.Second,
	Block: func(head []byte) (skip, n int, ok bool) {
		for _, a := range announcements {
			if m := a.line.FindSubmatch(head); m != nil {
				n, err := strconv.Atoi(string(m[1]))
				return a.skip, n + a.more, err == nil && n <= 4096
			}
		}
		return 0, 0, false
	},
}

// ends declares the final result codes of a command: good ones, and with a '!' before them bad ones.
func ends(codes ...string) func(string) (bool, error) {
	return func(line string) (bool, error) {
		if slices.Contains(codes, line) {
			return true, nil
		}
		if slices.Contains(codes, "!"+line) {
			return true, errors.New(line)
		}
		return false, nil
	}
}

func begins(prefix string) func(string) (bool, error) {
	return func(line string) (bool, error) { return strings.HasPrefix(line, prefix), nil }
}

func address(line string) (bool, error) {
	return strings.Count(line, ".") == 3 && strings.Trim(line, "0123456789.") == "", nil
}

// A command ends where its maker says: OK is then a line like others, or does not come at all.
func TestDeclaredFinals(t *testing.T) {
	start := ends("CONNECT OK", "ALREADY CONNECT", "CONNECT", "!CONNECT FAIL")
	for name, tc := range map[string]struct {
		cmd    atcmd.Command
		answer string
		info   []string
		final  string
		urcs   []string
		err    string
	}{
		"SEND OK":           {withData("+QISEND=0,5", ends("SEND OK", "!SEND FAIL")), "\r\n> |\r\nSEND OK\r\n", nil, "SEND OK", nil, ""},
		"SEND FAIL":         {withData("+QISEND=0,5", ends("SEND OK", "!SEND FAIL")), "\r\n> |\r\nSEND FAIL\r\n", nil, "SEND FAIL", nil, "AT+QISEND=0,5: SEND FAIL"},
		"SEND OK of link 1": {withData("+CIPSEND=1,5", ends("1,SEND OK", "1, SEND OK")), "\r\n> |\r\n1, SEND OK\r\n", nil, "1, SEND OK", nil, ""},
		"DATA ACCEPT":       {withData("+CIPSEND=5", begins("DATA ACCEPT:")), "\r\n> |\r\nDATA ACCEPT:5\r\n", nil, "DATA ACCEPT:5", nil, ""},
		"ERROR all the same": {withData("+CIPSEND=5", ends("SEND OK")), "\r\n+CME ERROR: 3\r\n|", nil, "+CME ERROR: 3", nil,
			"AT+CIPSEND=5: +CME ERROR: 3 (operation not allowed)"},
		"CONNECT OK":       {atcmd.Command{Line: `+CIPSTART="TCP","h",1`, Final: start}, "\r\nOK\r\n\r\nCONNECT OK\r\n", []string{"OK"}, "CONNECT OK", nil, ""},
		"ALREADY CONNECT":  {atcmd.Command{Line: `+MIPSTART="h","1884"`, Final: start}, "\r\nOK\r\n\r\nALREADY CONNECT\r\n", []string{"OK"}, "ALREADY CONNECT", nil, ""},
		"CONNECT":          {atcmd.Command{Line: `+CIPSTART="TCP","h",1`, Final: start}, "\r\nOK\r\n\r\nCONNECT\r\n", []string{"OK"}, "CONNECT", nil, ""},
		"CONNECT FAIL":     {atcmd.Command{Line: `+CIPSTART="TCP","h",1`, Final: start}, "\r\nOK\r\n\r\nSTATE: IP STATUS\r\n\r\nCONNECT FAIL\r\n", []string{"OK", "STATE: IP STATUS"}, "CONNECT FAIL", nil, `AT+CIPSTART="TCP","h",1: CONNECT FAIL`},
		"CLOSE OK":         {atcmd.Command{Line: "+CIPCLOSE", Final: ends("CLOSE OK")}, "\r\nCLOSE OK\r\n", nil, "CLOSE OK", nil, ""},
		"SHUT OK":          {atcmd.Command{Line: "+CIPSHUT", Final: ends("SHUT OK", "OK")}, "\r\nSHUT OK\r\n", nil, "SHUT OK", nil, ""},
		"SHUT OK as OK":    {atcmd.Command{Line: "+CIPSHUT", Final: ends("SHUT OK", "OK")}, "\r\nOK\r\n", nil, "OK", nil, ""},
		"a bare address":   {atcmd.Command{Line: "+CIFSR", Final: address}, "\r\n100.86.47.178\r\n", nil, "100.86.47.178", nil, ""},
		"no address":       {atcmd.Command{Line: "+CIFSR", Final: address}, "\r\nERROR\r\n", nil, "ERROR", nil, "AT+CIFSR: ERROR"},
		"STATE after OK":   {atcmd.Command{Line: "+CIPSTATUS", Final: begins("STATE:")}, "\r\nOK\r\n\r\nSTATE: IP STATUS\r\n", []string{"OK"}, "STATE: IP STATUS", nil, ""},
		"URC before STATE": {atcmd.Command{Line: "+CIPSTATUS", Final: begins("STATE:")}, "\r\nOK\r\n\r\n+CREG: 1\r\n\r\nSTATE: CONNECT OK\r\n", []string{"OK"}, "STATE: CONNECT OK", []string{"+CREG: 1"}, ""},
		"STATE of six links": {atcmd.Command{Line: "+CIPSTATUS", Final: begins("C: 5,")},
			"\r\nOK\r\n\r\nSTATE: IP PROCESSING\r\n\r\nC: 0,,\"\",\"\",\"\",\"INITIAL\"\r\n\r\nC: 5,,\"\",\"\",\"\",\"INITIAL\"\r\n",
			[]string{"OK", "STATE: IP PROCESSING", `C: 0,,"","","","INITIAL"`}, `C: 5,,"","","","INITIAL"`, nil, ""},
		"CONNECT asks for a file": {atcmd.Command{Line: `+QFUPL="f",5`, Payload: []byte("hello"), Prompt: "CONNECT"},
			"\r\nCONNECT\r\n|\r\n+QFUPL: 5,3e00\r\n\r\nOK\r\n", []string{"+QFUPL: 5,3e00"}, "OK", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(d *attest.DCE) {
				before, after, _ := strings.Cut(tc.answer, "|")
				d.Answer("AT"+tc.cmd.Line+"\r", before)
				if after != "" {
					d.Answer("hello", after)
				}
				d.Answer("AT+CSQ\r", csq)
			}, func(ctx context.Context, e *atcmd.Engine) {
				resp, err := e.Do(ctx, tc.cmd)
				if got := fmt.Sprint(err); (tc.err == "") != (err == nil) || tc.err != "" && got != tc.err {
					t.Errorf("error %q, want %q", got, tc.err)
				}
				if got := heads(resp.Info); fmt.Sprint(got) != fmt.Sprint(tc.info) || resp.Final != tc.final {
					t.Errorf("%q, then %q; want %q, then %q", got, resp.Final, tc.info, tc.final)
				}
				wantStep(t, ctx, e)
				wantURCs(t, e, tc.urcs...)
				wantClean(t, e)
			}, atcmd.WithGrammar(makers))
		})
	}
}

func withData(line string, final func(string) (bool, error)) atcmd.Command {
	return atcmd.Command{Line: line, Payload: []byte("hello"), Final: final}
}

// wantURCs demands these URCs and no other.
func wantURCs(t *testing.T, e *atcmd.Engine, want ...string) {
	t.Helper()
	got := []string{}
	for len(e.URCs()) > 0 {
		got = append(got, (<-e.URCs()).String())
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", append([]string{}, want...)) {
		t.Errorf("URCs %q, want %q", got, want)
	}
}

// wantClean demands that nothing was counted that a clean run does not have.
func wantClean(t *testing.T, e *atcmd.Engine) {
	t.Helper()
	if c := e.Counters(); c.Timeouts+c.StaleAnswers+c.UnexpectedLines+c.Resyncs+c.Overruns != 0 {
		t.Errorf("a clean run counted %+v", c)
	}
}

// hostile is data that looks like everything that means something outside of data.
var hostile = []string{
	"\r\nOK\r\n", "OK\r\n", "\r\nERROR\r\n", "\r\n+CME ERROR: 3\r\n", "> ", "\r\n> ", "\r\n+CREG: 1\r\n", "\r\nRDY\r\n", "^boot.rom", "\r\nSEND OK\r\n",
	"\r\n+QIRD: 9\r\n", `+MSUB: "t",99 byte,`, "\r", "\n", " ", "\x00\x1a\x1b\xff\xfe", `"`, `",5,"`, "AT+CSQ\r", strings.Repeat("\r\nOK\r\n", 200),
}

// Counted data passes whatever it holds, and the lines around it stay what they are.
func TestCountedData(t *testing.T) {
	for name, form := range map[string]struct{ line, head, tail string }{
		"+QIRD":        {"+QIRD=0,1500", "+QIRD: %d\r\n", "\r\n"},
		"CONNECT n":    {"+QFREAD=1,9", "CONNECT %d\r\n", "\r\n"},
		"+QIURC":       {"", "+QIURC: \"recv\",0,%d\r\n", "\r\n"},
		"+RECEIVE":     {"", "+RECEIVE,0,%d:\r\n", "\r\n"},
		"+IPD":         {"", "+IPD,%d:", "\r\n"},
		"+MSUB":        {"", "+MSUB: \"a,1 byte,b\",%d byte,", "\r\n"},
		"bare +MSUB":   {"", "+MSUB: mqtt/topic,%d byte,", "\r\n"},
		"+LMQTTURC":    {"", "+LMQTTURC: RECV,0,1,\"t,5,x\",%d,", "\r\n"},
		"tight +QIURC": {"", "+QIURC: \"recv\",0,%d\r\n", ""}, // some firmware forgets the line end behind the data
	} {
		t.Run(name, func(t *testing.T) {
			for _, data := range hostile {
				said := "\r\n" + fmt.Sprintf(form.head, len(data)) + data + form.tail
				want := strings.TrimRight(fmt.Sprintf(form.head, len(data)), "\r\n") + data
				wantCounted(t, form.line, said, want, data)
			}
		})
	}
}

// wantCounted runs a command in whose answer, or as a URC before whose answer, the modem sends counted data.
func wantCounted(t *testing.T, line, said, want, data string) {
	t.Helper()
	for _, send := range []func(*attest.DCE, string){(*attest.DCE).Send, (*attest.DCE).SendWhole} {
		play(t, func(d *attest.DCE) {
			d.Expect("AT" + line + "\r")
			send(d, said+"\r\nOK\r\n")
			d.Expect("AT+CSQ\r")
			send(d, csq)
		}, func(ctx context.Context, e *atcmd.Engine) {
			resp, err := e.Do(ctx, atcmd.Exec(line))
			got := resp.Info
			if line == "" {
				got = append(got, <-e.URCs())
			}
			if err != nil || len(got) != 1 || got[0].String() != want || string(got[0].Block) != data {
				t.Errorf("%q gave %q, %v", said, heads(got), err)
			}
			wantStep(t, ctx, e)
			wantURCs(t, e)
			wantClean(t, e)
		}, atcmd.WithGrammar(makers))
	}
}

// Data on a line of its own is handed on as soon as it is whole: nothing may come behind it for hours.
func TestDataAtOnce(t *testing.T) {
	for _, said := range []string{"\r\n+RECEIVE,0,5:\r\nhello", "\r\n+QIURC: \"recv\",0,5\r\nhello", "\r\n+RECEIVE,0,0:\r\n"} {
		play(t, func(d *attest.DCE) { d.Send(said) }, func(ctx context.Context, e *atcmd.Engine) {
			synctest.Wait()
			select {
			case l := <-e.URCs():
				if string(l.Block) != said[strings.LastIndex(said, "\n")+1:] {
					t.Errorf("%q gave %q", said, l)
				}
			default:
				t.Errorf("%q: nothing has come", said)
			}
		}, atcmd.WithGrammar(makers))
	}
}

// A buffered message is read out under another name than its command's; the command claims it.
func TestAnswerUnderAnotherName(t *testing.T) {
	c := atcmd.Exec("+MQTTMSGGET")
	c.Info = func(line string) bool { return strings.HasPrefix(line, "+MSUB:") }
	play(t, func(d *attest.DCE) {
		d.Answer("AT+MQTTMSGGET\r", "\r\n+MSUB: a,4 byte,OK\r\n\r\n\r\n+CREG: 1\r\n\r\n+MSUB: b,1 byte,>\r\n\r\nOK\r\n")
	}, func(ctx context.Context, e *atcmd.Engine) {
		resp, err := e.Do(ctx, c)
		if got := fmt.Sprintf("%q", heads(resp.Info)); err != nil || got != `["+MSUB: a,4 byte,OK\r\n" "+MSUB: b,1 byte,>"]` {
			t.Error(got, err)
		}
		wantURCs(t, e, "+CREG: 1")
		wantClean(t, e)
	}, atcmd.WithGrammar(makers))
}

// A command with an end of its own is given up. The OK on the way to that end is not the end, and is nobody else's.
func TestLateDeclaredFinal(t *testing.T) {
	for name, tc := range map[string]struct {
		patience time.Duration // of the caller; the command's own time is two seconds
		script   func(d *attest.DCE)
	}{
		"cancelled": {time.Second, func(d *attest.DCE) {
			d.Expect("AT+CIPSTATUS\r")
			time.Sleep(1500 * time.Millisecond)
			d.Send("\r\nOK\r\n")
			time.Sleep(100 * time.Millisecond)
			d.Send("\r\nSTATE: IP STATUS\r\n")
			d.Answer("AT+CSQ\r", csq)
		}},
		"timed out": {time.Minute, func(d *attest.DCE) {
			d.Expect("AT+CIPSTATUS\r")
			d.Answer("AT+CMEE?\r", "\r\nOK\r\n\r\nSTATE: IP STATUS\r\n")
			time.Sleep(100 * time.Millisecond)
			d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
			d.Answer("AT+CSQ\r", csq)
		}},
		"between the marker and its OK": {time.Minute, func(d *attest.DCE) {
			d.Expect("AT+CIPSTATUS\r")
			d.Answer("AT+CMEE?\r", "\r\nOK\r\n\r\n+CMEE: 1\r\n\r\nSTATE: IP STATUS\r\n")
			time.Sleep(100 * time.Millisecond)
			d.Send("\r\nOK\r\n")
			d.Answer("AT+CSQ\r", csq)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, tc.script, func(ctx context.Context, e *atcmd.Engine) {
				short, cancel := context.WithTimeout(ctx, tc.patience)
				defer cancel()
				c := atcmd.Command{Line: "+CIPSTATUS", Final: begins("STATE:"), Timeout: 2 * time.Second}
				if _, err := e.Do(short, c); err == nil {
					t.Error("answered")
				}
				wantStep(t, ctx, e)
				if c := e.Counters(); c.StaleAnswers != 1 {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

// A URC between the prompt and the echo of the payload leaves both what they are.
func TestURCBeforePayloadEcho(t *testing.T) {
	g := dialect
	g.PayloadEcho = true
	c := atcmd.Set("+QMTPUBEX", 0, 1)
	c.Payload = []byte("a\r\nOK\r\nb")
	play(t, func(d *attest.DCE) {
		d.Answer("AT+QMTPUBEX=0,1\r", "\r\n> ")
		d.Answer("a\r\nOK\r\nb", "\r\n+CREG: 1\r\na\r\nOK\r\nb")
		time.Sleep(time.Second)
		d.Send("\r\nOK\r\n")
		d.Answer("AT+CSQ\r", csq)
	}, func(ctx context.Context, e *atcmd.Engine) {
		if r, err := e.Do(ctx, c); err != nil || len(r.Info) > 0 {
			t.Errorf("%q, %v", heads(r.Info), err)
		}
		wantStep(t, ctx, e)
		synctest.Wait()
		wantURCs(t, e, "+CREG: 1")
		wantClean(t, e)
	}, atcmd.WithGrammar(g))
}
