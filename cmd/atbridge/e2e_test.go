package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// awkward are payloads that break modems' and drivers' framing.
var awkward = []string{"\r\nOK\r\n", "> ", ">", "\"", "\"quoted\"", "\r\n+QMTRECV: 0,0,\"t\",3,\"abc\"\r\n", "\r\nERROR\r\n", "\x1a", "\x1b", "\x00",
	"+++", "\n", "\r", "AT+CFUN=0\r", "RDY\r\n", "{\"a\":\"b\"}", "\xff\xfe"}

// payload number n: distinct, and over a run every byte value and every awkward string.
func payload(n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%06d|", n)
	b.WriteString(awkward[n%len(awkward)])
	for i := range n % 97 {
		b.WriteByte(byte(n*31 + i))
	}
	sum := crc32.ChecksumIEEE(b.Bytes())
	fmt.Fprintf(&b, "|%08x", sum)
	return b.Bytes()
}

// number reads the payload back; false: it is not one of ours, or was changed.
func number(p []byte) (int, bool) {
	var n int
	if _, err := fmt.Sscanf(string(p[:min(6, len(p))]), "%06d", &n); err != nil {
		return 0, false
	}
	return n, bytes.Equal(p, payload(n))
}

// tally is what has arrived.
type tally struct {
	mu      sync.Mutex
	order   []int
	count   map[int]int
	garbage []string
}

func newTally() *tally { return &tally{count: map[int]int{}} }

func (y *tally) got(_ string, p []byte) {
	y.mu.Lock()
	defer y.mu.Unlock()
	n, ok := number(p)
	if !ok {
		y.garbage = append(y.garbage, fmt.Sprintf("%q", p))
		return
	}
	y.order = append(y.order, n)
	y.count[n]++
}

func (y *tally) distinct() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.count)
}

func publish(t *testing.T, c paho.Client, topic string, n int) {
	token := c.Publish(topic, 1, false, payload(n))
	if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
		t.Errorf("message %d was not acknowledged: %v", n, token.Error())
	}
}

// An orderly stop, and a kill, in the middle of a stream of commands down: what the module has acknowledged before or
// during the stop arrives. What it pushes while nobody has the port is lost, and cannot be helped.
func TestDownWhileStopping(t *testing.T) {
	t.Parallel()
	const commands = 150
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	r.start()
	r.online()
	cloud := mustClient(t, r.cloud, "commander")
	atHouse := newTally()
	collect(t, mustClient(t, r.local(), "lamp"), "commands/#", atHouse.got)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for n := range commands {
			publish(t, cloud, "site7/commands/lamp", n)
		}
	}()
	eventually(t, "some to arrive", 10*time.Second, func() bool { return atHouse.distinct() > 20 })
	r.stop()
	<-sent
	received := r.sim.Stats().Received
	if got := int64(atHouse.distinct()); got != received {
		t.Errorf("the module acknowledged %d, and %d arrived", received, got)
	}
}

// A session of the killed daemon still pushes messages: the next one hands them on, from the first byte it reads.
func TestDownAfterKill(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	r.start()
	r.online()
	r.kill()
	write(t, r.file, strings.Replace(readFile(t, r.file), `"127.0.0.1:0"`, `"`+modemtest.FreeAddr(t)+`"`, 1), 0o600)
	r.start()
	atHouse := newTally()
	collect(t, mustClient(t, r.local(), "lamp"), "commands/#", atHouse.got)
	cloud := mustClient(t, r.cloud, "commander")
	for n := range 5 { // it only listens now: the last one may have left the modem waiting for data
		publish(t, cloud, "site7/commands/lamp", n)
	}
	eventually(t, "what the old session has pushed", 30*time.Second, func() bool { return atHouse.distinct() == 5 })
	r.stop()
}

// SIGHUP: new routes hold for the next message, both ways, and the session stands.
func TestReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200})
	r.start()
	r.online()
	atCloud, atHouse := newTally(), newTally()
	cloud, house := mustClient(t, r.cloud, "observer"), mustClient(t, r.local(), "sensor")
	collect(t, cloud, "elsewhere/#", atCloud.got)
	collect(t, house, "commands/#", atHouse.got)
	write(t, r.file, strings.NewReplacer("to: \"site7/sensors/#\"", "to: \"elsewhere/#\"", "from: \"site7/commands/#\"", "from: \"site7/cmds/#\"").Replace(readFile(t, r.file)), 0o600)
	if err := r.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new down route", 10*time.Second, func() bool {
		publish(t, cloud, "site7/cmds/lamp", 1)
		return atHouse.distinct() == 1
	})
	publish(t, cloud, "site7/commands/lamp", 2)
	publish(t, house, "sensors/t", 3)
	eventually(t, "the new up route", 10*time.Second, func() bool { return atCloud.distinct() == 1 })
	s, err := r.status()
	if err != nil || s.Counters.Sessions != 1 || atHouse.count[2] > 0 {
		t.Errorf("%s, %v, %v", asJSON(s.Counters), atHouse.count, err)
	}
	r.stop()
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// No secret reaches the log, at its most talkative, nor an error, nor the status.
func TestNoSecretShows(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, Faults: []string{"pin=49139315"}})
	config := readFile(t, r.file)
	config = strings.Replace(config, "modem: {", "modem: {apn: cmnet, apn_user: me, apn_password: pw7, apn_auth: pap, pin: \"49139315\", ", 1)
	config = strings.Replace(config, "client_id: site7", "client_id: site7, username: site7user, password: topsecret99", 1)
	write(t, r.file, config+"log: {level: debug, wire: true}\n", 0o600)
	r.start()
	r.online()
	r.stop()
	r.start() // once more: the modem holds the APN's password now
	r.online()
	shell(t, "--config", r.file, "send", "--force", `AT+CPIN="86249315"`)
	shell(t, "--config", r.file, "send", "AT+QICSGP=1")
	r.stop()
	_, stdout, stderr := shell(t, "send", "--wire", "--socket", r.dir+"/none", "--port", r.sim.Path(), `AT+CPIN="86259315"`)
	log := r.log.String() + stdout + stderr
	for _, secret := range []string{"49139315", "pw7", "topsecret99", "86249315", "86259315"} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("%s shows: %s", secret, log[max(0, i-80):min(len(log), i+40)])
		}
	}
	if !strings.Contains(log, "AT+QMTCONN=0,\"site7\",\"site7user\",\"***\"") {
		t.Error("the wire was not logged")
	}
}
