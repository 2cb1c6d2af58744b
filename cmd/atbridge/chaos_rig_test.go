//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// cloudBroker is a mosquitto that can be stopped, killed and started again; it keeps its sessions on disk.
type cloudBroker struct {
	t    *testing.T
	addr string
	conf string
	cmd  *exec.Cmd
}

func newCloudBroker(t *testing.T) *cloudBroker {
	t.Helper()
	program(t, "mosquitto")
	b := &cloudBroker{t: t, addr: modemtest.FreeAddr(t), conf: filepath.Join(t.TempDir(), "mosquitto.conf")}
	_, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.conf, "user root\nallow_anonymous true\nmax_queued_messages 0\nlistener "+port+" 127.0.0.1\n"+
		"persistence true\npersistence_location "+t.TempDir()+"/\nautosave_on_changes true\nautosave_interval 1\n", 0o644)
	t.Cleanup(func() { b.stop(unix.SIGKILL) })
	b.start()
	return b
}

func (b *cloudBroker) start() {
	b.t.Helper()
	b.cmd = exec.Command(program(b.t, "mosquitto"), "-c", b.conf)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test be killed
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "mosquitto to listen", 10*time.Second, func() bool {
		c, err := net.Dial("tcp", b.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (b *cloudBroker) stop(s syscall.Signal) {
	if b.cmd != nil {
		b.cmd.Process.Signal(s)
		b.cmd.Wait()
		b.cmd = nil
	}
}

// chaosKind is what the cabinet holds.
type chaosKind struct{ model, path string }

func (k chaosKind) String() string { return k.model + " " + k.path }

// chaos is a cabinet in which everything breaks.
type chaos struct {
	*rig
	kind     chaosKind
	chance   *rand.Rand
	broker   *cloudBroker
	tap      *tap
	link     string // the modem's stable name
	house    string // address of the local broker
	ladder   bool
	up, down *ledger
	outages  []outage
}

func newChaos(t *testing.T, kind chaosKind, seed uint64) *chaos {
	t.Helper()
	c := &chaos{
		rig:  &rig{t: t, dir: t.TempDir(), log: new(syncBuffer)},
		kind: kind, chance: rand.New(rand.NewPCG(seed, 6)), broker: newCloudBroker(t), house: modemtest.FreeAddr(t),
		ladder: true, up: newLedger(), down: newLedger(),
	}
	c.tap = newTap(t, c.broker.addr, c.up, c.down)
	c.cloud, c.link, c.file = c.broker.addr, filepath.Join(c.dir, "modem"), filepath.Join(c.dir, "atbridge.yaml")
	s, err := modemsim.Start(modemsim.Config{
		Model: kind.model, Baud: 115200, RTT: 60 * time.Millisecond, Latency: "sheet", Seed: int64(seed),
		Map: map[string]string{"cloud.example:1883": c.tap.l.Addr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.sim = s
	t.Cleanup(func() { s.Close() })
	if err := os.Symlink(s.Path(), c.link); err != nil {
		t.Fatal(err)
	}
	c.configure("exec:" + c.resetPin())
	if code, _, _ := shell(t, "check", "--config", c.file); code != 0 {
		c.ladder = false
		c.configure("none")
	}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", c.log.tail(8000))
		}
	})
	return c
}

func (c *chaos) configure(reset string) {
	write(c.t, c.file, fmt.Sprintf(`modem: {port: %s, baud: 115200, reset: "%s", max_resets_per_hour: 60}
cloud: {broker: "mqtt://cloud.example:1883", client_id: site7, keepalive: 30s}
path: {mode: %s}
local: {listen: "%s"}
routes:
  up:   [{from: "sensors/#", to: "site7/sensors/#"}]
  down: [{from: "site7/commands/#", to: "commands/#"}]
queue: {dir: %s}
status: {socket: %s}
`, c.link, reset, c.kind.path, c.house, filepath.Join(c.dir, "queue"), filepath.Join(c.dir, "sock")), 0o600)
}

// resetPin makes a command that pulls the module's reset pin: a script that writes a line to a pipe.
func (c *chaos) resetPin() (command string) {
	c.t.Helper()
	pipe, command := filepath.Join(c.dir, "pin"), filepath.Join(c.dir, "reset")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		c.t.Fatal(err)
	}
	f, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	write(c.t, command, "#!/bin/sh\necho pulled >"+pipe+"\n", 0o700)
	var wg sync.WaitGroup
	wg.Go(func() {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			c.sim.Reset()
		}
	})
	c.t.Cleanup(func() {
		f.Close()
		wg.Wait()
	})
	return command
}

// traffic goes both ways until the returned function is called; that one returns when every publisher has all its
// acknowledgements, or reports false.
func (c *chaos) traffic() (finish func(within time.Duration) bool) {
	ctx, cancel := context.WithCancel(context.Background())
	enough := make(chan struct{})
	var making, listening sync.WaitGroup
	c.t.Cleanup(func() {
		cancel()
		making.Wait()
		listening.Wait()
	})
	every := time.Second
	if c.kind.model == "air724ug" {
		every = 2 * time.Second // its stack takes the next one only after the acknowledgement
	}
	for who := range publishers {
		p := &publisher{who: who, addr: c.house, topic: fmt.Sprintf("sensors/%d", who), every: every, log: c.up}
		if who == inTheCloud {
			p.addr, p.topic, p.log = c.broker.addr, "site7/commands/lamp", c.down
		}
		making.Go(func() { p.run(ctx, enough) })
	}
	listening.Go(func() { hear(ctx, c.house, "commands/#", c.down) })
	return func(within time.Duration) bool {
		close(enough)
		done := make(chan struct{})
		go func() {
			making.Wait()
			close(done)
		}()
		select {
		case <-done:
			return true
		case <-time.After(within):
			return false
		}
	}
}

// waitFor is eventually that says no instead of failing, and looks after the daemon.
func (c *chaos) waitFor(within time.Duration, ok func() bool) bool {
	c.t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		var ended chan error
		if c.daemon != nil {
			ended = c.ended
		}
		select {
		case err := <-ended:
			c.daemon = nil
			c.t.Fatalf("the daemon ended by itself: %v\n%s", err, c.log.tail(2000))
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}

// uneasy reports whether the daemon has said since mark that something is wrong.
func (c *chaos) uneasy(mark int) bool {
	said := c.log.String()[mark:]
	return strings.Contains(said, "level=WARN") || strings.Contains(said, "level=ERROR")
}
