package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

func simulated(t *testing.T, faults ...string) *modemsim.Sim {
	t.Helper()
	s, err := modemsim.Start(modemsim.Config{Model: "ec600", Baud: 115200, Faults: faults, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// shell runs the program as a process and returns what a shell would see.
func shell(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// Exit codes and sentences of send, at a modem that is well and at everything that is not one.
func TestSend(t *testing.T) {
	t.Parallel()
	well, nosim, slow, asks := simulated(t), simulated(t, "nosim"), simulated(t), simulated(t)
	none := filepath.Join(t.TempDir(), "no-socket")
	for name, tc := range map[string]struct {
		args           string
		code           int
		stdout, stderr string
	}{
		"answer":        {"--port WELL AT+CSQ", 0, "+CSQ: 28,99\nOK\n", ""},
		"two commands":  {"--port WELL AT+CSQ AT+CPIN?", 0, "+CSQ: 28,99\nOK\n+CPIN: READY\nOK\n", ""},
		"JSON":          {"--port WELL --json AT+CSQ", 0, `{"command":"AT+CSQ","lines":["+CSQ: 28,99"],"final":"OK"}` + "\n", ""},
		"ERROR":         {"--port WELL AT+NOSUCH AT+CSQ", 1, "ERROR\n", "atbridge: AT+NOSUCH: ERROR\n"},
		"CME":           {"--port NOSIM AT+CMEE=1 AT+CPIN?", 1, "OK\n+CME ERROR: 10\n", "atbridge: AT+CPIN?: +CME ERROR: 10 (SIM not inserted)\n"},
		"URC":           {"--port WELL --wait +QIURC: --timeout 300ms AT", 3, "OK\n", `no line that begins with "+QIURC:" within 300ms`},
		"a prompt":      {"--port ASKS --timeout 500ms AT+QMTCFG=\"willex\",0,1,1,0,\"t\",5", 2, "", "asks for data, and the command brings none"},
		"no command":    {"--port WELL", 2, "", "atbridge: no command; try: atbridge send AT+CSQ\n"},
		"bad timeout":   {"--port WELL --timeout 0s AT", 2, "", "--timeout must be more than 0"},
		"newline":       {"--port WELL AT+CSQ\nAT", 2, "", `atbridge: AT+CSQ\nAT: not allowed in an AT command: control character 0x0A`},
		"open quote":    {"--port WELL AT+X=\"a", 2, "", "an unpaired quote"},
		"no port":       {"AT", 2, "", "no serial port is named"},
		"missing port":  {"--port /dev/ttyUSB99 AT", 4, "", "atbridge: /dev/ttyUSB99: does not exist; is the modem plugged in and powered?"},
		"not a port":    {"--port /dev/null AT", 4, "", "atbridge: /dev/null: is not a serial port\n"},
		"wrong rate":    {"--port SLOW --baud 9600 --timeout 1s AT", 3, "", "is the baud rate right?"},
		"unknown USB":   {"--port usb:ffff:0001 AT", 4, "", "no serial port with usb:ffff:0001 is plugged in"},
		"no data file":  {"--port WELL --data /no/such AT", 2, "", "--data: open /no/such: no such file or directory"},
		"unknown modem": {"--port WELL --driver nokia AT", 2, "", "--driver"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"--socket", none, "send"}
			for a := range strings.SplitSeq(tc.args, " ") {
				args = append(args, strings.NewReplacer("WELL", well.Path(), "NOSIM", nosim.Path(), "SLOW", slow.Path(), "ASKS", asks.Path()).Replace(a))
			}
			code, stdout, stderr := shell(t, args...)
			if code != tc.code || stdout != tc.stdout && tc.stderr == "" || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("exit %d\n%s%s\nwant %d\n%s%s", code, stdout, stderr, tc.code, tc.stdout, tc.stderr)
			}
			if strings.Count(stderr, "\n") > 1 {
				t.Errorf("more than one sentence: %q", stderr)
			}
		})
	}
	t.Run("busy port", func(t *testing.T) {
		port, _, err := openPort(&Modem{Port: well.Path(), Baud: 115200})
		if err != nil {
			t.Fatal(err)
		}
		defer port.Close()
		if code, _, stderr := shell(t, "--socket", none, "send", "--port", well.Path(), "AT"); code != 4 || !strings.Contains(stderr, "in use by another program") {
			t.Errorf("exit %d, %s", code, stderr)
		}
	})
}

// send and status through the running daemon; messages go on all the while, and no answer is misplaced.
func TestSendThroughTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	r.start()
	r.online()
	atCloud := newTally()
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
	house := mustClient(t, r.local(), "sensor")
	const messages = 150
	published := make(chan struct{})
	go func() {
		defer close(published)
		for n := range messages {
			publish(t, house, "sensors/t", n)
		}
	}()
	for i := 0; ; i++ {
		code, stdout, stderr := shell(t, "--config", r.file, "send", "AT+CSQ")
		if code != 0 || stdout != "+CSQ: 28,99\nOK\n" {
			t.Fatalf("exit %d, %q, %q", code, stdout, stderr)
		}
		select {
		case <-published:
		default:
			continue
		}
		break
	}
	eventually(t, "all to arrive", 30*time.Second, func() bool { return atCloud.distinct() == messages })
	if len(atCloud.order) != messages || len(atCloud.garbage) > 0 {
		t.Errorf("%d arrived, %v", len(atCloud.order), atCloud.garbage)
	}
	for line, want := range map[string]string{
		"ATD123":          "AT" + "D would disturb the running session",
		"AT+CFUN=0":       "AT+CFUN would disturb the running session",
		"AT&FE1":          "AT&F would disturb the running session",
		"AT+COPS=?":       "holds the modem for minutes",
		"AT+QLINUXCMD=ls": "runs code on the module",
		`AT+CMGS="1"`:     "AT+CMGS asks for data, and the session would wait with the modem: give it with --data",
	} {
		if code, _, stderr := shell(t, "--config", r.file, "send", line); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q", line, code, stderr)
		}
	}
	if code, _, stderr := shell(t, "--config", r.file, "send", "--force", "AT+QLINUXCMD=ls"); code != 2 {
		t.Errorf("forced: exit %d, %q", code, stderr)
	}
	if code, stdout, _ := shell(t, "--config", r.file, "status"); code != 0 || !strings.Contains(stdout, "online") || !strings.Contains(stdout, "-57 dBm") {
		t.Errorf("status: exit %d, %s", code, stdout)
	}
	s, err := r.status()
	if err != nil || s.Line.StaleAnswers+s.Line.UnexpectedLines+s.Line.Timeouts > 0 {
		t.Errorf("the line: %s, %v", asJSON(s.Line), err)
	}
	r.stop()
}

// The modem is unplugged and plugged in again under another name; then the cloud goes away and comes back. What the
// local broker has acknowledged arrives.
func TestReplugAndOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	link := filepath.Join(r.dir, "modem")
	relink := func(s *modemsim.Sim) {
		os.Remove(link)
		if err := os.Symlink(s.Path(), link); err != nil {
			t.Fatal(err)
		}
	}
	relink(r.sim)
	b, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.file, strings.Replace(string(b), r.sim.Path(), link, 1)+"", 0o600)
	r.start()
	r.online()
	atCloud := newTally()
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
	house := mustClient(t, r.local(), "sensor")
	publish(t, house, "sensors/t", 0)
	eventually(t, "the first message", 10*time.Second, func() bool { return atCloud.distinct() == 1 })

	r.sim.Unplug()
	eventually(t, "the loss to be noticed", 10*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.State == bridge.BackingOff && strings.Contains(s.Reason, "unplugged")
	})
	for n := 1; n < 20; n++ {
		publish(t, house, "sensors/t", n)
	}
	relink(simulated(t))
	eventually(t, "the backlog to arrive", 60*time.Second, func() bool { return atCloud.distinct() == 20 })
	if len(atCloud.garbage) > 0 {
		t.Error(atCloud.garbage)
	}
	r.stop()
}

// What the daemon waits for is said in the log, in status and at /healthz, and it goes on waiting.
func TestDaemonWaits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		faults []string
		change [2]string
		reason string
	}{
		"missing port": {nil, [2]string{"port: ", "port: /dev/no/such/"}, "does not exist; is the modem plugged in"},
		"no SIM":       {[]string{"nosim"}, [2]string{}, "there is no SIM"},
		"locked SIM":   {[]string{"pin=1234"}, [2]string{}, "the SIM asks for its PIN; set modem.pin"},
		"no broker":    {nil, [2]string{`broker: "mqtt://`, `broker: "mqtt://no-such-name.`}, "the modem cannot reach"},
		"refused":      {[]string{"conn=0,4"}, [2]string{}, "bad user name or password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, Faults: tc.faults})
			b, err := os.ReadFile(r.file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, r.file, strings.Replace(string(b), tc.change[0], tc.change[1], 1), 0o600)
			r.start()
			eventually(t, "the reason", 40*time.Second, func() bool {
				s, err := r.status()
				return err == nil && s.State == bridge.BackingOff && strings.Contains(s.Reason, tc.reason)
			})
			publish(t, mustClient(t, r.local(), "sensor"), "sensors/t", 0) // accepted all the same
			s, err := r.status()
			if err != nil || s.Queue.Messages != 1 {
				t.Errorf("%s, %v", asJSON(s.Queue), err)
			}
			r.stop()
		})
	}
}

// A modem that is set to another rate is found at it.
func TestOtherBaudRate(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 9600, Faults: []string{"wrongbaud=57600"}})
	r.start()
	r.online()
	publish(t, mustClient(t, r.local(), "sensor"), "sensors/t", 0)
	eventually(t, "the message", 20*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Counters.UpDelivered == 1
	})
	if log := r.log.String(); !strings.Contains(log, "configured=9600 found=57600") {
		t.Error(log)
	}
	r.stop()
}

// The daemon's page for monitoring.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200})
	b, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	addr := modemtest.FreeAddr(t)
	write(t, r.file, strings.Replace(string(b), "status: {", fmt.Sprintf("status: {listen: %q, ", addr), 1), 0o600)
	r.start()
	r.online()
	for path, want := range map[string]string{
		"/healthz":    "online",
		"/api/status": `"state":"online"`,
		"/metrics":    "\natbridge_line_urcs_total{name=\"+QMTCONN\"} 1\n",
	} {
		if code, body := get(t, "http://"+addr+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %s", path, code, body)
		}
	}
	_, body := get(t, "http://"+addr+"/metrics")
	for _, name := range []string{"timeouts", "stale_answers", "unexpected_lines", "resynchronisations", "overruns"} {
		if want := "\natbridge_line_" + name + "_total 0\n"; !strings.Contains(body, want) { // in a clean run
			t.Errorf("/metrics lacks %q:\n%s", want, body)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(body), "\n") {
		if fields := strings.Fields(line); fields[0] != "#" {
			if _, err := strconv.ParseFloat(fields[1], 64); err != nil || len(fields) != 2 {
				t.Errorf("/metrics: %q", line)
			}
		}
	}
	resp, err := http.Post("http://"+addr+"/api/send", "application/json", bytes.NewReader([]byte(`{"commands":["AT"]}`)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("send over TCP: %s", resp.Status)
	}
	r.sim.Unplug()
	eventually(t, "503", 10*time.Second, func() bool {
		code, body := get(t, "http://"+addr+"/healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "unplugged")
	})
	r.stop()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// The demo is the main job, and its exit code is the verdict.
func TestDemo(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := shell(t, "demo", "--for", "3s")
	if code != 0 || stderr != "" {
		t.Errorf("exit %d, %s", code, stderr)
	}
	for _, want := range []string{"AT+QMTPUBEX=0,", "has site7/sensors/temperature", "commands/lamp on has arrived", " 0 lost, 0 duplicates", "down: 1 sent, 1 delivered"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
}

// A demo that misses something says what, and is no success; nor is one that was stopped while something was on its way.
func TestDemoMisses(t *testing.T) {
	sent := map[int]time.Time{1: {}, 2: {}}
	for want, d := range map[string]*demo{
		"1 of 2":                            {sentAt: sent, arrived: map[int]int{2: 1}, commands: 1, obeyed: 1},
		"1 arrived that were never sent":    {sentAt: sent, arrived: map[int]int{1: 1, 2: 1}, unknown: 1, commands: 1, obeyed: 1},
		"the command did not arrive":        {sentAt: sent, arrived: map[int]int{1: 1, 2: 1}, commands: 1},
		"the bridge did not come online":    {sentAt: sent, arrived: map[int]int{1: 1, 2: 1}},
		"not every message arrived: 2 of 2": {sentAt: sent},
	} {
		d.out = io.Discard
		if err := d.summary(false); exitCode(err) != exitRefused || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	d := &demo{out: io.Discard, sentAt: sent, arrived: map[int]int{1: 1}}
	if err := d.summary(true); exitCode(err) != exitRefused || !strings.Contains(err.Error(), "1 of 2 were on their way when it was stopped") {
		t.Error(err)
	}
}

// Whatever the module does to its session, what was accepted arrives, and nothing that was not sent.
func TestNothingLost(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"reboot=20", "reboot-prompt=13", "stat=1@15", "pdpdeact=12", "drop-prompt=7", "drop-urc=25", "pub-fail=9", "pubex-error=11", "lose-puback=10"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			const messages = 40
			r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond, Faults: []string{fault}, Seed: 1})
			r.start()
			atCloud := newTally()
			collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
			house := mustClient(t, r.local(), "sensor")
			for n := range messages {
				publish(t, house, "sensors/t", n)
			}
			eventually(t, "all to arrive", 120*time.Second, func() bool { return atCloud.distinct() == messages })
			if len(atCloud.garbage) > 0 {
				t.Error(atCloud.garbage)
			}
			r.stop()
		})
	}
}

// The daemon is killed while the module waits for the payload of a publish. Nothing that the next one writes may end
// in that message.
func TestKilledInDataState(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond, Faults: []string{"drop-prompt=3"}})
	r.start()
	r.online()
	atCloud := newTally()
	collect(t, mustClient(t, r.cloud, "observer"), "site7/#", atCloud.got)
	house := mustClient(t, r.local(), "sensor")
	for n := range 3 {
		publish(t, house, "sensors/t", n)
	}
	eventually(t, "two of three", 10*time.Second, func() bool { return atCloud.distinct() == 2 })
	r.kill() // the third has no prompt: the module waits for 4 s more
	r.start()
	eventually(t, "the third", 60*time.Second, func() bool { return atCloud.distinct() == 3 })
	if len(atCloud.garbage) > 0 {
		t.Error("published what nobody sent:", atCloud.garbage)
	}
	r.stop()
}

// An empty payload is set aside and counted where there is path native only; what comes behind it passes.
func TestEmptyPayload(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200})
	r.take("native")
	r.start()
	r.online()
	atCloud := newTally()
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
	house := mustClient(t, r.local(), "sensor")
	token := house.Publish("sensors/empty", 1, false, []byte{})
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal("the empty message was not accepted:", token.Error())
	}
	publish(t, house, "sensors/t", 1)
	eventually(t, "the next message", 10*time.Second, func() bool { return atCloud.distinct() == 1 })
	s, err := r.status()
	if err != nil || s.Queue.Poisoned != 1 || len(atCloud.garbage) > 0 {
		t.Errorf("%s, %v, %v", asJSON(s.Queue), atCloud.garbage, err)
	}
	r.stop()
}
