package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// newHostRig is a cabinet without a modem: path host, to a broker at this address.
func newHostRig(t *testing.T, broker string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: new(syncBuffer), cloud: broker}
	r.file = filepath.Join(r.dir, "atbridge.yaml")
	write(t, r.file, fmt.Sprintf(`path: {mode: host}
cloud: {broker: "mqtt://%s", client_id: site7}
local: {listen: "127.0.0.1:0"}
routes:
  up:
    - {from: "sensors/#", to: "site7/sensors/#"}
    - {from: "alarms/#", to: "site7/alarms/#", priority: high}
queue: {dir: %s}
status: {socket: %s}
`, broker, r.queue(), filepath.Join(r.dir, "sock")), 0o600)
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", r.log.tail(6000))
		}
	})
	return r
}

func (r *rig) queue() string { return filepath.Join(r.dir, "queue") }

// list is what atbridge queue list or export prints, line by line.
func (r *rig) list(what ...string) (all []control.Queued) {
	r.t.Helper()
	code, stdout, stderr := shell(r.t, append([]string{"queue", "--config", r.file}, what...)...)
	if code != 0 || stderr != "" {
		r.t.Fatalf("%v: exit %d, %s", what, code, stderr)
	}
	for dec := json.NewDecoder(strings.NewReader(stdout)); ; {
		var m control.Queued
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, m)
	}
}

func publishAs(t *testing.T, r *rig, topic string, qos byte, payload string) {
	t.Helper()
	c := mustClient(t, r.local(), "sensor")
	defer c.Disconnect(250)
	token := c.Publish(topic, qos, false, payload)
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal("publish:", token.Error())
	}
}

// The queue of a site without a connection: looked at and dropped from through the daemon, then without it. When the
// cloud is there, what is high arrives first.
func TestQueueCommand(t *testing.T) {
	t.Parallel()
	cloud, _, _ := mosquitto(t)
	r := newHostRig(t, modemtest.FreeAddr(t))
	page := modemtest.FreeAddr(t)
	r.change("status: {", fmt.Sprintf("status: {listen: %q, ", page))
	const binary = "\x00\xff\x1b[2J\r\n"
	r.start()
	publishAs(t, r, "sensors/a", 1, "first")
	publishAs(t, r, "sensors/a", 1, binary)
	publishAs(t, r, "sensors/a", 1, "third")
	publishAs(t, r, "alarms/a", 1, "fire")
	publishAs(t, r, "sensors/b", 0, "whisper")
	eventually(t, "all to be on the disk", 10*time.Second, func() bool { return len(r.list("list", "--json")) == 5 })

	check := func(t *testing.T) {
		all := r.list("list", "--json")
		var got []string
		for i, m := range all {
			got = append(got, fmt.Sprintf("%d %s %s %d %d", m.ID, m.Topic, m.Priority, m.LocalQoS, m.Bytes))
			if m.ID != uint64(i+1) || m.State != "waiting" || m.Payload != nil || m.Age < 0 || m.Age > 300 || m.Size < 40 || time.Since(m.Arrival) > 5*time.Minute || m.QoS != 1 {
				t.Errorf("%s", asJSON(m))
			}
		}
		want := []string{"1 site7/sensors/a normal 1 5", "2 site7/sensors/a normal 1 8", "3 site7/sensors/a normal 1 5", "4 site7/alarms/a high 1 4", "5 site7/sensors/b normal 0 7"}
		if !slices.Equal(got, want) {
			t.Errorf("list: %q", got)
		}
		if exported := r.list("export"); len(exported) != 5 || string(*exported[1].Payload) != binary {
			t.Errorf("export: %s", asJSON(exported))
		}
		for args, want := range map[string]struct {
			code           int
			stdout, stderr string
		}{
			"list":           {0, "high      waiting     site7/alarms/a\n", ""},
			"show 1":         {0, "\n\nfirst\n", ""},
			"show 2":         {0, "\n" + `\x00\xff\x1b[2J\r\n` + "\n", ""},
			"show --raw 2":   {0, binary, ""},
			"show --json 2":  {0, `"payload":"AP8bWzJKDQo="}`, ""},
			"show 99":        {2, "", "atbridge: message 99: the queue has no such message\n"},
			"show x":         {2, "", "atbridge: x is no id of a message; atbridge queue list shows them\n"},
			"show":           {2, "", "ID is missing"},
			"drop 99":        {2, "", "atbridge: message 99: the queue has no such message\n"},
			"drop 1 0":       {2, "", "0 is no id"},
			"empty":          {2, "", "unknown command queue empty; there are list, show ID, drop ID and export"},
			"":               {2, "", "say what to do"},
			"show --raw 2 3": {2, "", "3 is one argument too many"},
		} {
			code, stdout, stderr := shell(t, append([]string{"--config", r.file, "queue"}, strings.Fields(args)...)...)
			if code != want.code || !strings.Contains(stdout, want.stdout) || !strings.Contains(stderr, want.stderr) || (stderr == "") != (want.stderr == "") {
				t.Errorf("%s: exit %d, %q, %q", args, code, stdout, stderr)
			}
			if args == "show --raw 2" && stdout != binary {
				t.Errorf("raw: %q", stdout)
			}
		}
	}
	t.Run("daemon", check)
	for _, path := range []string{"/api/queue", "/api/queue/1"} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			req, err := http.NewRequest(method, "http://"+page+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s over TCP: %s", method, path, resp.Status)
			}
		}
	}
	r.kill()
	t.Run("no daemon", check)

	if code, _, stderr := shell(t, "--config", r.file, "queue", "drop", "1"); code != 0 {
		t.Errorf("drop: exit %d, %s", code, stderr)
	}
	r.start()
	r.local()
	if code, _, stderr := shell(t, "--config", r.file, "queue", "drop", "3"); code != 0 {
		t.Errorf("drop through the daemon: exit %d, %s", code, stderr)
	}
	if s, err := r.status(); err != nil || s.Queue.Messages != 3 || s.Queue.Dropped != 1 || s.Queue.DroppedBy != (bridge.Drops{ByHand: 1}) {
		t.Errorf("%s, %v", asJSON(s.Queue), err)
	}
	if _, body := get(t, "http://"+page+"/metrics"); !strings.Contains(body, "\natbridge_queue_dropped_by_total{reason=\"by_hand\"} 1\n") {
		t.Error(body)
	}
	r.stop()

	r.change(r.cloud, cloud)
	arrived := make(chan string, 10)
	collect(t, mustClient(t, cloud, "observer"), "site7/#", func(_ string, p []byte) { arrived <- string(p) })
	r.start()
	for _, want := range []string{"fire", binary, "whisper"} {
		select {
		case got := <-arrived:
			if got != want {
				t.Errorf("arrived %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing arrives")
		}
	}
	eventually(t, "an empty queue", 10*time.Second, func() bool { return len(r.list("list", "--json")) == 0 })
	if code, stdout, _ := shell(t, "--config", r.file, "queue", "list"); code != 0 || stdout != "the queue is empty\n" {
		t.Errorf("exit %d, %s", code, stdout)
	}
	r.stop()
}

// A message that is being sent cannot be dropped.
func TestQueueDropInFlight(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // a broker that lets everybody in and never acknowledges a message
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte{0x20, 2, 0, 0}) // CONNACK
			go io.Copy(io.Discard, c)
		}
	}()
	r := newHostRig(t, l.Addr().String())
	r.start()
	publishAs(t, r, "sensors/a", 1, "stuck")
	eventually(t, "the message to be under way", 10*time.Second, func() bool {
		all := r.list("list", "--json")
		return len(all) == 1 && all[0].State == "in-flight"
	})
	code, _, stderr := shell(t, "--config", r.file, "queue", "drop", "1")
	if want := "atbridge: message 1: it is being sent at the moment; try again when it is not\n"; code != 1 || stderr != want {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if code, _, stderr := shell(t, "queue", "list", "--config", r.file, "--socket", filepath.Join(r.dir, "other")); code != 2 || !strings.Contains(stderr, "another atbridge holds the queue") {
		t.Errorf("past the daemon: exit %d, %s", code, stderr)
	}
}

// Directories that hold no queue of ours, or one that was set aside from.
func TestQueueDirectory(t *testing.T) {
	t.Parallel()
	r := newHostRig(t, "127.0.0.1:1")
	run := func(args ...string) (int, string, string) {
		return shell(t, append([]string{"--config", r.file, "queue"}, args...)...)
	}
	const nothing = "no atbridge has stored anything in "
	if code, _, stderr := run("list"); code != 2 || !strings.Contains(stderr, nothing) {
		t.Errorf("missing: exit %d, %s", code, stderr)
	}
	if err := os.MkdirAll(filepath.Join(r.queue(), "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(r.queue(), "log", "syslog"), "something else", 0o600)
	if code, _, stderr := run("list"); code != 2 || !strings.Contains(stderr, nothing) {
		t.Errorf("foreign: exit %d, %s", code, stderr)
	}
	if files, err := os.ReadDir(filepath.Join(r.queue(), "log")); err != nil || len(files) != 1 {
		t.Errorf("files were left in a foreign directory: %v, %v", files, err)
	}
	o, err := bridge.OpenOutbox(bridge.OutboxConfig{Dir: r.queue()})
	if err != nil {
		t.Fatal(err)
	}
	o.Put(modems.Message{Topic: "t", Payload: []byte("x"), QoS: 1}, func(error) {})
	e, err := o.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Poison(errors.New("too\nlong")), o.Close()); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := run("list"); code != 0 || !strings.Contains(stdout, `poisoned    t  (too\nlong)`) {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := run("show", strconv.FormatUint(e.ID(), 10)); code != 0 || !strings.Contains(stdout, `state     poisoned: too\nlong`) {
		t.Errorf("exit %d, %s", code, stdout)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(r.queue(), 1234, 1234); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := run("list"); code != 2 || !strings.Contains(stderr, "belongs to user 1234") {
			t.Errorf("another owner: exit %d, %s", code, stderr)
		}
	}
}

// How often the module has refused a message is counted for each on its own: one of high priority that comes between the
// tries of another is not set aside for them.
func TestRefusedOnItsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, Faults: []string{"pubex-error=1"}})
	r.take("native")
	r.change("up:   [", `up:   [{from: "alarms/#", to: "site7/alarms/#", priority: high}, `)
	r.start()
	r.online()
	publishAs(t, r, "sensors/a", 1, "normal")
	eventually(t, "four tries", 30*time.Second, func() bool { return strings.Count(r.log.String(), "it is tried again\" id=1 ") == 4 })
	publishAs(t, r, "alarms/a", 1, "high")
	eventually(t, "the first try of the other", 30*time.Second, func() bool { return strings.Contains(r.log.String(), " id=2 ") })
	if s, err := r.status(); err != nil || s.Queue.Poisoned > 0 {
		t.Errorf("%s, %v", asJSON(s.Queue), err)
	}
	r.stop()
}
