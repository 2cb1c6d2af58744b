package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// The test binary is also the program: with this variable set it runs main instead of the tests.
const beMain = "ATBRIDGE_TEST_BE_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) == "1" {
		main()
		return
	}
	modemtest.SideBySide(8)
	testscript.Main(m, map[string]func(){"atbridge": main})
}

// command is the program with args, as a process of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), beMain+"=1")
	return cmd
}

// rig is a cabinet on the bench: a simulated modem, a real broker as the cloud, a configuration, and the daemon.
type rig struct {
	t     *testing.T
	dir   string
	sim   *modemsim.Sim
	cloud string // address of the cloud's broker
	tls   string // its address for TLS
	ca    string // and the file of its authority
	file  string
	log   *syncBuffer

	env    []string // of the daemon, besides the tests' own
	under  []string // a program that runs it, with its arguments
	daemon *exec.Cmd
	since  int // where the log of this start begins
	ended  chan error
}

// program finds a program that a test needs. Where it is missing the test skips; with ATBRIDGE_CI=1 it fails.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if os.Getenv("ATBRIDGE_CI") == "1" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed; this test needs it", name)
	return ""
}

// mosquitto starts a broker on two free ports, the second with TLS, and returns its addresses and the file of the
// authority that has signed its certificate.
func mosquitto(t *testing.T) (addr, secure, ca string) {
	t.Helper()
	binary := program(t, "mosquitto")
	addr, secure = modemtest.FreeAddr(t), modemtest.FreeAddr(t)
	ca, cert, key := certificates(t)
	listener := func(addr string) string {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		return "listener " + port + " 127.0.0.1\n"
	}
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	write(t, file, "user root\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"+listener(addr)+
		listener(secure)+"certfile "+cert+"\nkeyfile "+key+"\n", 0o644)
	said := new(syncBuffer)
	cmd := exec.Command(binary, "-c", file)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("mosquitto's log:\n%s", said.String())
		}
	})
	for _, addr := range []string{addr, secure} { // it may fail at the second
		eventually(t, "mosquitto to listen on "+addr, 10*time.Second, func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return addr, secure, ca
}

func newRig(t *testing.T, sim modemsim.Config) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: new(syncBuffer)}
	r.cloud, r.tls, r.ca = mosquitto(t)
	if sim.Map == nil {
		sim.Map = map[string]string{"broker.example:1883": r.cloud}
	}
	s, err := modemsim.Start(sim)
	if err != nil {
		t.Fatal(err)
	}
	r.sim = s
	t.Cleanup(func() { s.Close() })
	r.file = filepath.Join(r.dir, "atbridge.yaml")
	write(t, r.file, fmt.Sprintf(`modem: {port: %s, baud: %d}
cloud: {broker: "mqtt://%s", client_id: site7}
local: {listen: "127.0.0.1:0"}
routes:
  up:   [{from: "sensors/#", to: "site7/sensors/#"}]
  down: [{from: "site7/commands/#", to: "commands/#"}]
queue: {dir: %s}
status: {socket: %s}
`, s.Path(), sim.Baud, r.cloud, filepath.Join(r.dir, "queue"), filepath.Join(r.dir, "sock")), 0o600)
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", r.log.tail(6000))
		}
	})
	return r
}

// change replaces a piece of the configuration.
func (r *rig) change(old, fresh string) {
	r.t.Helper()
	config := readFile(r.t, r.file)
	if !strings.Contains(config, old) {
		r.t.Fatalf("no %s in the configuration", old)
	}
	write(r.t, r.file, strings.Replace(config, old, fresh, 1), 0o600)
}

// take sets the path.
func (r *rig) take(path string) { r.change("local: {", "path: {mode: "+path+"}\nlocal: {") }

// secure goes to the cloud with TLS.
func (r *rig) secure() {
	r.change(`"mqtt://`+r.cloud+`"`, `"mqtts://`+r.tls+`", tls: {ca_file: `+r.ca+`}`)
}

func (r *rig) start() {
	r.t.Helper()
	r.daemon = command(r.t, "run", "--config", r.file)
	r.daemon.Env = append(r.daemon.Env, r.env...)
	if len(r.under) > 0 {
		r.daemon.Path, r.daemon.Args = r.under[0], append(r.under, r.daemon.Args...)
	}
	r.daemon.Stderr = r.log
	r.since = len(r.log.String())
	if err := r.daemon.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(r.daemon, r.ended)
}

// kill is kill -9.
func (r *rig) kill() {
	if r.daemon != nil {
		r.daemon.Process.Kill()
		<-r.ended
		r.daemon = nil
	}
}

// stop is SIGTERM; the daemon must end with exit code 0.
func (r *rig) stop() {
	r.t.Helper()
	r.daemon.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("after SIGTERM the daemon ended with %v", err)
		}
		r.daemon = nil
	case <-time.After(30 * time.Second):
		r.t.Fatal("SIGTERM does not end the daemon")
	}
}

func (r *rig) status() (s bridge.Status, err error) {
	c, err := control.Dial(filepath.Join(r.dir, "sock"))
	if err != nil {
		return s, err
	}
	return c.Status(context.Background())
}

func (r *rig) online() {
	r.t.Helper()
	eventually(r.t, "the daemon to be online", 60*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.State == bridge.Online
	})
}

// local is where the embedded broker listens; it is written to the log when the daemon has started.
func (r *rig) local() string {
	r.t.Helper()
	addr := ""
	eventually(r.t, "the local broker", 20*time.Second, func() bool {
		_, after, ok := cutLast(r.log.String()[r.since:], " local=")
		addr, _, _ = strings.Cut(after, " ")
		_, err := r.status()
		return ok && err == nil
	})
	return addr
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// client connects to a broker; it does not reconnect by itself.
func client(t *testing.T, addr, id string) (paho.Client, error) {
	o := paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetProtocolVersion(4).SetAutoReconnect(false).
		SetConnectTimeout(5 * time.Second).SetOrderMatters(true)
	c := paho.NewClient(o)
	token := c.Connect()
	if !token.WaitTimeout(10 * time.Second) {
		return nil, context.DeadlineExceeded
	}
	return c, token.Error()
}

func mustClient(t *testing.T, addr, id string) paho.Client {
	t.Helper()
	c, err := client(t, addr, id)
	if err != nil {
		t.Fatalf("connecting %s to %s: %v", id, addr, err)
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// collect subscribes and hands every payload to got, one at a time.
func collect(t *testing.T, c paho.Client, filter string, got func(topic string, payload []byte)) {
	t.Helper()
	token := c.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) { got(m.Topic(), m.Payload()) })
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal("subscribe:", token.Error())
	}
}

// busy is how many times as long a machine is allowed that does much else.
const busy = 3

// eventually waits for a state of another process, which cannot be waited for otherwise.
func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.After(busy * within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", busy*within, what)
		}
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *syncBuffer) tail(n int) string {
	s := b.String()
	return s[max(0, len(s)-n):]
}
