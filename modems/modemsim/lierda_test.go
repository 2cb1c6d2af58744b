package modemsim

import (
	"fmt"
	"strings"
	"testing"
)

// nt starts an NT35E that has a session with a broker in this process.
func nt(t *testing.T, specs ...string) (*host, *broker) {
	t.Helper()
	b := newBroker(t)
	h := start(t, Config{Model: "nt35e", Map: map[string]string{"broker:1883": b.addr}, Faults: append([]string{"echo=off"}, specs...)})
	h.ask(`AT+LMQTTCFG="urc",0,1`, isOK)
	h.ask(`AT+LMQTTCFG="recv/mode",0,0,1`, isOK)
	h.ask(`AT+LMQTTOPEN=0,"broker",1883`, isOK+urc("+LMQTTOPEN: 0,0"))
	h.ask(`AT+LMQTTCONN=0,"sim"`, isOK+urc("+LMQTTCONN: 0,0,0"))
	return h, b
}

// The message of AT+LMQTTPUB stands in its line as it is, or comes by prompt; each result bears the message's id.
func TestLierdaPublish(t *testing.T) {
	t.Parallel()
	h, b := nt(t)
	for qos := range 3 {
		for i, text := range []string{`{"imei":"8646","rssi":27}`, `a"b;c,d`, strings.Repeat("x", 1024)} {
			id := 0
			if qos > 0 {
				id = 10*qos + i
			}
			h.ask(fmt.Sprintf(`AT+LMQTTPUB=0,%d,%d,0,"t",%d,"%s"`, id, qos, len(text), text), isOK+urc("+LMQTTPUB: 0,%d,0", id))
			if p := b.next(t); string(p.Payload) != text || p.FixedHeader.Qos != byte(qos) {
				t.Errorf("got %q at QoS %d", p.Payload, p.FixedHeader.Qos)
			}
		}
	}
	h.send("AT+LMQTTPUB=0,7,1,1,\"t\",4\r\n")
	h.expect("\r\n> ")
	h.send("\n\x00\"\x1a")
	h.expect(isOK + urc("+LMQTTPUB: 0,7,0"))
	if p := b.next(t); string(p.Payload) != "\n\x00\"\x1a" || !p.FixedHeader.Retain {
		t.Errorf("got %q", p.Payload)
	}
	long := strings.Repeat("x", 1025)
	for _, bad := range []string{
		`AT+LMQTTPUB=0,7,1,0,"t",1025,"` + long + `"`, `AT+LMQTTPUB=0,7,1,0,"t",3,"ab"`, `AT+LMQTTPUB=0,7,0,0,"t",1,"a"`,
		`AT+LMQTTPUB=0,0,1,0,"t",1,"a"`, `AT+LMQTTPUB=1,7,1,0,"t",1,"a"`, `AT+LMQTTPUB=0,7,1,0,"t",8001`, `AT+LMQTTPUB=0,7,3,0,"t",1,"a"`,
	} {
		h.ask(bad, isError)
	}
}

// A message is announced in each of the forms that the settings and the firmware give it.
func TestLierdaReceive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault, cfg, want string
	}{
		"with length":     {"", `"recv/mode",0,0,1`, `+LMQTTURC: RECV,0,1,"down/t",3,a,b`},
		"in quotes":       {"quoted", `"recv/mode",0,0,1`, `+LMQTTURC: RECV,0,1,"down/t",3,"a,b"`},
		"without length":  {"", `"recv/mode",0,0,0`, `+LMQTTURC: RECV,0,1,"down/t",a,b`},
		"length ignored":  {"nolength", `"recv/mode",0,0,1`, `+LMQTTURC: RECV,0,1,"down/t",a,b`},
		"kept for a read": {"", `"cache",0,1`, `+LMQTTURC: RECV,0,1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var faults []string
			if c.fault != "" {
				faults = []string{c.fault}
			}
			h, b := nt(t, faults...)
			h.ask("AT+LMQTTCFG="+c.cfg, isOK)
			h.ask(`AT+LMQTTSUBUNSUB=0,0,1,"down/#",1`, isOK+urc("+LMQTTSUBUNSUB: 0,1,0,1"))
			if err := b.Publish("down/t", []byte("a,b"), false, 1); err != nil {
				t.Fatal(err)
			}
			h.expect(urc("%s", c.want))
			if name == "kept for a read" {
				h.ask("AT+LMQTTREAD=0,1", "\r\n+LMQTTREAD: RECV,0,1,\"down/t\",3,a,b\r\n"+isOK)
			}
		})
	}
}

// What AT+LMQTTCFG has set is gone with the connection.
func TestLierdaForgets(t *testing.T) {
	t.Parallel()
	h, _ := nt(t)
	h.ask(`AT+LMQTTCFG="recv/mode",0`, "\r\n+LMQTTCFG: \"recv/mode\",0,1\r\n"+isOK)
	h.ask("AT+LMQTTDISC=0", isOK+urc("+LMQTTDISC: 0,0"))
	h.ask(`AT+LMQTTCFG="recv/mode",0`, "\r\n+LMQTTCFG: \"recv/mode\",0,0\r\n"+isOK)
	h.ask(`AT+LMQTTCFG="keepalive",0,3601`, isError)
	h.ask(`AT+LMQTTCFG="nonsense",0,1`, isError)
}

// The Q firmware of the same module speaks Quectel's commands and none of Lierda's for MQTT.
func TestNT35EQ(t *testing.T) {
	t.Parallel()
	h := start(t, Config{Model: "nt35e-q", Faults: []string{"echo=off"}})
	h.ask("AT+LMQTTCONN?", isError)
	h.ask("AT+QMTCONN?", isOK)
	h.ask("AT+LGMR", "\r\nNT35ECNA00NNA-Q01010950\r\n"+isOK)
}
