package atcmd_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
	"github.com/atbridge/atbridge/atcmd/transcript"
)

const transcripts = "../modems/testdata/*.at"

// turn is one command of a transcript and all that the modem says until the next one. The first turn of a transcript may
// have no command: what the modem said before it was asked.
type turn struct {
	line    string // the command without "AT" and CR; empty with asked false: none
	asked   bool
	payload []byte
	before  string // said up to the payload
	after   string // said behind it
}

func (x *turn) said() string { return x.before + x.after }

// turns cuts a transcript.
func turns(t *testing.T, file string) []turn {
	t.Helper()
	script, err := transcript.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if script.Remark("firmware") == "" || script.Remark("source") == "" {
		t.Errorf("%s does not say which firmware it shows, or where it comes from", file)
	}
	all := []turn{{}}
	for _, e := range script.Entries {
		x := &all[len(all)-1]
		prompted := prompts(x.before) || strings.HasSuffix(x.before, "\nCONNECT\r\n")
		switch {
		case !e.Sent && x.payload == nil:
			x.before += e.Text
		case !e.Sent:
			x.after += e.Text
		case prompted && x.after == "":
			x.payload = append(x.payload, e.Text...)
		default:
			line, ok := strings.CutSuffix(strings.TrimPrefix(e.Text, "AT"), "\r")
			if !ok {
				t.Fatalf("%s:%d: neither a command nor a payload", file, e.Line)
			}
			all = append(all, turn{line: line, asked: true})
		}
	}
	if all[0].before == "" {
		all = all[1:]
	}
	return all
}

// prompts reports whether said ends with a prompt, which some modules print without a blank.
func prompts(said string) bool { return strings.HasSuffix(strings.TrimSuffix(said, " "), "\n>") }

// command is what a driver would send: the ends of its dialect declared.
func (x *turn) command() atcmd.Command {
	c := atcmd.Command{Line: x.line, Payload: x.payload}
	name, _, _ := strings.Cut(x.line, "=")
	switch name {
	case "+CIFSR":
		c.Final = address
	case "+CIPSTATUS":
		c.Final = begins("STATE:")
	case "+CIPSHUT":
		c.Final = ends("SHUT OK", "OK")
	case "+CIPSTART", "+MIPSTART", "+SSLMIPSTART":
		c.Final = ends("CONNECT OK", "ALREADY CONNECT", "CONNECT", "!CONNECT FAIL")
	case "+QISEND":
		c.Final = ends("SEND OK", "!SEND FAIL")
	case "+CIPSEND":
		c.Final = begins("DATA ACCEPT:")
	}
	return c
}

// spoken is the grammar of all the modems that the transcripts show. A transcript of a dialect that is not known here
// names the URCs of its maker itself: `# urcs: +MATREADY +MQTTURC:`.
var spoken = sync.OnceValue(func() atcmd.Grammar {
	g := makers
	g.URCs = append(slices.Clone(makers.URCs), "+CGREG:", "+CPIN:", "+CGEV:", "^MODE:", "+E_UTRAN", "+NITZ:", "+PDP:", "+HTTPACTION:", "+QNTP:", "+QMTOPEN:",
		"+QMTCONN:", "+QMTSUB:", "+QMTUNS:", "+QMTPUBEX:", "+QMTPUB:", "+QMTRECV:", "+QMTCLOSE:", "+QMTDISC:", "+LMQTT", "+VERSION:", "+SIM:", "ECRDY")
	found, _ := filepath.Glob(transcripts)
	for _, file := range found {
		if script, err := transcript.Load(file); err == nil { // the tests complain of the others
			g.URCs = append(g.URCs, strings.Fields(script.Remark("urcs"))...)
		}
	}
	g.Reboot = []string{"RDY", "POWERED DOWN", "NORMAL POWER DOWN"}
	g.Banner = "^boot.rom"
	g.PayloadEcho = true
	return g
})

// outcome is all that a turn brings about: the command's answer, and the URCs.
type outcome struct {
	answer string
	urcs   []string
	clean  bool
}

// perform runs one turn with urc inserted at a byte of what the modem says, and then demands that the next command gets
// its own answer, whole and alone.
func (x *turn) perform(t *testing.T, at int, urc string) (o outcome) {
	said := [2]string{x.before, x.after}
	if part := 0; urc != "" {
		if at > len(x.before) {
			part, at = 1, at-len(x.before)
		}
		said[part] = said[part][:at] + urc + said[part][at:]
	}
	play(t, func(d *attest.DCE) {
		if x.asked {
			d.Expect("AT" + x.line + "\r")
		}
		d.SendWhole(said[0])
		if x.payload != nil {
			d.Expect(string(x.payload))
			d.SendWhole(said[1])
		}
		for line, ok := d.Line(); ok; line, ok = d.Line() {
			name := strings.TrimSuffix(strings.TrimPrefix(line, "AT"), "?")
			if name != "+NEXT" && !slices.Contains([]string{"+CMEE", "+CSQ", "+CCLK", "+CGATT"}, name) {
				t.Errorf("the host sent %q", line)
			}
			d.SendWhole("\r\n" + name + ": mine\r\n\r\nOK\r\n")
			if name == "+NEXT" {
				return
			}
		}
	}, func(ctx context.Context, e *atcmd.Engine) {
		if x.asked {
			r, err := e.Do(ctx, x.command())
			o.answer = fmt.Sprintf("%q %q %v", heads(r.Info), r.Final, err)
			if errors.Is(err, atcmd.ErrClosed) || errors.Is(err, atcmd.ErrResync) {
				t.Errorf("the line is lost: %v", err)
			}
		}
		synctest.Wait()
		r, err := e.Do(ctx, atcmd.Exec("+NEXT"))
		if err != nil || fmt.Sprintf("%q", heads(r.Info)) != `["+NEXT: mine"]` {
			t.Errorf("the next command got %q, %v", heads(r.Info), err)
		}
		for len(e.URCs()) > 0 {
			o.urcs = append(o.urcs, (<-e.URCs()).String())
		}
		c := e.Counters()
		o.clean = c.Timeouts+c.StaleAnswers+c.UnexpectedLines+c.Resyncs+c.Overruns == 0
	}, atcmd.WithGrammar(spoken()))
	return o
}

// between reports, for each byte offset of what the modem says, whether it lies between lines: no line, no prompt and no
// counted data is in progress there. It knows the announcements, and nothing of the scanner.
func between(said string) []bool {
	free := make([]bool, len(said)+1)
	block := makers.Block
	for i := 0; i < len(said); {
		free[i] = true
		if said[i] == '\r' || said[i] == '\n' {
			i++
			continue
		}
		if said[i] == '>' { // nothing interrupts a prompt
			i += len(">")
			if i < len(said) && said[i] == ' ' {
				i++
			}
			continue
		}
		for start := i; i < len(said) && said[i] != '\r' && said[i] != '\n'; i++ {
			end := i
			if i+1 < len(said) && said[i+1] == '\r' {
				end++
			}
			for _, head := range []string{said[start : i+1], said[start : end+1]} {
				if skip, n, ok := block([]byte(head)); ok {
					i = min(start+len(head)+skip+n, len(said)) - 1
				}
			}
		}
	}
	free[len(said)] = len(said) == 0 || strings.HasSuffix(said, "\n") || prompts(said)
	return free
}

func files(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(transcripts)
	if err != nil || len(found) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	return found
}

// Each transcript plays through the engine as it stands: every command gets the answer that it gets alone, every URC
// comes, nothing is left over, and nothing is counted that a clean run does not have.
func TestTranscripts(t *testing.T) {
	for _, file := range files(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var want outcome
			all := turns(t, file)
			for i := range all {
				o := all[i].perform(t, 0, "")
				want.urcs = append(want.urcs, o.urcs...)
				if all[i].asked {
					want.answer += o.answer + "\n"
				}
				if !o.clean {
					t.Errorf("AT%s is not answered cleanly: %s", all[i].line, o.answer)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				e := atcmd.New(attest.Play(t, file), atcmd.WithGrammar(spoken()))
				var got outcome
				for i := range all {
					synctest.Wait()
					if all[i].asked {
						r, err := e.Do(t.Context(), all[i].command())
						got.answer += fmt.Sprintf("%q %q %v\n", heads(r.Info), r.Final, err)
					}
				}
				synctest.Wait()
				wantClean(t, e)
				e.Close()
				for u := range e.URCs() {
					got.urcs = append(got.urcs, u.String())
				}
				if got.answer != want.answer || fmt.Sprintf("%q", got.urcs) != fmt.Sprintf("%q", want.urcs) {
					t.Errorf("whole: %s%q\nturn by turn: %s%q", got.answer, got.urcs, want.answer, want.urcs)
				}
			})
		})
	}
}

// A URC at every byte offset of every transcript.
//
// Between lines, which is where a modem may put one: the command gets the same answer, all URCs come in their order and
// this one among them, and nothing is counted.
//
// Inside a line, a prompt or counted data, where no modem puts one but a lost line end or a second writer may: the line is
// broken for the command that it belongs to. Still this URC comes, once and whole, if it is not inside counted data; it is
// not in the command's answer; and the next command gets its own answer, whole and alone (perform demands that).
func TestURCAtEveryByte(t *testing.T) {
	for _, file := range files(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			offsets, lines := 0, 0
			defer func() { t.Logf("%d offsets, %d of them between lines", offsets, lines) }()
			for _, x := range turns(t, file) {
				want := x.perform(t, 0, "")
				said := x.said()
				free := append(between(x.before), between(x.after)[1:]...)
				for at := range free {
					offsets++
					if free[at] {
						lines++
					}
					for name, urc := range map[string]string{"+CEREG: 5": "\r\n+CEREG: 5\r\n", "+MSUB: \"t\",6 byte,\r\nOK\r\n": "\r\n+MSUB: \"t\",6 byte,\r\nOK\r\n\r\n"} {
						if !free[at] && strings.HasPrefix(name, "+MSUB") {
							continue
						}
						got := x.perform(t, at, urc)
						if bad := x.judge(want, got, name, free[at]); bad != "" {
							t.Errorf("%s at byte %d of AT%s, %q<>%q: %s\nwithout %s %q\nwith    %s %q",
								name, at, x.line, said[max(0, at-20):at], said[at:min(len(said), at+20)], bad, want.answer, want.urcs, got.answer, got.urcs)
						}
					}
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

// judge says what is wrong with a turn in which urc was inserted.
func (x *turn) judge(want, got outcome, urc string, free bool) string {
	i := slices.Index(got.urcs, urc)
	if !free {
		// An announcement that was cut in its number takes the URC, or only its beginning, for data.
		whole := strings.ReplaceAll(strings.Join(append(got.urcs, got.answer), ""), `" "`, "")
		switch counted := strings.Contains(whole, "+CEREG"); {
		case i < 0 && !counted:
			return "it is lost"
		case i >= 0 && slices.Contains(got.urcs[i+1:], urc):
			return "it comes twice"
		case i >= 0 && strings.Contains(got.answer, urc):
			return "it stands in the answer, too"
		}
		return ""
	}
	switch {
	case i < 0:
		return "it is lost"
	case got.answer != want.answer:
		return "another answer"
	case fmt.Sprintf("%q", slices.Delete(slices.Clone(got.urcs), i, i+1)) != fmt.Sprintf("%q", want.urcs):
		return "other URCs"
	case !got.clean:
		return "something was counted"
	}
	return ""
}
