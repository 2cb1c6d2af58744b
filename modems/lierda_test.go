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

const ok = "\r\nOK\r\n"

// exchanges is what the host sends and what the module answers, in turn.
type exchanges []string

// play sends answers byte by byte, and the last one whole: the host may close the port when it has that.
func (x exchanges) play(d *attest.DCE) {
	for i := 0; i+1 < len(x); i += 2 {
		d.Expect(x[i])
		if i+2 < len(x) {
			d.Send(x[i+1])
		} else {
			d.SendWhole(x[i+1])
		}
	}
}

// identified is the start with a module that says nothing of its flavour yet, up to its probe.
func identified(revision string) exchanges {
	return exchanges{
		"AT\r", ok, "ATE0\r", ok, "AT+CMEE=1\r", ok, "AT+CMEE?\r", "\r\n+CMEE: 1\r\n" + ok,
		"AT+CGMI\r", "\r\nLierda\r\n" + ok,
		"AT+CGMM\r", "\r\nNT26-KCN\r\n" + ok,
		"AT+CGMR\r", "\r\n+CGMR: \r\n" + revision + "\r\n" + ok,
		"AT+CGSN\r", "\r\n+CGSN: \"860000000000001\"\r\n" + ok,
	}
}

const revisionL = "NT26KCNA00NNA-L01010950"

// lierdaDialled is a dial without credentials, up to CONNACK.
var lierdaDialled = exchanges{
	"AT+LMQTTDISC=0\r\n", "\r\n+CME ERROR: 3\r\n",
	"AT+LMQTTCLOSE=0\r\n", ok + "\r\n+LMQTTCLOSE: 0,0\r\n",
	`AT+LMQTTCFG="urc",0,1` + "\r\n", ok,
	`AT+LMQTTCFG="cache",0,0` + "\r\n", ok,
	`AT+LMQTTCFG="send/mode",0,0` + "\r\n", ok,
	`AT+LMQTTCFG="recv/mode",0,0,1` + "\r\n", ok,
	`AT+LMQTTCFG="version",0,4` + "\r\n", ok,
	`AT+LMQTTCFG="session",0,1` + "\r\n", ok,
	`AT+LMQTTCFG="keepalive",0,60` + "\r\n", ok,
	`AT+LMQTTCFG="timeout",0,5,3,0` + "\r\n", ok,
	`AT+LMQTTCFG="will",0,0` + "\r\n", ok,
	`AT+LMQTTOPEN=0,"broker.example",1883` + "\r\n", ok + "\r\n+LMQTTOPEN: 0,0\r\n",
	`AT+LMQTTCONN=0,"cid"` + "\r\n", "\r\n+LMQTTCONN: 0,0,0\r\n" + ok, // the result before OK, as seen on an NT26-KCN
}

var lierdaConfig = MQTTConfig{Host: "broker.example", Port: 1883, ClientID: "cid", KeepAlive: time.Minute, CleanSession: true}

// with returns x with other answers to some commands, each named by the beginning of its line.
func (x exchanges) with(changes map[string]string) exchanges {
	x = append(exchanges{}, x...)
	for begin, answer := range changes {
		found := false
		for i := 0; i < len(x); i += 2 {
			if strings.HasPrefix(x[i], begin) {
				x[i+1], found = answer, true
			}
		}
		if !found {
			panic("no command begins with " + begin)
		}
	}
	return x
}

// upTo returns x without what follows the command that begins so.
func (x exchanges) upTo(begin string) exchanges {
	for i := 0; i < len(x); i += 2 {
		if strings.HasPrefix(x[i], begin) {
			return x[: i+2 : i+2]
		}
	}
	panic("no command begins with " + begin)
}

func (x exchanges) then(more ...string) exchanges { return append(x[:len(x):len(x)], more...) }

// ended is what the host sends when a dial has failed.
var lierdaCleaned = exchanges{"AT+LMQTTDISC=0\r\n", "\r\nERROR\r\n", "AT+LMQTTCLOSE=0\r\n", "\r\nERROR\r\n"}

// withModem attaches to a module that plays script behind the start, in a bubble where waiting takes no time. The
// host may send nothing that the script does not expect.
func withModem(t *testing.T, script func(d *attest.DCE), fn func(ctx context.Context, m *Modem)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, port := attest.New(t)
		scripted := make(chan struct{})
		go func() {
			defer close(scripted)
			identified(revisionL).play(d)
			script(d)
		}()
		m, err := Attach(t.Context(), port, Options{})
		if err != nil {
			t.Fatal(err)
		}
		fn(t.Context(), m)
		<-scripted
		m.Close()
		synctest.Wait()
	})
}

// withSession is withModem with a session; script plays behind the dial.
func withSession(t *testing.T, script func(d *attest.DCE), fn func(ctx context.Context, s Session)) {
	t.Helper()
	withModem(t, func(d *attest.DCE) {
		lierdaDialled.play(d)
		script(d)
	}, func(ctx context.Context, m *Modem) {
		s, err := m.DialMQTT(ctx, lierdaConfig)
		if err != nil {
			t.Fatal(err)
		}
		fn(ctx, s)
		s.(*lierdaSession).end(ErrSessionClosed) // no goroutine of it is left
	})
}

// The commands of the article in which the AT manual is quoted, with stand-ins for its names.
func TestLierdaArticle(t *testing.T) {
	aliyun := &AliyunAuth{ProductKey: "<pk>", DeviceName: "NT35E_06011", DeviceSecret: "<ds>"}
	topic := "/<pk>/NT35E_06011/user/COMMUTEST"
	cloud, auth := lierdaAliyun(aliyun)
	var got strings.Builder
	for _, c := range []atcmd.Command{
		cloud, auth,
		lierdaOpen("<pk>.iot-as-mqtt.cn-shanghai.aliyuncs.com", 1883),
		lierdaConnect(MQTTConfig{ClientID: "NT35E", Aliyun: aliyun}),
		lierdaSubscribe(1, topic, 2),
		lierdaInline(0, Message{Topic: topic, Payload: []byte("1122334455"), Retain: true}),
	} {
		fmt.Fprintf(&got, "AT%s\n", c.Line)
	}
	want := `AT+LMQTTCFG="cloud",0,2,1
AT+LMQTTCFG="aliauth",0,"<pk>","NT35E_06011","<ds>"
AT+LMQTTOPEN=0,"<pk>.iot-as-mqtt.cn-shanghai.aliyuncs.com",1883
AT+LMQTTCONN=0,"NT35E"
AT+LMQTTSUBUNSUB=0,0,1,"/<pk>/NT35E_06011/user/COMMUTEST",2
AT+LMQTTPUB=0,0,0,1,"/<pk>/NT35E_06011/user/COMMUTEST",10,"1122334455"
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	if s := auth.String(); strings.Contains(s, "<ds>") {
		t.Errorf("the secret is printed: %s", s)
	}
}

// Each way to fail on the way to a session has its words, in each form that firmware is known or thought to print; what has
// been opened is closed again.
func TestLierdaDialFails(t *testing.T) {
	opened := func(result string) exchanges {
		return lierdaDialled.upTo("AT+LMQTTOPEN").with(map[string]string{"AT+LMQTTOPEN": ok + "\r\n+LMQTTOPEN: 0," + result + "\r\n"}).then(lierdaCleaned...)
	}
	connected := func(answer string) exchanges {
		return lierdaDialled.with(map[string]string{"AT+LMQTTCONN": ok + "\r\n" + answer + "\r\n"}).then(lierdaCleaned...)
	}
	asked := exchanges{"AT+LMQTTCONN?\r\n", "\r\n+LMQTTCONN: 0,2\r\n" + ok}
	for name, tc := range map[string]struct {
		script exchanges
		want   string
	}{
		"no name":                 {opened("-1,4"), "the name of the broker could not be resolved"},
		"no name, without -1":     {opened("4"), "the name of the broker could not be resolved"},
		"no network":              {opened("-1"), "the network could not be opened"},
		"bad password":            {connected("+LMQTTCONN: 0,0,4"), "the broker refused the connection: bad user name or password"},
		"bad password, otherwise": {connected("+LMQTTCONN: 0,1,5"), "the broker refused the connection: not authorised"},
		"bad password, as a loss": {connected("+LMQTTURC: STATS,0,15,5").then()[:len(lierdaDialled):len(lierdaDialled)].then(asked...).then(lierdaCleaned...), "the broker refused the connection: not authorised"},
		"could not be sent":       {connected("+LMQTTCONN: 0,2"), "CONNECT could not be sent"},
		"settings refused":        {lierdaDialled.upTo(`AT+LMQTTCFG="keepalive"`).with(map[string]string{`AT+LMQTTCFG="keepalive"`: "\r\nERROR\r\n"}).then(lierdaCleaned...), "configuring MQTT"},
	} {
		t.Run(name, func(t *testing.T) {
			withModem(t, tc.script.play, func(ctx context.Context, m *Modem) {
				if _, err := m.DialMQTT(ctx, lierdaConfig); err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v; want %q", err, tc.want)
				}
			})
		})
	}
}

// A message that the module keeps back is an error in the log; those around it come, in each form.
func TestLierdaReceives(t *testing.T) {
	withSession(t, func(d *attest.DCE) {
		d.Send("\r\n+LMQTTURC: RECV,0,1,\"t\",3,a,b\r\n\r\n+LMQTTURC: RECV,0,2\r\n\r\n+LMQTTURC: \"recv\",0,3,\"t\",2,\"\r\n\"\r\n\r\n+LMQTTURC:RECV,1,4,\"other client\",1,x\r\n")
	}, func(ctx context.Context, s Session) {
		for _, want := range []string{"a,b", "\r\n"} {
			d, err := s.Receive(ctx)
			if err != nil || string(d.Message().Payload) != want {
				t.Errorf("%v, %v; want %q", d, err, want)
			}
		}
	})
}

// What the commands cannot carry is refused before a byte is sent, with the name of the setting and its limit.
func TestLierdaSuits(t *testing.T) {
	for want, change := range map[string]func(c *MQTTConfig){
		"mqtts on the module's own stack":                        func(c *MQTTConfig) { c.TLS = &TLSConfig{} },
		"cloud.client_id":                                        func(c *MQTTConfig) { c.ClientID = `a"b` },
		"cloud.username has 257 bytes; the module takes 256":     func(c *MQTTConfig) { c.Username = strings.Repeat("u", 257) },
		"cloud.broker has 101 bytes; the module takes 100":       func(c *MQTTConfig) { c.Host = strings.Repeat("h", 101) },
		"cloud.password":                                         func(c *MQTTConfig) { c.Password = "p\r\nAT+CFUN=0" },
		"the will's message has 257 bytes; the module takes 256": func(c *MQTTConfig) { c.Will = &Message{Topic: "t", Payload: []byte(strings.Repeat("w", 257))} },
	} {
		cfg := lierdaConfig
		change(&cfg)
		if err := lierdaSuits(cfg); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CFUN") {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
