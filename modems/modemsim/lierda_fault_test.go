package modemsim

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func init() { maps.Copy(faultTests, ntKnobTests) }

// ntBare starts an NT35E that has no connection.
func ntBare(t *testing.T, addr string, specs ...string) *host {
	t.Helper()
	cfg := Config{Model: "nt35e", Faults: append([]string{"echo=off"}, specs...)}
	if addr != "" {
		cfg.Map = map[string]string{"broker:1883": addr}
	}
	return start(t, cfg)
}

const (
	ntROM  = "^boot.rom'v\x80\xfe'!\\n"
	ntOpen = `AT+LMQTTOPEN=0,"broker",1883`
)

// ntOnline brings the module to a session with a broker that only does what it is told.
func (f *fake) ntOnline(h *host) *packets.ConnectPacket {
	h.t.Helper()
	h.ask(ntOpen, isOK)
	f.accept()
	h.expect(urc("+LMQTTOPEN: 0,0"))
	h.ask(`AT+LMQTTCONN=0,"sim"`, isOK)
	c := next[*packets.ConnectPacket](f)
	f.accepted(0)
	h.expect(urc("+LMQTTCONN: 0,0,0"))
	return c
}

func ntPublish(id int) string { return fmt.Sprintf(`AT+LMQTTPUB=0,%d,1,0,"t",1,"x"`, id) }

// ntKnobTests has the knobs that this model alone has.
var ntKnobTests = map[string]func(t *testing.T){
	"rom": func(t *testing.T) {
		ready := urc("+CPIN: READY")
		ntBare(t, "", "boot-delay=1ms").expect(ntROM + ready)
		ntBare(t, "", "boot-delay=1ms", "rom=line").expect(ntROM + "\r\n" + ready)
		ntBare(t, "", "boot-delay=1ms", "rom=lierda").expect(ntROM + "\r\n" + urc("LierdaNT35ECNA00NNA-L01020304") + ready)
	},
	"silent": func(t *testing.T) {
		b := newBroker(t)
		h := ntBare(t, b.addr, "silent")
		h.ask(ntOpen, isOK)
		h.silent(50 * time.Millisecond)
		h.ask(`AT+LMQTTCFG="urc",0,1`, isOK)
		h.ask(`AT+LMQTTCONN=0,"sim"`, isOK+urc("+LMQTTCONN: 0,0,0"))
	},
	"quoted": func(t *testing.T) {
		h, b := nt(t, "quoted")
		h.ask(`AT+LMQTTSUBUNSUB=0,0,1,"t",0`, isOK+urc("+LMQTTSUBUNSUB: 0,1,0,1"))
		if err := b.Publish("t", []byte("a"), false, 0); err != nil {
			t.Fatal(err)
		}
		h.expect(urc(`+LMQTTURC: RECV,0,0,"t",1,"a"`))
	},
	"conn-refused": func(t *testing.T) {
		for specs, want := range map[string]string{"conn=0,5": "+LMQTTCONN: 0,0,5", "conn=0,5 conn-refused=result": "+LMQTTCONN: 0,1,5"} {
			h := ntBare(t, newBroker(t).addr, strings.Fields(specs)...)
			h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,0"))
			h.ask(`AT+LMQTTCONN=0,"sim"`, isOK+urc("%s", want))
		}
	},
	"open-bare": func(t *testing.T) {
		ntBare(t, "", "noreg").ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,-1,3"))
		ntBare(t, "", "noreg", "open-bare").ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,3"))
	},
	"uncertain": func(t *testing.T) {
		h, _ := nt(t, "uncertain=2")
		for id, result := range []string{"0", "1,6", "0"} {
			h.ask(ntPublish(id+1), isOK+urc("+LMQTTPUB: 0,%d,%s", id+1, result))
		}
	},
	"stale-id": func(t *testing.T) {
		h, _ := nt(t, "stale-id")
		h.ask(ntPublish(1), isOK+urc("+LMQTTPUB: 0,%d,2", 1^0x4000)+urc("+LMQTTPUB: 0,1,0"))
	},
	"unsub": func(t *testing.T) {
		for spec, name := range map[string]string{"iccid=1": "SUBUNSUB", "unsub=UNSUNSUB": "UNSUNSUB", "unsub=UNSUB": "UNSUB", "unsub=UNSUBUNSUB": "UNSUBUNSUB"} {
			h, _ := nt(t, spec)
			h.ask(`AT+LMQTTSUBUNSUB=0,0,1,"t",1`, isOK+urc("+LMQTTSUBUNSUB: 0,1,0,1"))
			h.ask(`AT+LMQTTSUBUNSUB=0,1,2,"t"`, isOK+urc("+LMQTT%s: 0,2,0", name))
		}
	},
	"no-lcfg": func(t *testing.T) {
		h := ntBare(t, "", "no-lcfg=send/mode")
		h.ask(`AT+LMQTTCFG="send/mode",0,0`, isError)
		h.ask(`AT+LMQTTCFG="version",0,4`, isOK)
	},
	"inline-max": func(t *testing.T) {
		h, _ := nt(t, "inline-max=1")
		h.ask(ntPublish(1), isOK+urc("+LMQTTPUB: 0,1,0"))
		h.ask(`AT+LMQTTPUB=0,2,1,0,"t",2,"xx"`, isError)
		h.ask(`AT+LMQTTPUB=0,2,1,0,"t",2`, "\r\n> ")
		h.send("xx")
		h.expect(isOK + urc("+LMQTTPUB: 0,2,0"))
	},
	"stats-storm": func(t *testing.T) {
		h, _ := nt(t, "stats-storm=1")
		h.ask(`AT+LMQTTPUB=0,0,0,0,"t",1,"x"`, isOK+strings.Repeat(urc("+LMQTTURC: STATS,0,9"), 5))
		h.ask("AT+LMQTTCONN?", isOK)
	},
}

// ntFaultTests has the knobs of every model, as far as they do something of their own here.
var ntFaultTests = map[string]func(t *testing.T){
	"iccid": func(t *testing.T) {
		ntBare(t, "", "iccid=8986F").ask("AT+LCCID;+ECICCID", urc("+LCCID: 8986F")+urc("+ECICCID: 8986F")+isOK)
	},
	"qiact-error": func(t *testing.T) {
		h := ntBare(t, "", "qiact-error")
		h.ask("AT+CGACT?", urc("+CGACT: 1,0")+isOK)
		h.ask("AT+CGACT=1,1", isError)
		h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,-1,3"))
	},
	"pdpdeact": func(t *testing.T) {
		h, _ := nt(t, "pdpdeact=1")
		h.ask(ntPublish(1), isOK+urc("+CGEV: NW PDN DEACT 1")+urc("+LMQTTURC: STATS,0,11"))
	},
	"nolength": func(t *testing.T) {
		h, b := nt(t, "nolength")
		h.ask(`AT+LMQTTSUBUNSUB=0,0,1,"t",0`, isOK+urc("+LMQTTSUBUNSUB: 0,1,0,1"))
		if err := b.Publish("t", []byte("a,b"), false, 0); err != nil {
			t.Fatal(err)
		}
		h.expect(urc(`+LMQTTURC: RECV,0,0,"t",a,b`))
	},
	"no-recvmode": func(t *testing.T) {
		ntBare(t, "", "no-recvmode").ask(`AT+LMQTTCFG="recv/mode",0,0,1`, isError)
	},
	"open": func(t *testing.T) {
		b := newBroker(t)
		h := ntBare(t, b.addr, "open=4x1")
		h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,-1,4"))
		h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,0"))
		h.ask(ntOpen, isOK+urc("+LMQTTOPEN: 0,-1,2"))
	},
	"stat": func(t *testing.T) {
		h, _ := nt(t, "stat=7@1")
		h.ask(ntPublish(1), isOK+urc("+LMQTTURC: STATS,0,7"))
	},
	"pubex-error": func(t *testing.T) {
		h, _ := nt(t, "pubex-error=2")
		h.ask(ntPublish(1), isOK+urc("+LMQTTPUB: 0,1,0"))
		h.ask(ntPublish(2), isError)
	},
	"early-urc": func(t *testing.T) {
		h := ntBare(t, newBroker(t).addr, "early-urc")
		h.ask(ntOpen, urc("+LMQTTOPEN: 0,0")+isOK)
		h.ask(`AT+LMQTTCONN=0,"sim"`, urc("+LMQTTCONN: 0,0,0")+isOK)
		h.ask(ntPublish(1), urc("+LMQTTPUB: 0,1,0")+isOK)
		h.ask("AT+LMQTTDISC=0", urc("+LMQTTDISC: 0,0")+isOK)
	},
	"pub-fail": func(t *testing.T) {
		h, _ := nt(t, "pub-fail=1")
		h.ask(ntPublish(1), isOK+urc("+LMQTTPUB: 0,1,2"))
	},
	"drop-urc": func(t *testing.T) {
		h, b := nt(t, "drop-urc=1")
		h.ask(ntPublish(1), isOK)
		b.next(t)
		h.silent(50 * time.Millisecond)
	},
	"lose-puback": func(t *testing.T) {
		f := newFake(t)
		h := ntBare(t, f.l.Addr().String(), "lose-puback=1")
		h.ask(`AT+LMQTTCFG="timeout",0,1,1`, isOK)
		f.ntOnline(h)
		h.ask(ntPublish(9), isOK)
		f.puback(next[*packets.PublishPacket](f).MessageID)
		again := next[*packets.PublishPacket](f)
		if !again.Dup || again.MessageID != 9 {
			t.Errorf("got %v", again)
		}
		f.puback(9)
		h.expect(urc("+LMQTTPUB: 0,9,0"))
	},
	"fail-inflight": func(t *testing.T) {
		f := newFake(t)
		h := ntBare(t, f.l.Addr().String(), "fail-inflight")
		f.ntOnline(h)
		for id := 1; id <= 2; id++ {
			h.ask(ntPublish(id), isOK)
			next[*packets.PublishPacket](f)
		}
		f.conn.Close()
		h.expect(urc("+LMQTTPUB: 0,1,2") + urc("+LMQTTPUB: 0,2,2") + urc("+LMQTTURC: STATS,0,1"))
	},
	"wedge": func(t *testing.T) {
		h, b := nt(t, "wedge=1")
		h.ask(ntPublish(1), isOK)
		b.next(t)
		h.send("AT\r")
		h.silent(50 * time.Millisecond)
	},
	"reboot": func(t *testing.T) {
		h, _ := nt(t, "reboot=1")
		h.ask(ntPublish(1), isOK+ntROM+urc("+CPIN: READY"))
		h.ask("AT+LMQTTCONN?", isOK)
	},
	"reboot-prompt": func(t *testing.T) {
		h, _ := nt(t, "reboot-prompt=1")
		h.ask(`AT+LMQTTPUB=0,7,1,0,"t",4`, "\r\n> "+ntROM+urc("+CPIN: READY"))
	},
	"blackhole": func(t *testing.T) {
		h, b := nt(t, "blackhole=1")
		h.ask(`AT+LMQTTPUB=0,0,0,0,"t",1,"x"`, isOK+urc("+LMQTTPUB: 0,0,0"))
		b.next(t)
		h.ask(ntPublish(1), isOK)
		h.silent(50 * time.Millisecond)
		h.ask("AT+LMQTTCONN?", urc("+LMQTTCONN: 0,3")+isOK)
	},
}

func TestNTFaults(t *testing.T) {
	t.Parallel()
	for name, test := range ntFaultTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// A knob that has another meaning here has another test too.
func TestEveryNTFaultIsTested(t *testing.T) {
	t.Parallel()
	for name, says := range lierdaMeaning {
		if findFault(name) < 0 {
			t.Errorf("there is no fault %s", name)
		}
		if says != "" && ntFaultTests[name] == nil {
			t.Errorf("%s has no test that it happens", name)
		}
	}
}
