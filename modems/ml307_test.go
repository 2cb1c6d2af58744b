package modems

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

// From a port to messages both ways and back, against the transcript of a module.
func TestML307Transcript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m, err := Attach(ctx, attest.Play(t, "testdata/ml307_onemo.at"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Online(ctx); err != nil {
			t.Fatal(err)
		}
		id := m.Identity()
		if m.Driver() != "ml307" || id.IMEI != "860000000000001" || id.ICCID != "89860000000000000001" || m.Network().Address != "10.81.41.153" {
			t.Errorf("%s %+v %+v", m.Driver(), id, m.Network())
		}
		s, err := m.DialMQTT(ctx, MQTTConfig{Host: "mqtt.heclouds.com", Port: 6002, ClientID: "716335458", Username: "me", Password: "pw",
			KeepAlive: 2 * time.Minute, CleanSession: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Subscribe(ctx, "world", 1); err != nil {
			t.Error(err)
		}
		if d, err := s.Receive(ctx); err != nil || d.Message().Topic != "world" || string(d.Message().Payload) != "12345" {
			t.Errorf("received %v, %v", d, err)
		}
		for _, qos := range []byte{1, 2, 0} {
			r, err := s.Publish(ctx, Message{Topic: "world", Payload: []byte("3242"), QoS: qos})
			if err != nil {
				t.Fatal(err)
			}
			if outcome := r.Wait(ctx); outcome != Acked {
				t.Errorf("QoS %d: %v", qos, outcome)
			}
		}
		if err := s.Unsubscribe(ctx, "world"); err != nil {
			t.Error(err)
		}
		if err := s.Close(ctx); err != nil || !errors.Is(s.Err(), ErrSessionClosed) {
			t.Error(err, s.Err())
		}
		synctest.Wait() // the last line end is still on its way
	})
}

var ml307Config = MQTTConfig{Host: "broker.example", Port: 1883, ClientID: "cid", KeepAlive: 20 * time.Second, CleanSession: true}

// ml307Dialled is a start, and a dial over the session of an earlier run, up to MQTTCONN.
var ml307Dialled = exchanges{
	"AT\r", ok, "ATE0\r", ok, "AT+CMEE=1\r", ok, "AT+CMEE?\r", "\r\n+CMEE: 1\r\n" + ok, "AT+CGMI\r", "\r\nCMCC\r\n" + ok, "AT+CGMM\r", "\r\nML307C\r\n" + ok,
	"AT+CGMR\r", "\r\nV1\r\n" + ok, "AT+CGSN\r", "\r\n1\r\n" + ok, "AT+CGSN=1\r", "\r\nERROR\r\n",
	"AT+MQTTDISC=0\r", ok + ml307Says(`"conn",0,2`), `AT+MQTTCFG="ssl",0,0` + "\r", "\r\n+CME ERROR: 601\r\n", `AT+MQTTCFG="version",0,4` + "\r", ok,
	`AT+MQTTCFG="clean",0,1` + "\r", ok, `AT+MQTTCFG="keepalive",0,60` + "\r", ok, `AT+MQTTCFG="pingreq",0,60` + "\r", ok, `AT+MQTTCFG="retrans",0,20,0` + "\r", ok,
	`AT+MQTTCFG="encoding",0,0,0` + "\r", ok, `AT+MQTTCFG="cached",0,0` + "\r", ok, `AT+MQTTCFG="reconn",0,0` + "\r", ok, `AT+MQTTCFG="willoption",0,0,0,0` + "\r", ok,
	`AT+MQTTCONN=0,"broker.example",1883,"cid","",""` + "\r", ok + ml307Says(`"conn",0,0`),
}

func ml307Says(rest string) string { return "\r\n+MQTTURC: " + rest + "\r\n" }

// ml307Sends is a publish of "x" to which the module gives this identifier.
func ml307Sends(qos byte, id int) exchanges {
	return exchanges{fmt.Sprintf("AT+MQTTPUB=0,\"t\",%d,0,0,1\r", qos), "\r\n>", "x", fmt.Sprintf("\r\n+MQTTPUB: 0,%d,8\r\n%s", id, ok)}
}

// ml307Scripted runs fn with what a dial to a scripted module has come to. When all has been said and done the module says
// last; the host may send nothing else.
func ml307Scripted(t *testing.T, x exchanges, last string, fn func(ctx context.Context, m *Modem, s Session, err error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		scripted := make(chan struct{})
		go func() {
			defer close(scripted)
			x.play(d)
			time.Sleep(time.Second) // passes when nobody has anything to do
			d.Send(last)
			d.Silent()
		}()
		m, err := Attach(t.Context(), port, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.DialMQTT(t.Context(), ml307Config)
		fn(t.Context(), m, s, err)
		synctest.Wait()
		m.Close()
		<-scripted
	})
}

// Each publish settles by its own result, and by what ends the session.
func TestML307Outcomes(t *testing.T) {
	for name, tc := range map[string]struct {
		qos   byte // of the second; the first has 1
		tells string
		want  [2]Outcome
		ends  string
	}{
		"acknowledged in the other order": {1, ml307Says(`"puback",0,8,0`) + ml307Says(`"timeout",0,7`), [2]Outcome{Unknown, Acked}, ""},
		"of another client, and late":     {2, ml307Says(`"puback",1,8,0`) + ml307Says(`"pubrec",0,8,0`), [2]Outcome{Unknown, Unknown}, "did not come"},
		"the broker hangs up":             {2, ml307Says(`"pubcomp",0,8,0`) + ml307Says(`"conn",0,4`), [2]Outcome{Unknown, Acked}, "the broker closed the connection"},
		"it wants to connect again":       {1, ml307Says(`"conn",0,1`), [2]Outcome{Unknown, Unknown}, "the connection to the broker was lost"},
		"a reboot":                        {1, "\r\n+MATREADY\r\n", [2]Outcome{Unknown, Unknown}, "rebooted (+MATREADY)"},
		"no data connection":              {1, "\r\n+MIPCALL:1,0\r\n", [2]Outcome{Unknown, Unknown}, "the network ended the data connection"},
		"a message held back":             {1, ml307Says(`"pubnmi",0,45,11`), [2]Outcome{Unknown, Unknown}, "keeps messages back"},
	} {
		t.Run(name, func(t *testing.T) {
			script := ml307Dialled.then(ml307Sends(1, 7)...).then(ml307Sends(tc.qos, 8)...)
			ml307Scripted(t, script, tc.tells, func(ctx context.Context, m *Modem, s Session, err error) {
				if err != nil {
					t.Fatal(err)
				}
				var receipts []Receipt
				for i := range 2 {
					r, err := s.Publish(ctx, Message{Topic: "t", Payload: []byte("x"), QoS: []byte{1, tc.qos}[i]})
					if err != nil {
						t.Fatal(err)
					}
					receipts = append(receipts, r)
				}
				for i, r := range receipts {
					if got := r.Wait(ctx); got != tc.want[i] {
						t.Errorf("publish %d: %v", i, got)
					}
				}
				synctest.Wait()
				if err := s.Err(); (err == nil) != (tc.ends == "") || err != nil && !strings.Contains(err.Error(), tc.ends) {
					t.Errorf("%v; want %q", err, tc.ends)
				}
				s.(*ml307Session).end(ErrSessionClosed) // no goroutine of it is left
			})
		})
	}
}

// A result may overtake the OK of its publish.
func TestML307ResultBeforeOK(t *testing.T) {
	x := exchanges{"AT+MQTTPUB=0,\"t\",1,0,0,1\r", "\r\n> ", "x", "\r\n+MQTTPUB: 0,65535,8\r\n" + ml307Says(`"puback",0,65535,0`) + ok}
	ml307Scripted(t, ml307Dialled.then(x...), "", func(ctx context.Context, m *Modem, s Session, _ error) {
		r, err := s.Publish(ctx, Message{Topic: "t", Payload: []byte("x"), QoS: 1})
		if err != nil || r.Wait(ctx) != Acked {
			t.Error(err)
		}
		s.(*ml307Session).end(ErrSessionClosed)
	})
}

// A refusal is the message's end; the session's only if the module says that it does not stand.
func TestML307RefusesAPublish(t *testing.T) {
	for state, want := range map[string]error{"2": ErrRefused, "3": atcmd.CMEError(606)} {
		x := exchanges{"AT+MQTTPUB=0,\"t\",1,0,0,1\r", "\r\n+CME ERROR: 606\r\n", "AT+MQTTSTATE=0\r", "\r\n+MQTTSTATE: " + state + "\r\n" + ok}
		ml307Scripted(t, ml307Dialled.then(x...), "", func(ctx context.Context, m *Modem, s Session, _ error) {
			_, err := s.Publish(ctx, Message{Topic: "t", Payload: []byte("x"), QoS: 1})
			if !errors.Is(err, want) || (s.Err() == nil) != (state == "2") {
				t.Errorf("state %s: %v, %v", state, err, s.Err())
			}
			s.(*ml307Session).end(ErrSessionClosed)
		})
	}
}

// What could break out of its command, or is too long, is refused before a byte is sent.
func TestML307SendsNothingThatBreaksOut(t *testing.T) {
	ml307Scripted(t, ml307Dialled, "", func(ctx context.Context, m *Modem, s Session, err error) {
		before := m.Counters().BytesOut
		for _, msg := range []Message{
			{Topic: `a",1,0,0,1` + "\rAT+CFUN=0", Payload: []byte("x")}, {Topic: `a"b`, Payload: []byte("x")}, {Topic: "a\x1ab", Payload: []byte("x")},
			{Topic: strings.Repeat("t", 257), Payload: []byte("x")}, {Topic: "t", Payload: make([]byte, 1025)}, {Topic: "t"}, {Topic: "t/#", Payload: []byte("x")},
		} {
			if _, err := s.Publish(ctx, msg); !errors.Is(err, ErrMessage) {
				t.Errorf("%.20q: %v", msg.Topic, err)
			}
		}
		if err := s.Subscribe(ctx, `a"b`, 1); !errors.Is(err, atcmd.ErrArgument) {
			t.Error(err)
		}
		for what, change := range map[string]func(c *MQTTConfig){
			"certificates":        func(c *MQTTConfig) { c.TLS = &TLSConfig{} },
			"cloud.password":      func(c *MQTTConfig) { c.Password = "secret\"\rAT+CFUN=0\r" },
			"cloud.broker":        func(c *MQTTConfig) { c.Host = strings.Repeat("h", 129) },
			"the will's message":  func(c *MQTTConfig) { c.Will = &Message{Topic: "t", Payload: []byte("a\nb")} },
			"cloud.client_id has": func(c *MQTTConfig) { c.ClientID = strings.Repeat("c", 129) },
		} {
			cfg := ml307Config
			change(&cfg)
			if _, err := m.DialMQTT(ctx, cfg); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := m.Counters().BytesOut - before; n != 0 {
			t.Errorf("%d bytes were sent", n)
		}
		s.(*ml307Session).end(ErrSessionClosed)
	})
}

// Messages come by their length, in parts, and whole or not at all.
func TestML307Receives(t *testing.T) {
	for name, tc := range map[string]struct {
		sent string
		want []string
		lost uint64
	}{
		"a line end and an OK in it": {ml307Says(`"publish",0,0,"t",9,9,a` + "\r\nOK\r\nbc"), []string{"a\r\nOK\r\nbc"}, 0},
		"quotes, and nothing":        {ml307Says(`"publish",0,0,"a,5,5",7,7,{"a":1}`) + ml307Says(`"publish",0,0,t,0,0,`), []string{`{"a":1}`, ""}, 0},
		"parts":                      {ml307Says("\"publish\",0,9,\"t\",8,5,12\r\n5") + ml307Says(`"publish",0,9,"t",8,3,678`), []string{"12\r\n5678"}, 0},
		"of another client":          {ml307Says(`"publish",1,9,"t",1,1,x`) + ml307Says(`"publish",0,9,"t",1,1,y`), []string{"y"}, 0},
		"a part is missing":          {ml307Says(`"publish",0,9,"t",8,5,12345`) + ml307Says(`"publish",0,10,"t",8,3,678`), nil, 1},
		"and the next comes":         {ml307Says(`"publish",0,9,"t",8,5,12345`) + ml307Says(`"publish",0,10,"t",3,3,678`), []string{"678"}, 1},
		"a topic with quotes":        {ml307Says(`"publish",0,9,"t",1,2,u",o",3,3,xyz`), []string{"xyz"}, 0},
		"more than it says":          {ml307Says(`"publish",0,9,"t",2,3,xyz`), nil, 1},
		"no length":                  {ml307Says(`"publish",0,9,"t",hello`), nil, 1},
		"longer than its length":     {ml307Says(`"publish",0,9,"t",1,1,xy`), nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			x := ml307Dialled.then("AT+MQTTSUB=0,\"t\",1\r", "\r\n+MQTTSUB: 0,5\r\n"+ok+ml307Says(`"suback",0,5,0`))
			ml307Scripted(t, x, tc.sent, func(ctx context.Context, m *Modem, s Session, _ error) {
				if err := s.Subscribe(ctx, "t", 1); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Second)
				for _, want := range tc.want {
					if d, err := s.Receive(ctx); err != nil || string(d.Message().Payload) != want {
						t.Errorf("%v, %v; want %q", d, err, want)
					}
				}
				if n := m.Counters().Unreadable; n != tc.lost || s.Err() != nil {
					t.Errorf("%d are lost, want %d; %v", n, tc.lost, s.Err())
				}
				s.(*ml307Session).end(ErrSessionClosed)
				if d, err := s.Receive(ctx); err == nil {
					t.Errorf("received %v, too", d)
				}
			})
		})
	}
}

// Why a session does not come to be, or a subscription.
func TestML307CannotDial(t *testing.T) {
	clean := exchanges{"AT+MQTTDISC=0\r", "\r\n+CME ERROR: 602\r\n"}
	refused, test := "\r\n+CME ERROR: 608\r\n", "AT+MQTTCONN=?\r"
	for answer, want := range map[string]string{
		ok + ml307Says(`"conn",0,3`):   "the modem cannot reach broker.example port 1883: the broker refused the connection",
		ok + ml307Says(`"conn",0,6`):   "the network failed",
		ok + ml307Says(`"conn",0,255`): "state 255",
		refused:                        "the modem cannot reach broker.example port 1883: AT+MQTTCONN",
		ok:                             "no answer in time",
	} {
		x := ml307Dialled.with(map[string]string{"AT+MQTTCONN": answer}).then(clean...)
		if answer == refused {
			x = x.then(test, ok) // the stack is there
		}
		ml307Scripted(t, x, "", func(_ context.Context, _ *Modem, _ Session, err error) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", answer, err)
			}
		})
	}
	none := ml307Dialled.with(map[string]string{`AT+MQTTCFG="version"`: "\r\nERROR\r\n"}).upTo(`AT+MQTTCFG="version"`).then(clean...).then(test, "\r\nERROR\r\n")
	ml307Scripted(t, none, "", func(_ context.Context, _ *Modem, _ Session, err error) {
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "has no MQTT stack") {
			t.Error(err)
		}
	})
	for answer, want := range map[string]string{`"suback",0,5,128`: "the broker refused it", `"timeout",0,5`: "the broker did not answer"} {
		x := ml307Dialled.then("AT+MQTTSUB=0,\"t\",1\r", "\r\n+MQTTSUB: 0,5\r\n"+ok+ml307Says(answer))
		ml307Scripted(t, x, "", func(ctx context.Context, m *Modem, s Session, _ error) {
			if err := s.Subscribe(ctx, "t", 1); err == nil || !strings.Contains(err.Error(), "subscribe to t: "+want) {
				t.Error(err)
			}
			s.(*ml307Session).end(ErrSessionClosed)
		})
	}
}
