package modemsim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// A test that ends without AT+MCONNECT dials a peer or a fake: mochi's Close and a connection that has said
// nothing yet race for its wait group.

// airOff starts an Air724UG without echo that has no session yet.
func airOff(t *testing.T, addr string, specs ...string) *host {
	t.Helper()
	return start(t, Config{
		Model: "air724ug", Map: map[string]string{"broker:1883": addr, "broker:8883": addr, "server:80": addr},
		Faults: append([]string{"echo=off"}, specs...),
	})
}

// air starts one that has a session with a broker in this process.
func air(t *testing.T, specs ...string) (*host, *broker) {
	t.Helper()
	b := newBroker(t)
	h := airOff(t, b.addr, specs...)
	h.airConnect()
	return h, b
}

func (h *host) airConnect() {
	h.t.Helper()
	h.ask(`AT+MCONFIG="sim"`, isOK)
	h.ask(`AT+MIPSTART="broker",1883`, isOK+urc("CONNECT OK"))
	h.ask("AT+MCONNECT=1,60", isOK+urc("CONNACK OK"))
}

// airOnline brings h to a session with a broker that does nothing by itself.
func (f *fake) airOnline(h *host) *packets.ConnectPacket {
	h.t.Helper()
	h.ask(`AT+MCONFIG="sim"`, isOK)
	return f.airSession(h)
}

func (f *fake) airSession(h *host) *packets.ConnectPacket {
	h.t.Helper()
	h.ask(`AT+MIPSTART="broker",1883`, isOK)
	f.accept()
	h.expect(urc("CONNECT OK"))
	h.ask("AT+MCONNECT=1,60", isOK)
	c := next[*packets.ConnectPacket](f)
	f.accepted(0)
	h.expect(urc("CONNACK OK"))
	return c
}

// airOffer publishes with AT+MPUBEX up to the payload.
func (h *host) airOffer(qos int, topic, payload string) {
	h.t.Helper()
	h.ask(fmt.Sprintf(`AT+MPUBEX="%s",%d,0,%d`, topic, qos, len(payload)), "\r\n> ")
	h.send(payload)
}

const airBanner = "\r\nRDY\r\n\r\n^MODE: 17,17\r\n\r\n+E_UTRAN Service\r\n\r\n+CGEV: ME PDN ACT 5\r\n\r\n+NITZ: "

// airBoots reads a whole boot.
func (h *host) airBoots() {
	h.t.Helper()
	h.expect(airBanner)
	h.until("+0,0\r\n")
}

// The public log of an Air724UG with Aliyun, its HTTP part left out, its host ending lines with CR LF.
func TestAirDialogueL1(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	const server = "a1mxL3s6Z7m.iot-as-mqtt.cn-shanghai.aliyuncs.com"
	h := start(t, Config{
		Model: "air724ug", Baud: 115200, Latency: "sheet", Map: map[string]string{server + ":1883": b.addr},
		Faults: []string{"revision=AirM2M_Air724UG_V409_LTE_AT", "no-mpubex"},
	})
	for _, c := range [][2]string{
		{"AT+CGMR", urc(`+CGMR: "AirM2M_Air724UG_V409_LTE_AT"`) + isOK},
		{"AT+CPIN?", urc("+CPIN: READY") + isOK},
		{"AT+CGATT?", urc("+CGATT: 1") + isOK},
		{"AT+CSTT", isOK},
		{"AT+SAPBR=1,1", isOK},
		{"AT+CIICR", isOK},
		{"AT+CIFSR", urc("10.7.157.1")},
		{"AT+CIPSTATUS", isOK + urc("STATE: IP STATUS")},
		{`AT+MCONFIG="866714043075174","GAQYuiW0qid2H5NfMu9l000100","^1^1589511374876^27f6f5a03b709fc"`, isOK},
		{`AT+MIPSTART="` + server + `",1883`, isOK + urc("CONNECT OK")},
		{"AT+MCONNECT=1,120", isOK + urc("CONNACK OK")},
		{`AT+MPUB="/a1mxL3s6Z7m/866714043075174/user/update",1,0,"HelloWorld"`, isOK + urc("PUBACK")},
		{`AT+MSUB="/a1mxL3s6Z7m/866714043075174/user/get",0`, isOK + urc("SUBACK")},
		{"AT+MQTTMSGSET=0", isOK},
	} {
		h.send(c[0] + "\r\n")
		h.expect(c[0] + "\r\n" + c[1])
	}
	if p := b.next(t); string(p.Payload) != "HelloWorld" || p.FixedHeader.Qos != 1 {
		t.Errorf("got %v", p)
	}
	if err := b.Publish("/a1mxL3s6Z7m/866714043075174/user/get", []byte("Hello World"), false, 0); err != nil {
		t.Fatal(err)
	}
	h.expect(urc(`+MSUB: "/a1mxL3s6Z7m/866714043075174/user/get",11 byte,Hello World`))
}

// What each command answers, byte for byte.
func TestAirAnswers(t *testing.T) {
	t.Parallel()
	h := airOff(t, "")
	for line, answer := range map[string]string{
		"ATI":                        urc("AirM2M_720U_V401881_LTE_AT"),
		"AT+VER":                     urc("AirM2M_720U_V401881_LTE_AT"),
		"AT+CGMI":                    urc(`+CGMI: "AirM2M"`),
		"AT+CGMM":                    urc(`+CGMM: "Air724UG"`),
		"AT+CGMR":                    urc(`+CGMR: "AirM2M_720U_V401881_LTE_AT"`),
		"AT+CGSN":                    urc("866714043075174"),
		"AT+CIMI":                    urc("460011234567890"),
		"AT+ICCID":                   urc("+ICCID: 89860025128306012474"),
		"AT+CCID":                    urc("89860025128306012474"),
		"AT+CPIN?":                   urc("+CPIN: READY"),
		"AT+CSQ":                     urc("+CSQ: 28,99"),
		"AT+CESQ":                    urc("+CESQ: 99,99,255,255,19,51"),
		"AT+CBC":                     urc("+CBC: 1,84,4014"),
		"AT+CREG?":                   urc("+CREG: 0,1"),
		"AT+CGATT?":                  urc("+CGATT: 1"),
		"AT+CGACT?":                  urc("+CGACT: 5, 1"),
		"AT+CGPADDR=5":               urc(`+CGPADDR: 5,"IPV4:10.7.157.1    IPV6:::1"`),
		"AT+CGDCONT?":                urc(`+CGDCONT: 5,"IP","cmiot","10.7.157.1",0,0`),
		"AT+COPS?":                   urc(`+COPS: 0,2,"46001",7`),
		"AT+CMEE?":                   urc("+CMEE :1"),
		"AT+CFUN?":                   urc("+CFUN: 1"),
		"AT+IPR?":                    urc("+IPR: 0"),
		"AT+SETUSB?":                 "\r\nmode: 1\r\nVid: 0x1782\r\nPid: 0x4e00\r\n",
		"AT+RNDISCALL=0,0":           "",
		"AT+MCONFIG=?":               urc("+MCONFIG: <clientid>[,<username>,<password>[,(0-2),(0,1),<will_topic>,<will_message>]]"),
		"AT+MSUB=?":                  urc("+MSUB:<topic>,(0-2)"),
		"AT+MPUBEX=?":                urc("+MPUBEX:<topic>,(0-2),(0-1),<len>"),
		"AT+MQTTMODE?":               urc("+MQTTMODE: 0"),
		"AT+MQTTMODE=?":              urc("+MQTTMODE: (0,1)"),
		"AT+MQTTMSGSET?":             urc("+MQTTMSGSET:0"),
		"AT+MQTTMSGSET=?":            urc("+MQTTMSGSET:(0,1)"),
		"AT+MQTTMSGGET":              "",
		"AT+MQTTMSGGET?":             "\r\n+MQTTMSGGET: 0,INVALID\r\n+MQTTMSGGET: 1,INVALID\r\n+MQTTMSGGET: 2,INVALID\r\n+MQTTMSGGET: 3,INVALID\r\n",
		"AT+MQTTSTATU":               "\r\n+MQTTSTATU :0\r\n",
		"AT+MQTTSTATU=?":             "",
		`AT+SSLCFG="seclevel",88`:    urc(`+SSLCFG: "seclevel",88,0`),
		`AT+SSLCFG="cacert",88`:      urc(`+SSLCFG: "cacert",88,""`),
		"AT+CIPSEND?":                urc("+CIPSEND: 1460"),
		"AT+CIPMUX?":                 urc("+CIPMUX: 0"),
		"AT+CSQ;+CREG?":              urc("+CSQ: 28,99") + urc("+CREG: 0,1"),
		`AT+SAPBR=3,1,"APN","cmnet"`: "",
		"AT+SAPBR=2,1":               urc("+SAPBR: 1,3,000.000.000.000"),
	} {
		h.ask(line, answer+isOK)
	}
	for _, bad := range []string{"AT+QCCID", "AT+CIICRR", "AT+MIPSEND=1", "AT+ALIYUN", "AT+CFUN=5", "AT+MQTTSTATU?", "AT+CIFSR", "AT+GMR"} {
		h.ask(bad, isError)
	}
	h.ask("AT*I", urc("Manufacturer: AirM2M\r\nModel: Air724UG\r\nRevision: AirM2M_720U_V401881_LTE_AT\r\nHWver: 1.0\r\n"+
		"Buildtime: 2024-05-20\r\nIMEI: 866714043075174\r\nICCID: 89860025128306012474\r\nIMSI: 460011234567890")+isOK)
	h.ask("AT+SAPBR=0,1", urc("+CME ERROR: 3"))
	h.ask("AT+SAPBR=1,1;+SAPBR=2,1", urc("+SAPBR: 1,1,010.007.157.001")+isOK)
	h.ask("AT+CMEE=2;+CIICR", urc("+CME ERROR: Operation not allowed"))
	h.ask("AT+CMEE=0;+CIICR", isError)
	h.ask("ATQ1", "")
	h.ask("AT+CREG?", urc("+CREG: 0,1"))
}

func TestAirBearer(t *testing.T) {
	t.Parallel()
	h := airOff(t, "")
	state := func(s string) {
		t.Helper()
		h.ask("AT+CIPSTATUS", isOK+urc("STATE: %s", s))
	}
	state("IP INITIAL")
	h.ask("AT+CIICR", urc("+CME ERROR: 3"))
	h.ask(`AT+CSTT="cmnet","u","p"`, isOK)
	state("IP START")
	h.ask("AT+CSTT", urc("+CME ERROR: 3"))
	h.ask("AT+CIPMUX=1", urc("+CME ERROR: 3"))
	h.ask("AT+CIICR", isOK)
	state("IP GPRSACT")
	h.ask("AT+CIFSR", urc("10.7.157.1"))
	state("IP STATUS")
	h.ask("AT+CGATT=0", isOK+urc("+PDP: DEACT"))
	state("PDP DEACT")
	h.ask("AT+CIFSR", isError)
	h.ask("AT+CIPSHUT", urc("SHUT OK"))
	state("IP INITIAL")
	h.ask("AT+CSTT", isOK)
	h.ask("AT+CIICR", "\r\n+PDP: DEACT\r\n"+urc("+CME ERROR: 65535")) // not attached (log of an Air780EPV)
	h.ask("AT+CGATT=1", isOK)
	h.ask("AT+CIICR", isOK)
	h.ask("AT+CFUN=0", isOK+urc("+PDP: DEACT")) // URCs wait for the final result code
	h.ask("AT+CFUN=1", isOK+urc("^MODE: 17,17")+urc("+E_UTRAN Service"))
	h.until(urc("+CPIN: READY"))
	state("IP INITIAL")
}

// A boot, and that the line takes LF for the end of a line even after the prompt.
func TestAirLine(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	h := start(t, Config{Model: "air724ug", Map: map[string]string{"broker:1883": b.addr}, Faults: []string{"boot-delay=1ms"}})
	h.airBoots()
	h.ask("AT+CSQ", "AT+CSQ\r"+urc("+CSQ: 28,99")+isOK) // echo is the default
	h.ask("AT+RESET", "AT+RESET\r"+isOK)
	h.airBoots()
	h.quiet()
	h.ask("AT+CFUN=1,1", isOK)
	h.airBoots()
	h.quiet()
	h.airConnect()
	for _, c := range []struct{ end, payload, arrives, rest string }{
		{"\r\n", "\nab", "\nab", ""}, // the LF of the line is not the payload's
		{"\r", "\nab", "abc", "c"},   // but without one the payload loses its own
		{"\r", "abc", "abc", ""},
	} {
		h.send(`AT+MPUBEX="t",0,0,3` + c.end)
		h.expect("\r\n> ")
		h.send(c.payload + c.rest)
		h.expect(isOK)
		if p := b.next(t); string(p.Payload) != c.arrives {
			t.Errorf("%q after %q: got %q", c.payload, c.end, p.Payload)
		}
	}
	h.send("AT+" + strings.Repeat("x", 5000) + "\r") // forgotten without a word
	h.silent(50 * time.Millisecond)
	h.send(strings.Repeat("x", 4200) + "AT\r") // and the search for AT begins anew
	h.expect(isOK)
	h.ask("AT+CPOWD=1", urc("NORMAL POWER DOWN"))
	h.silent(300 * time.Millisecond)
	h.send("AT\r")
	h.silent(50 * time.Millisecond)
	h.sim.Reset()
	h.airBoots()
}

// URCs wait for the final result code.
func TestAirHoldsURCs(t *testing.T) {
	t.Parallel()
	h := start(t, Config{Model: "air724ug", Faults: []string{"echo=off", "late-ok=200ms"}})
	h.send("AT+CSQ\r")
	h.expect(urc("+CSQ: 28,99"))
	h.sim.Inject("+CREG: 1")
	h.expect(isOK + urc("+CREG: 1"))
}

func TestAirSheet(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	h := start(t, Config{Model: "air724ug", Latency: "sheet", Faults: []string{"boot-delay=50ms"}})
	h.expect(urc("RDY"))
	h.airRest()
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("the network was there %v after the power", took)
	}
	begin = time.Now()
	h.ask("AT", "AT\r"+isOK) // waits for an LF
	if took := time.Since(begin); took < 20*time.Millisecond {
		t.Errorf("an answer %v after a CR alone", took)
	}
	h.send("AT+CSQ\r\n")
	h.expect("AT+CSQ\r\n" + urc("+CSQ: 28,99") + isOK)
	h.send("AT\rAT\rAT\r\n")
	h.expect("AT\r" + isOK + "AT\r" + isOK + "AT\r\n" + isOK)
}

func (h *host) airRest() {
	h.t.Helper()
	h.expect(strings.TrimPrefix(airBanner, urc("RDY")))
	h.until("+0,0\r\n")
}
