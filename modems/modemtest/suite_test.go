package modemtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// eachDriver runs fn for every simulated module, which is named after its driver, and its flavour behind a hyphen where
// there are several. A driver without a simulator is tested beside its own file, against a transcript of its module: it
// fails here if there is none. Only the generic one, which stands for modems that nobody knows, needs neither.
func eachDriver(t *testing.T, fn func(t *testing.T, model string)) {
	t.Helper()
	t.Parallel()
	tested := map[string]bool{modems.Generic: true}
	for _, model := range modemsim.Models() {
		driver, _, _ := strings.Cut(model, "-")
		tested[driver] = true
		t.Run(model, func(t *testing.T) { t.Parallel(); fn(t, model) })
	}
	for _, name := range modems.Drivers() {
		if tested[name] {
			continue
		}
		if found, err := filepath.Glob("../testdata/" + name + "_*.at"); err != nil || len(found) == 0 {
			t.Errorf("driver %s has neither a simulator nor a transcript modems/testdata/%s_*.at: nothing of it is tested", name, name)
		}
	}
}

func every() []byte {
	p := make([]byte, 256)
	for i := range p {
		p[i] = byte(i)
	}
	return p
}

// Payloads that look like the modem's own words, and every byte value.
var payloads = [][]byte{
	every(), []byte("\r\nOK\r\n"), []byte("> "), []byte(">"), []byte(`"`), []byte(`""`), []byte(`{"a":"b"}`), []byte("\n"), []byte("\r"), []byte("\r\n"),
	[]byte("\x1a"), []byte("\x1b"), []byte("\x00"), []byte("+++"), []byte("\r\nERROR\r\n"), []byte("AT+CFUN=0\r"), []byte("\r\nRDY\r\n"),
	[]byte("\r\n+QMTRECV: 0,0,\"t\",1,\"x\"\r\n"), []byte("中文"), []byte("pressure 1013.25 hPa, humidity 48 %"), []byte(`a\22b\`), bytes.Repeat([]byte("x"), 1500),
}

// tolerated are ways in which firmware differs, or a line behaves, that a driver must not notice.
var tolerated = map[string][]string{
	"as documented":            nil,
	"echo off":                 {"echo=off"},
	"prompt without a blank":   {"prompt=bare"},
	"prompt on its own line":   {"prompt=crlf"},
	"blanks after commas":      {"spaces"},
	"no blank line before OK":  {"compact-ok"},
	"payload without quotes":   {"unquoted"},
	"URCs inside answers":      {"urc-inside"},
	"results before OK":        {"early-urc"},
	"two prompts":              {"dup-prompt"},
	"no edit timeout":          {"no-edit-timeout"},
	"granted less":             {"granted=0"},
	"URCs on another port":     {"urcport=usbat"},
	"a booting modem":          {"boot-delay=2s"},
	"noise before it":          {"noise=1500ms"},
	"late final results":       {"late-ok=50ms"},
	"a client left open":       {"open=2x1"},
	"lost acknowledgements":    {"lose-puback=7"},
	"URCs late":                {"late-urc=100ms"},
	"no counted publishes":     {"no-mpubex"},
	"two boot banners":         {"banner=twice", "boot-delay=1s"},
	"a ROM's boot banner":      {"banner=rom", "boot-delay=1s"},
	"another boot banner":      {"banner=uart", "boot-delay=1s"},
	"no line end":              {"no-crlf"},
	"no blank after colons":    {"nospace"},
	"buffering by default":     {"buffered"},
	"its own CLOSED":           {"own-closed"},
	"a zero-padded address":    {"padded-ip"},
	"SHUT without its name":    {"shut-plain"},
	"no ICCID at first":        {"iccid-error"},
	"results only when asked":  {"silent"},
	"a counted payload quoted": {"quoted"},
	"results of others":        {"stale-id"},
	"a short inline limit":     {"inline-max=16"},
	"a ROM with a line end":    {"rom=line", "boot-delay=1s"},
	"a ROM and a name":         {"rom=lierda", "boot-delay=1s"},
	"no MQTT version":          {"no-lcfg=version"},
	"no timeout setting":       {"no-lcfg=timeout"},
	"no cache setting":         {"no-lcfg=cache"},
	"no send mode":             {"no-lcfg=send/mode"},
	"no data format":           {"no-lcfg=dataformat"},
	"no will setting":          {"no-lcfg=will"},
	"no QMTPUBEX":              {"no-pubex"},
}

// excused are tests that a family cannot pass, with the reason.
var excused = map[string]string{
	"nt35e TLS":                        "no command is known that gives the module a certificate: the driver refuses, and TestLierdaSuits sees it",
	"air724ug lost acknowledgements":   "PUBACK bears no identifier: once lost, nothing tells that the message has passed",
	"air724ug return codes of CONNACK": "the module does not tell them",
	"nt35e sockets":                    "its socket commands are not documented",
	"nt35e lost prompts":               "no time is documented after which the module leaves its data state",
	"air724ug lost prompts":            "no time is documented after which the module leaves its data state",
}

// excuse skips what model cannot do.
func excuse(t *testing.T, model, what string) {
	t.Helper()
	if why := excused[model+" "+what]; why != "" {
		t.Skip(why)
	}
}

// Every payload arrives as it was sent, in order, both ways, whatever the firmware's manners.
func TestCarriesEverything(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		for what, faults := range tolerated {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				excuse(t, name, what)
				cloud := newBroker(t, false)
				b := newBench(t, name, faults...)
				m, s := b.session(cloud, modems.Options{})
				if err := s.Subscribe(b.ctx, "down/#", 1); err != nil {
					t.Fatal(err)
				}
				for i, p := range slices.Concat(payloads, payloads) {
					if len(p) > s.Limits().Payload {
						continue
					}
					qos := byte(i / len(payloads))
					up := modems.Message{Topic: "up/a,b", Payload: p, QoS: qos}
					b.publish(s, up)
					cloud.want(up)
					cloud.send(modems.Message{Topic: "down/c,d", Payload: p, QoS: qos})
					d, err := s.Receive(b.ctx)
					if err != nil {
						t.Fatalf("receiving %q: %v", p, err)
					}
					if got := d.Message(); got.Topic != "down/c,d" || !bytes.Equal(got.Payload, p) {
						t.Errorf("received %s %q, want %q", got.Topic, got.Payload, p)
					}
					cloud.want(modems.Message{Topic: "down/c,d", Payload: p, QoS: qos}) // it shows what it publishes itself, too
				}
				if c := m.Counters(); c.StaleAnswers+c.UnexpectedLines+c.Resyncs > 0 && faults == nil {
					t.Errorf("the line was not clean: %+v", c)
				}
			})
		}
	})
}

// The window is used in full, and results find their publishes by id.
func TestWindow(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		cloud := newBroker(t, false)
		b := newBench(t, name)
		_, s := b.session(cloud, modems.Options{})
		var receipts []modems.Receipt
		for i := range 200 {
			r, err := s.Publish(b.ctx, modems.Message{Topic: "t", Payload: fmt.Append(nil, i), QoS: byte(1 - i%10/9)})
			if err != nil {
				t.Fatal(i, err)
			}
			receipts = append(receipts, r)
		}
		for i, r := range receipts {
			if out := r.Wait(b.ctx); out != modems.Acked {
				t.Errorf("%d: %v", i, out)
			}
		}
		if st := b.sim.Stats(); int(st.InFlightPeak) > s.Limits().Window {
			t.Errorf("%d publishes in flight, the window is %d", st.InFlightPeak, s.Limits().Window)
		}
	})
}

// What can never pass is refused before a byte is sent, and the session stands.
func TestRefusesWhatCannotPass(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		cloud := newBroker(t, false)
		b := newBench(t, name)
		m, s := b.session(cloud, modems.Options{})
		before := m.Counters().BytesOut
		for what, msg := range map[string]modems.Message{
			"quote":      {Topic: `a"b`, Payload: []byte("x"), QoS: 1},
			"break out":  {Topic: `a",5` + "\r\nAT+CFUN=0", Payload: []byte("x"), QoS: 1},
			"newline":    {Topic: "a\nb", Payload: []byte("x"), QoS: 1},
			"Ctrl-Z":     {Topic: "a\x1ab", Payload: []byte("x"), QoS: 1},
			"escape":     {Topic: "a\x1bb", Payload: []byte("x"), QoS: 1},
			"NUL":        {Topic: "a\x00b", Payload: []byte("x"), QoS: 1},
			"long topic": {Topic: strings.Repeat("t", s.Limits().Topic+1), Payload: []byte("x"), QoS: 1},
			"no topic":   {Payload: []byte("x"), QoS: 1},
			"wildcard":   {Topic: "a/#", Payload: []byte("x"), QoS: 1},
			"too large":  {Topic: "t", Payload: make([]byte, s.Limits().Payload+1), QoS: 1},
			"no payload": {Topic: "t", QoS: 1},
		} {
			if _, err := s.Publish(b.ctx, msg); !errors.Is(err, modems.ErrMessage) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := s.Subscribe(b.ctx, `a"b`, 1); err == nil {
			t.Error("subscribed to a filter with a quote")
		}
		if after := m.Counters().BytesOut; after != before {
			t.Errorf("%d bytes were sent", after-before)
		}
		b.publish(s, modems.Message{Topic: "t", Payload: []byte("still here"), QoS: 1})
	})
}

// Each fault on the way to the network gives one sentence that says what to do.
func TestCannotGoOnline(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		for fault, tc := range map[string]struct {
			o    modems.Options
			want string
		}{
			"nosim":       {want: "there is no SIM"},
			"puk":         {want: "the SIM is locked (PUK); unlock it in a telephone"},
			"pin=1234":    {want: "the SIM asks for its PIN; set modem.pin"},
			"noreg":       {o: modems.Options{RegisterTimeout: time.Second}, want: "it is still searching; is the antenna connected"},
			"denied":      {o: modems.Options{RegisterTimeout: time.Second}, want: "the network denies it; is the SIM active"},
			"qiact-error": {want: "no data connection: is the APN right"},
		} {
			t.Run(fault, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, name, fault)
				m := b.attach(tc.o)
				err := m.Online(b.ctx)
				if !errors.Is(err, modems.ErrOffline) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v; want %q in it", err, tc.want)
				}
			})
		}
	})
}

// A PIN is entered where one is asked for; a refused one never again, not even by the next process, nor by the release before
// or after this one: the file keeps its form, and lines that are not ours.
func TestPIN(t *testing.T) {
	const foreign, noted = "a line of another release\n", "ac058b8c9db7c224bcc4e24e9fb39a2094146c5591844dbf61cbebed19293922\n"
	eachDriver(t, func(t *testing.T, name string) {
		b := newBench(t, name, "pin=1234")
		memory := t.TempDir() + "/pin-refused"
		if err := os.WriteFile(memory, []byte(foreign), 0o600); err != nil {
			t.Fatal(err)
		}
		m := b.attach(modems.Options{PIN: "9999", RefusedPIN: memory})
		if err := m.Online(b.ctx); err == nil || !strings.Contains(err.Error(), "the SIM refused the PIN") {
			t.Errorf("a wrong PIN: %v", err)
		}
		m.Close()
		m = b.attach(modems.Options{PIN: "9999", RefusedPIN: memory})
		if err := m.Online(b.ctx); err == nil || !strings.Contains(err.Error(), "has refused this PIN before") {
			t.Errorf("the wrong PIN again: %v", err)
		}
		m.Close()
		m = b.attach(modems.Options{PIN: "1234", RefusedPIN: memory})
		if err := m.Online(b.ctx); err != nil {
			t.Errorf("the right PIN: %v", err)
		}
		if found, err := os.ReadFile(memory); err != nil || string(found) != foreign+noted {
			t.Errorf("remembered is %q, %v", found, err)
		}
	})
}

// The ways in which a session cannot be opened, told apart.
func TestCannotDial(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		t.Run("refused CONNACK", func(t *testing.T) {
			t.Parallel()
			b := newFastBench(t, name)
			m := b.attach(modems.Options{})
			if err := m.Online(b.ctx); err != nil {
				t.Fatal(err)
			}
			cfg := newBroker(t, true).config()
			var err error
			for range 8 { // the broker's hanging up, which comes behind, must not win
				_, err = m.DialMQTT(b.ctx, cfg)
				if err == nil || !strings.Contains(err.Error(), "the broker refused the connection") {
					t.Error(err)
				}
			}
			excuse(t, name, "return codes of CONNACK")
			var connack modems.ConnackError
			if !errors.As(err, &connack) || !strings.Contains(err.Error(), "not authorised") {
				t.Error(err)
			}
		})
		t.Run("nobody listens", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, name)
			m := b.attach(modems.Options{})
			if err := m.Online(b.ctx); err != nil {
				t.Fatal(err)
			}
			cfg := newBroker(t, false).config()
			cfg.Port = 1
			if _, err := m.DialMQTT(b.ctx, cfg); err == nil || !strings.Contains(err.Error(), "the modem cannot reach 127.0.0.1 port 1") {
				t.Error(err)
			}
		})
		t.Run("a password that could break out", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, name)
			m := b.attach(modems.Options{})
			if err := m.Online(b.ctx); err != nil {
				t.Fatal(err)
			}
			cfg := newBroker(t, false).config()
			cfg.Username, cfg.Password = "u", "topsecret\"\rAT+CFUN=0\r"
			_, err := m.DialMQTT(b.ctx, cfg)
			if err == nil || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%v", err)
			}
		})
	})
}

// What ends a session is said in words, and what was in flight is unknown, never acknowledged.
func TestSessionEnds(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		for fault, want := range map[string]string{
			"stat=1@3":        "the broker closed the connection",
			"reboot=3":        "rebooted",
			"wedge=3":         "publish|stopped answering",
			"pdpdeact=3":      "the network ended the data connection",
			"drop-urc=3":      "the result of publish",
			"reboot-prompt=3": "rebooted",
		} {
			t.Run(fault, func(t *testing.T) {
				t.Parallel()
				cloud := newBroker(t, false)
				b := newBench(t, name, fault)
				_, s := b.session(cloud, modems.Options{})
				sent := map[string]bool{}
				for i := range 20 {
					p := fmt.Sprintf("message%c%d", " \n"[i%2], i) // text, and what needs a prompt
					sent[p] = true
					if _, err := s.Publish(b.ctx, modems.Message{Topic: "t", Payload: []byte(p), QoS: 1}); err != nil {
						break
					}
				}
				select {
				case <-s.Done():
				case <-time.After(45 * time.Second):
					t.Fatal("the session stands")
				}
				if err := s.Err(); !regexp.MustCompile(want).MatchString(err.Error()) {
					t.Errorf("%v; want %q in it", err, want)
				}
				s.Close(b.ctx)
				for len(cloud.got) > 0 {
					if m := <-cloud.got; !sent[string(m.Payload)] {
						t.Errorf("published what was never sent: %q", m.Payload)
					}
				}
			})
		}
	})
}
