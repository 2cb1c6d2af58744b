package modemsim

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems/modemtest"
)

// host is the other end of the line: it writes bytes and insists on bytes.
type host struct {
	t   *testing.T
	f   *os.File
	sim *Sim
}

const patient = 10 * time.Second

// noHost is a name that no resolver has to be asked for: where none answers, that would take longer than a test waits.
const noHost = "no..such.host"

// start runs a module and opens its port.
func start(t *testing.T, cfg Config) *host {
	t.Helper()
	if cfg.Model == "" {
		cfg.Model = "ec600"
	}
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h := &host{t: t, sim: s}
	h.open()
	return h
}

func (h *host) open() {
	h.t.Helper()
	f, err := os.OpenFile(h.sim.Path(), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	h.f = f
	h.t.Cleanup(func() { f.Close() })
}

func (h *host) send(s string) {
	h.t.Helper()
	h.f.SetWriteDeadline(time.Now().Add(patient))
	if _, err := io.WriteString(h.f, s); err != nil {
		h.t.Fatalf("write %q: %v", s, err)
	}
}

// expect reads exactly the bytes of want.
func (h *host) expect(want string) {
	h.t.Helper()
	got := make([]byte, len(want))
	h.f.SetReadDeadline(time.Now().Add(patient))
	n, err := io.ReadFull(h.f, got)
	if string(got[:n]) != want {
		h.t.Fatalf("got  %q\nwant %q (%v)", got[:n], want, err)
	}
}

// until reads up to and including the bytes of mark and returns all of it.
func (h *host) until(mark string) string {
	h.t.Helper()
	var got []byte
	b := make([]byte, 1)
	h.f.SetReadDeadline(time.Now().Add(patient))
	for !strings.HasSuffix(string(got), mark) {
		if _, err := io.ReadFull(h.f, b); err != nil {
			h.t.Fatalf("got %q and no %q: %v", got, mark, err)
		}
		got = append(got, b[0])
	}
	return string(got)
}

// silent insists that nothing comes for a while.
func (h *host) silent(d time.Duration) {
	h.t.Helper()
	b := make([]byte, 256)
	h.f.SetReadDeadline(time.Now().Add(d))
	if n, err := h.f.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		h.t.Fatalf("got %q where nothing should come (%v)", b[:n], err)
	}
}

// ask sends a command line and expects an answer, byte for byte.
func (h *host) ask(line, answer string) {
	h.t.Helper()
	h.send(line + "\r")
	h.expect(answer)
}

const (
	isOK    = "\r\nOK\r\n"
	isError = "\r\nERROR\r\n"
)

func urc(format string, a ...any) string { return "\r\n" + fmt.Sprintf(format, a...) + "\r\n" }

// quiet turns the echo off, so that tests read better.
func (h *host) quiet() {
	h.t.Helper()
	h.ask("ATE0", "ATE0\r"+isOK)
}

// online opens and connects client 0.
func (h *host) online() {
	h.t.Helper()
	h.quiet()
	h.ask(`AT+QMTCFG="recv/mode",0,0,1`, isOK)
	h.connect()
}

func (h *host) connect() {
	h.t.Helper()
	h.ask(`AT+QMTOPEN=0,"broker",1883`, isOK+urc("+QMTOPEN: 0,0"))
	h.ask(`AT+QMTCONN=0,"sim"`, isOK+urc("+QMTCONN: 0,0,0"))
}

// publish publishes and waits for the result.
func (h *host) publish(id, qos int, topic, payload string) {
	h.t.Helper()
	h.offer(id, qos, topic, payload)
	h.expect(isOK + urc("+QMTPUBEX: 0,%d,0", id))
}

// offer publishes up to the payload.
func (h *host) offer(id, qos int, topic, payload string) {
	h.t.Helper()
	h.ask(fmt.Sprintf(`AT+QMTPUBEX=0,%d,%d,0,"%s",%d`, id, qos, topic, len(payload)), "\r\n> ")
	h.send(payload)
}

// broker is an MQTT broker in this process that keeps what it gets.
type broker struct {
	*mqtt.Server
	addr string
	got  chan packets.Packet
}

type hook struct {
	mqtt.HookBase
	got chan packets.Packet
}

func (h *hook) ID() string           { return "test" }
func (h *hook) Provides(b byte) bool { return b == mqtt.OnPublish }

func (h *hook) OnPublish(_ *mqtt.Client, p packets.Packet) (packets.Packet, error) {
	h.got <- p
	return p, nil
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, l)
}

// counting is a listener that knows how many of its connections are open.
type counting struct {
	net.Listener
	open atomic.Int64
}

type countedConn struct {
	net.Conn
	closed func()
}

func (l *counting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedConn{conn, sync.OnceFunc(func() { l.open.Add(-1) })}, nil
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

func serve(t *testing.T, listener net.Listener) *broker {
	t.Helper()
	l := &counting{Listener: listener}
	b := &broker{
		Server: mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)}),
		addr:   l.Addr().String(),
		got:    make(chan packets.Packet, 10000),
	}
	if err := errors.Join(
		b.AddHook(new(auth.AllowHook), nil),
		b.AddHook(&hook{got: b.got}, nil),
		b.AddListener(listeners.NewNet("l", l)),
		b.Serve(),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// mochi v2.7.9 deadlocks when a client leaves during Close: GetByListener takes
		// its read lock twice. So it is closed once only its inline client is left. Those that never sent
		// CONNECT are no clients yet; waiting for them during Close is a data race.
		deadline := time.Now().Add(patient)
		for (b.Clients.Len() > 1 || l.open.Load() > 0) && time.Now().Before(deadline) {
			runtime.Gosched()
		}
		b.Close()
	})
	return b
}

// mapped is what a module dials in these tests.
func (b *broker) mapped() map[string]string { return map[string]string{"broker:1883": b.addr} }

func (b *broker) next(t *testing.T) packets.Packet {
	t.Helper()
	select {
	case p := <-b.got:
		return p
	case <-time.After(patient):
		t.Fatal("no message arrived at the broker")
		panic("unreachable")
	}
}

// mosquitto runs the real thing and returns its address.
func mosquitto(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if os.Getenv("ATBRIDGE_CI") == "1" {
			t.Fatal("mosquitto is not installed, and ATBRIDGE_CI=1 insists on it")
		}
		t.Skip("mosquitto is not installed; apt-get install mosquitto runs this test too")
	}
	addr := modemtest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	conf := t.TempDir() + "/mosquitto.conf"
	if err := os.WriteFile(conf, []byte("listener "+port+" 127.0.0.1\nallow_anonymous true\nlog_type all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", conf, "-v")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	running := make(chan bool, 1)
	go func() {
		b := make([]byte, 4096)
		var all strings.Builder
		for {
			n, err := stderr.Read(b)
			all.Write(b[:n])
			if strings.Contains(all.String(), " running") {
				select {
				case running <- true:
				default:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-running:
	case <-time.After(patient):
		t.Fatal("mosquitto does not start")
	}
	return addr
}

// speed sets the host's rate, as a serial library would.
func (h *host) speed(baud int) {
	h.t.Helper()
	raw, err := h.f.SyscallConn()
	if err != nil {
		h.t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = makeRaw(int(fd), baud) })
	if err != nil {
		h.t.Fatal(err)
	}
}

// heard waits until so many bytes of the host's have reached the module. From then on a change of the host's rate cannot
// mend them.
func (h *host) heard(n int) {
	h.t.Helper()
	deadline := time.Now().Add(patient)
	for h.sim.Stats().FromHost < int64(n) {
		if time.Now().After(deadline) {
			h.t.Fatalf("only %d of %d bytes reached the module", h.sim.Stats().FromHost, n)
		}
		runtime.Gosched()
	}
}

// garbage reads at least so many bytes, and then what comes until the line falls silent.
func (h *host) garbage(least int) string {
	h.t.Helper()
	var all []byte
	b := make([]byte, 4096)
	for {
		wait := patient
		if len(all) >= least {
			wait = 50 * time.Millisecond
		}
		h.f.SetReadDeadline(time.Now().Add(wait))
		n, err := h.f.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			return string(all)
		}
	}
}
