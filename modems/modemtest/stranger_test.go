package modemtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// strangers are topics that a stranger may send to whom subscribes to strange/#: they hold what ends a topic in an AT
// line, and what announces a payload there, shorter or longer than it is. (Where he counts so well that his topic's number
// fits, his message is taken for one to the beginning of that topic, to which he may send as well.)
var strangers = []string{
	`q"u,o`, `"`, `a""b`, `",`, `a",3,x`, `a",3 byte,x`, `a",0,`, `a",40,`, `a",40 byte,`, `a",9,b",9 byte,c",8 byte,d`,
}

// Whoever may send to a topic that is subscribed to can neither end the session nor take others' messages or answers from
// it: his messages come as he has sent them.
func TestStrangersTopics(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		for what, faults := range map[string][]string{"as documented": nil, "without quotes": {"unquoted"}, "with quotes": {"quoted"}} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				cloud := newBroker(t, false)
				b := newBench(t, name, faults...)
				m, s := b.session(cloud, modems.Options{})
				if err := s.Subscribe(b.ctx, "strange/#", 1); err != nil {
					t.Fatal(err)
				}
				for i, topic := range strangers {
					for _, payload := range []string{"open", `",4,open`, "\r\nOK\r\n\"", strings.Repeat("x,", 200)} {
						sent := modems.Message{Topic: "strange/" + topic, Payload: []byte(payload), QoS: 1}
						after := modems.Message{Topic: "strange/after", Payload: fmt.Append(nil, i), QoS: 1}
						cloud.send(sent)
						if !strings.Contains(topic, `",40`) { // it swallows 40 bytes until the line is silent, and a prompt with them
							b.publish(s, modems.Message{Topic: "up", Payload: []byte("meanwhile"), QoS: 1})
						}
						cloud.send(after)
						for _, want := range []modems.Message{sent, after} {
							d, err := s.Receive(b.ctx)
							if err != nil {
								t.Fatalf("%s %q: %v", want.Topic, want.Payload, err)
							}
							if got := d.Message(); got.Topic != want.Topic || !bytes.Equal(got.Payload, want.Payload) {
								t.Errorf("received %s %q, want %s %q", got.Topic, got.Payload, want.Topic, want.Payload)
							}
						}
					}
				}
				if n := m.Counters().Unreadable; n > 0 || s.Err() != nil {
					t.Errorf("%d messages could not be read; %v", n, s.Err())
				}
			})
		}
	})
}

// A message that makes no sense is lost, counted and logged; the session stands, and the next one comes.
func TestUnreadableMessage(t *testing.T) {
	unreadable := map[string]string{
		"ec600": `+QMTRECV: 0,1,"t",2,"abcd"`, "nt35e-q": `+QMTRECV: 0,1,"t",2,"abcd"`, "nt35e": `+LMQTTURC: RECV,0,1,"t",2,abcd`, "air724ug": `+MSUB: "t",2 byte,abcd`,
	}
	eachDriver(t, func(t *testing.T, name string) {
		cloud := newBroker(t, false)
		b := newBench(t, name)
		m, s := b.session(cloud, modems.Options{})
		if err := s.Subscribe(b.ctx, "down/#", 1); err != nil {
			t.Fatal(err)
		}
		if unreadable[name] == "" {
			t.Fatal("what does it print that cannot be read?")
		}
		b.sim.Inject(unreadable[name])
		b.publish(s, modems.Message{Topic: "up", Payload: []byte("x"), QoS: 1})
		cloud.send(modems.Message{Topic: "down/next", Payload: []byte("y"), QoS: 1})
		if d, err := s.Receive(b.ctx); err != nil || d.Message().Topic != "down/next" {
			t.Errorf("%v, %v", d, err)
		}
		if n := m.Counters().Unreadable; n != 1 || s.Err() != nil {
			t.Errorf("%d messages could not be read; %v", n, s.Err())
		}
	})
}
