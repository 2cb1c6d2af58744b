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

// wantStep runs +CSQ and demands its own answer.
func wantStep(t *testing.T, ctx context.Context, e *atcmd.Engine) {
	t.Helper()
	if r, err := e.Do(ctx, atcmd.Exec("+CSQ")); err != nil || r.Text() != "+CSQ: 7,99" {
		t.Errorf("the next command got %q, %v", r.Text(), err)
	}
}

const csq = "\r\n+CSQ: 7,99\r\n\r\nOK\r\n"

// The answer comes after the timeout; the next command must not get it.
func TestLateAnswer(t *testing.T) {
	for name, script := range map[string]func(d *attest.DCE){
		"before the marker is answered": func(d *attest.DCE) {
			d.Expect("AT+COPS?\r")
			d.Expect("AT+CMEE?\r")
			d.Send("\r\n+COPS: 0\r\n\r\nOK\r\n")
			d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
			d.Answer("AT+CSQ\r", csq)
		},
		"never": func(d *attest.DCE) {
			d.Expect("AT+COPS?\r")
			d.Answer("AT+CMEE?\r", "\r\n+CMEE: 1\r\n\r\nOK\r\n")
			d.Answer("AT+CSQ\r", csq)
		},
		"as an error": func(d *attest.DCE) {
			d.Expect("AT+COPS?\r")
			d.Answer("AT+CMEE?\r", "\r\n+CME ERROR: 30\r\n\r\n+CMEE: 1\r\n\r\nOK\r\n")
			d.Answer("AT+CSQ\r", csq)
		},
		"the first marker is swallowed": func(d *attest.DCE) {
			d.Expect("AT+COPS?\r")
			d.Expect("AT+CMEE?\r")
			d.Answer("AT+CSQ\r", "\r\n+CMEE: 1\r\n\r\nOK\r\n"+csq) // both markers answered, late
			d.Answer("AT+CSQ\r", csq)
		},
		"the marker is refused": func(d *attest.DCE) {
			d.Expect("AT+COPS?\r")
			d.Answer("AT+CMEE?\r", "\r\n+COPS: 0\r\n\r\nOK\r\n\r\nERROR\r\n")
			d.Answer("AT+CSQ\r", csq)
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, script, func(ctx context.Context, e *atcmd.Engine) {
				if _, err := e.Do(ctx, atcmd.Read("+COPS").WithTimeout(time.Second)); !errors.Is(err, atcmd.ErrTimeout) {
					t.Error(err)
				}
				wantStep(t, ctx, e)
				if c := e.Counters(); c.Timeouts != 1 || c.Resyncs != 1 || c.UnexpectedLines != 0 {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

// The modem is slow and answers each of the markers in its time: none of their results is the next command's.
func TestSlowModem(t *testing.T) {
	play(t, func(d *attest.DCE) {
		d.Expect("AT+COPS?\rAT+CMEE?\rAT+CSQ\rAT+CCLK?\r")
		d.Send("\r\n+COPS: 0\r\n\r\nOK\r\n")
		time.Sleep(1500 * time.Millisecond)
		d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
		d.Send("\r\n+CSQ: 1,99\r\n\r\nOK\r\n\r\n+CCLK: \"x\"\r\n\r\nOK\r\n")
		d.Answer("AT+CPIN=1\r", "\r\n+CME ERROR: 16\r\n")
	}, func(ctx context.Context, e *atcmd.Engine) {
		e.Do(ctx, atcmd.Read("+COPS").WithTimeout(time.Second))
		if _, err := e.Do(ctx, atcmd.Set("+CPIN", atcmd.Literal("1"))); !atcmd.Refused(err) {
			t.Errorf("the next command got %v", err)
		}
	})
}

// A command that names most of the markers itself leaves too few: the line is given up, and nothing panics.
func TestMarkersRunOut(t *testing.T) {
	play(t, func(d *attest.DCE) { d.Expect("AT+CSQ;+CCLK?;+CGATT?\rAT+CMEE?\r"); d.Silent() },
		func(ctx context.Context, e *atcmd.Engine) {
			e.Do(ctx, atcmd.Command{Line: "+CSQ;+CCLK?;+CGATT?", Timeout: time.Second})
			<-e.Done()
			if !errors.Is(e.Err(), atcmd.ErrResync) {
				t.Error(e.Err())
			}
		})
}

// A byte of the payload was lost on the wire: the modem still waits for it, and the next command would complete it.
func TestShortPayload(t *testing.T) {
	c := atcmd.Set("+QMTPUBEX", 0, 1).WithTimeout(2 * time.Second)
	c.Payload = []byte("payload")
	play(t, func(d *attest.DCE) {
		d.Answer("AT+QMTPUBEX=0,1\r", "\r\n> ")
		d.Expect("payload")
		lost := time.Now()
		d.Expect("AT+CMEE?\r")
		if quiet := time.Since(lost); quiet < 2*time.Second+dialect.EditTimeout {
			t.Errorf("written after %v", quiet)
		}
		d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
		d.Answer("AT+CSQ\r", csq)
	}, func(ctx context.Context, e *atcmd.Engine) {
		if _, err := e.Do(ctx, c); !errors.Is(err, atcmd.ErrTimeout) {
			t.Error(err)
		}
		wantStep(t, ctx, e)
	})
}

// The prompt comes after its command was given up, or after its final result code: the quiet time begins with it.
func TestLatePrompt(t *testing.T) {
	for name, prompt := range map[string]string{"open": "\r\n> ", "closed": "\r\n>\r\n"} {
		t.Run(name, func(t *testing.T) {
			c := atcmd.Set("+QMTPUBEX", 0, 1).WithTimeout(2 * time.Second)
			c.Payload = []byte("payload")
			play(t, func(d *attest.DCE) {
				d.Expect("AT+QMTPUBEX=0,1\r")
				time.Sleep(6 * time.Second)
				d.Send(prompt)
				late := time.Now()
				d.Expect("AT+CMEE?\r")
				if quiet := time.Since(late); quiet < dialect.EditTimeout {
					t.Errorf("written %v after the prompt", quiet)
				}
				d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
				d.Answer("AT+CSQ\r", csq)
				d.Send(prompt)
				late = time.Now()
				d.Expect("AT+CMEE?\r")
				if quiet := time.Since(late); quiet < dialect.EditTimeout {
					t.Errorf("written %v after a prompt out of the blue", quiet)
				}
				d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
				d.Answer("AT+CSQ\r", csq)
			}, func(ctx context.Context, e *atcmd.Engine) {
				if _, err := e.Do(ctx, c); !errors.Is(err, atcmd.ErrTimeout) {
					t.Error(err)
				}
				wantStep(t, ctx, e)
				synctest.Wait()
				wantStep(t, ctx, e)
			})
		})
	}
}

// The caller gives up before the manual's time has run out: the answer is waited for, and no marker is needed.
func TestCancelled(t *testing.T) {
	play(t, func(d *attest.DCE) {
		d.Expect("AT+COPS=?\r")
		time.Sleep(20 * time.Second)
		d.Send("\r\n+COPS: (1,\"A\",\"A\",\"46001\",7)\r\n\r\nOK\r\n")
		d.Answer("AT+CSQ\r", csq)
	}, func(ctx context.Context, e *atcmd.Engine) {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := e.Do(short, atcmd.Test("+COPS").WithTimeout(time.Minute)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wantStep(t, ctx, e)
		if c := e.Counters(); c.StaleAnswers != 1 || c.Resyncs != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// 1,000 commands whose answers come exactly at their timeout: none goes to the wrong command.
func TestAnswerAtTheTimeout(t *testing.T) {
	const n = 1000
	play(t, func(d *attest.DCE) {
		for {
			line, ok := d.Line()
			if !ok {
				return
			}
			if name, numbered := strings.CutPrefix(line, "AT+N"); numbered {
				time.Sleep(time.Second)
				d.SendWhole("\r\n+N" + name + ": mine\r\n\r\nOK\r\n")
			} else {
				d.SendWhole("\r\n" + strings.TrimSuffix(strings.TrimPrefix(line, "AT"), "?") + ": 1\r\n\r\nOK\r\n")
			}
		}
	}, func(ctx context.Context, e *atcmd.Engine) {
		answered, timedOut := 0, 0
		for i := range n {
			name := fmt.Sprintf("+N%d", i)
			r, err := e.Do(ctx, atcmd.Exec(name).WithTimeout(time.Second))
			switch {
			case err == nil && r.Text() == name+": mine":
				answered++
			case errors.Is(err, atcmd.ErrTimeout):
				timedOut++
			default:
				t.Fatalf("%s got %q, %v", name, r.Text(), err)
			}
		}
		if answered+timedOut != n {
			t.Error(answered, timedOut)
		}
		synctest.Wait()
		e.Close()
	})
}

// A wedged modem: the line is given up after the markers, with an error that says so.
func TestModemStopsAnswering(t *testing.T) {
	play(t, func(d *attest.DCE) {
		d.Expect("AT+COPS?\rAT+CMEE?\rAT+CSQ\rAT+CCLK?\r")
		d.Silent()
	}, func(ctx context.Context, e *atcmd.Engine) {
		e.Do(ctx, atcmd.Read("+COPS").WithTimeout(time.Second))
		start := time.Now()
		if _, err := e.Do(ctx, atcmd.Exec("+CSQ")); !errors.Is(err, atcmd.ErrResync) {
			t.Error(err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// After a lost prompt nothing is written until the data state must be over: it would become payload.
func TestLostPrompt(t *testing.T) {
	c := atcmd.Set("+QMTPUBEX", 0, 1).WithTimeout(2 * time.Second)
	c.Payload = []byte("payload")
	play(t, func(d *attest.DCE) {
		d.Expect("AT+QMTPUBEX=0,1\r")
		lost := time.Now()
		d.Expect("AT+CMEE?\r")
		if quiet := time.Since(lost); quiet < 2*time.Second+dialect.EditTimeout {
			t.Errorf("written after %v", quiet)
		}
		d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
		d.Answer("AT+CSQ\r", csq)
	}, func(ctx context.Context, e *atcmd.Engine) {
		if _, err := e.Do(ctx, c); !errors.Is(err, atcmd.ErrTimeout) {
			t.Error(err)
		}
		wantStep(t, ctx, e)
	})
}

// A modem that never leaves its data state by itself: the line is given up and not one byte more is written.
func TestLostPromptForEver(t *testing.T) {
	g := dialect
	g.EditTimeout = 0
	c := atcmd.Set("+QMTPUBEX", 0, 1)
	c.Payload = []byte("payload")
	play(t, func(d *attest.DCE) { d.Expect("AT+QMTPUBEX=0,1\r"); d.Silent() },
		func(ctx context.Context, e *atcmd.Engine) {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			e.Do(short, c)
			<-e.Done()
			if !errors.Is(e.Err(), atcmd.ErrResync) {
				t.Error(e.Err())
			}
		}, atcmd.WithGrammar(g))
}

// Counted data that stops coming is noise: five seconds later the line works again.
func TestBlockThatStops(t *testing.T) {
	play(t, func(d *attest.DCE) {
		d.Send("\r\n+QMTRECV: 0,0,\"t\",500,\"half")
		time.Sleep(6 * time.Second)
		d.Answer("AT+CSQ\r", csq)
	}, func(ctx context.Context, e *atcmd.Engine) {
		time.Sleep(7 * time.Second)
		synctest.Wait()
		wantStep(t, ctx, e)
		if c := e.Counters(); c.UnexpectedLines != 1 {
			t.Errorf("%+v", c)
		}
	})
}

// A command that brings no data runs into a prompt: nothing is written, for it would be published.
func TestUnexpectedPrompt(t *testing.T) {
	play(t, func(d *attest.DCE) {
		d.Answer("AT+QMTPUBEX=0,0,0,0,\"t\",9\r", "\r\n> ")
		start := time.Now()
		d.Expect("AT+CMEE?\r")
		if time.Since(start) < dialect.EditTimeout {
			t.Error("written while the modem waits for data")
		}
		d.Send("\r\n+CMEE: 1\r\n\r\nOK\r\n")
		d.Answer("AT+CSQ\r", csq)
	}, func(ctx context.Context, e *atcmd.Engine) {
		if _, err := e.Do(ctx, atcmd.Set("+QMTPUBEX", 0, 0, 0, 0, "t", 9)); !errors.Is(err, atcmd.ErrPrompt) {
			t.Error(err)
		}
		wantStep(t, ctx, e)
	})
}
