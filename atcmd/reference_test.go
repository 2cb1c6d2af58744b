package atcmd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warthog618/modem/at"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/attest"
)

// exchange is one command and what the modem sends for it, at once or late.
type exchange struct {
	cmd    string
	answer string
	late   time.Duration
}

// The same words of a modem through our engine and through github.com/warthog618/modem v0.4.0, which is the best known
// in Go. Each row is a difference that was found there; if upstream mends one, this test says so.
func TestDifferencesFromReference(t *testing.T) {
	for name, tc := range map[string]struct {
		exchanges    []exchange
		ours, theirs string
	}{
		"they agree on an answer": {
			[]exchange{{cmd: "+CSQ", answer: "\r\n+CSQ: 20,99\r\n\r\nOK\r\n"}},
			"[+CSQ: 20,99]", "[+CSQ: 20,99]",
		},
		"they agree on an error": {
			[]exchange{{cmd: "+CPIN?", answer: "\r\n+CME ERROR: 10\r\n"}},
			"error", "error",
		},
		"a registered URC leaks into the answer": {
			[]exchange{{cmd: "+CSQ", answer: "\r\n+CREG: 1\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n"}},
			"[+CSQ: 20,99]", "[+CREG: 1 +CSQ: 20,99]",
		},
		"an unknown URC leaks into the answer": {
			[]exchange{{cmd: "+CSQ", answer: "\r\n+FOO: 1\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n"}},
			"[+CSQ: 20,99]", "[+FOO: 1 +CSQ: 20,99]",
		},
		"a late answer goes to the next command": {
			[]exchange{{cmd: "+COPS?", answer: "\r\n+COPS: late\r\n\r\nOK\r\n", late: 1500 * time.Millisecond}, {cmd: "+CGMI", answer: "\r\nQuectel\r\n\r\nOK\r\n"}},
			"timeout [Quectel]", "timeout [+COPS: late]",
		},
		"counted data that holds OK ends the command": {
			[]exchange{{cmd: "+QIRD=0,9", answer: "\r\n+QIRD: 9\r\na\r\nOK\r\nbc\r\n\r\nOK\r\n"}},
			"[+QIRD: 9a\r\nOK\r\nbc]", "[+QIRD: 9 a]",
		},
		"counted data that holds ERROR fails the command": {
			[]exchange{{cmd: "+QIRD=0,10", answer: "\r\n+QIRD: 10\r\na\r\nERROR\r\n\r\n\r\nOK\r\n"}},
			"[+QIRD: 10a\r\nERROR\r\n]", "error",
		},
		"a file name that begins with ERROR fails the command": {
			[]exchange{{cmd: "+QFLST", answer: "\r\nERRORLOG.TXT\r\n\r\nOK\r\n"}},
			"[ERRORLOG.TXT]", "error",
		},
		"a line of 70,000 bytes closes the modem for good": {
			[]exchange{{cmd: "+CSQ", answer: strings.Repeat("x", 70000) + "\r\n+CSQ: 20,99\r\n\r\nOK\r\n"}, {cmd: "+CSQ", answer: "\r\n+CSQ: 21,99\r\n\r\nOK\r\n"}},
			"[+CSQ: 20,99] [+CSQ: 21,99]", "closed closed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, tc.exchanges, ours); got != tc.ours {
				t.Errorf("ours: %q, want %q", got, tc.ours)
			}
			if got := ask(t, tc.exchanges, reference); got != tc.theirs {
				t.Errorf("the reference: %q, want %q", got, tc.theirs)
			}
		})
	}
}

// ask runs the exchanges through an engine and writes down how each command ended.
func ask(t *testing.T, exchanges []exchange, engine func(io.ReadWriteCloser) (do func(string) string, end func())) string {
	var results []string
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		go dce(d, exchanges)
		do, end := engine(port)
		for _, x := range exchanges {
			results = append(results, do(x.cmd))
		}
		end()
		d.HangUp()
	})
	return strings.Join(results, " ")
}

// dce answers commands in their order, whoever's terminator they have, and markers as a modem does.
func dce(d *attest.DCE, exchanges []exchange) {
	lines := make(chan string, 8) // a modem goes on taking bytes while it is busy
	go func() {
		defer close(lines)
		for line, ok := d.Line(); ok; line, ok = d.Line() {
			lines <- line
		}
	}()
	for line := range lines {
		cmd := strings.TrimPrefix(strings.TrimSpace(line), "AT")
		answer := fmt.Sprintf("\r\n%s: 1\r\n\r\nOK\r\n", strings.TrimSuffix(cmd, "?"))
		if len(exchanges) > 0 && exchanges[0].cmd == cmd {
			time.Sleep(exchanges[0].late)
			answer, exchanges = exchanges[0].answer, exchanges[1:]
		}
		if !d.Offer(answer) {
			return
		}
	}
}

func ours(port io.ReadWriteCloser) (func(string) string, func()) {
	e := atcmd.New(port, atcmd.WithGrammar(dialect))
	return func(cmd string) string {
		r, err := e.Do(context.Background(), atcmd.Exec(cmd).WithTimeout(time.Second))
		if err == nil {
			return fmt.Sprint(heads(r.Info))
		}
		return verdict(errors.Is(err, atcmd.ErrTimeout), errors.Is(err, atcmd.ErrClosed))
	}, func() { e.Close() }
}

func reference(port io.ReadWriteCloser) (func(string) string, func()) {
	a := at.New(struct{ io.ReadWriter }{port}, at.WithTimeout(time.Second), at.WithIndication("+CREG:", func([]string) {}))
	return func(cmd string) string {
		info, err := a.Command(cmd)
		if err == nil {
			return fmt.Sprint(info)
		}
		return verdict(errors.Is(err, at.ErrDeadlineExceeded), errors.Is(err, at.ErrClosed))
	}, func() { port.Close() }
}

// idler is a port whose Read returns without a byte, as a serial port with a read timeout does, before each that brings
// some.
type idler struct {
	io.ReadWriteCloser
	left int
}

func (p *idler) Read(b []byte) (int, error) {
	if p.left--; p.left >= 0 {
		return 0, nil
	}
	return p.ReadWriteCloser.Read(b)
}

// A thousand reads that bring nothing are no reason to close the driver; the reference gives up after a hundred.
func TestEmptyReads(t *testing.T) {
	for want, engine := range map[string]func(io.ReadWriteCloser) (func(string) string, func()){"[+CSQ: 20,99]": ours, "closed": reference} {
		got := ask(t, []exchange{{cmd: "+CSQ", answer: "\r\n+CSQ: 20,99\r\n\r\nOK\r\n"}}, func(port io.ReadWriteCloser) (func(string) string, func()) {
			return engine(&idler{port, 1000})
		})
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// URCs keep their order here, whatever their taker does; the reference starts a goroutine for each, so that the second
// is handled while the first one still is.
func TestURCOrderBesideReference(t *testing.T) {
	two := "\r\n+CREG: 1\r\n\r\n+CREG: 2\r\n"
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		overtaken := false
		second := make(chan struct{})
		at.New(struct{ io.ReadWriter }{port}, at.WithIndication("+CREG:", func(info []string) {
			if info[0] == "+CREG: 2" {
				close(second)
				return
			}
			select {
			case <-second:
				overtaken = true
			case <-time.After(time.Minute):
			}
		}))
		d.SendWhole(two)
		time.Sleep(2 * time.Minute)
		d.HangUp()
		synctest.Wait()
		if !overtaken {
			t.Error("the reference has mended its order")
		}
	})
	play(t, func(d *attest.DCE) { d.SendWhole(two) }, func(ctx context.Context, e *atcmd.Engine) {
		for _, want := range []string{"+CREG: 1", "+CREG: 2"} {
			time.Sleep(time.Minute)
			if got := (<-e.URCs()).Head; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

func verdict(timeout, closed bool) string {
	switch {
	case timeout:
		return "timeout"
	case closed:
		return "closed"
	}
	return "error"
}
