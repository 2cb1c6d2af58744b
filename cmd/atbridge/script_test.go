package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// The scripts in testdata/script run the program as a shell does. Beside the commands of package testscript they have:
//
//	exits CODE PROGRAM ARG...   it must end with this exit code
//	modem NAME [FAULT...]       a simulated modem; $MODEM is its port. With the name none nothing is behind it
//	modem off                   ends the last one
//	unplug FILE                 pulls the modem's cable once there is FILE
//	aliyun                      a platform, with the product a1pk, its secret pr0duct and the device lamp7 on its list; the next
//	                            modem reaches it, and $CA is its authority
//	hangup PATH                 a control socket that answers nobody
//	broker [refuse]             an MQTT broker; $BROKER is its address, $BROKERPORT its port
//	config [LINE...]            writes atbridge.yaml for both; lines are added at its end, or replace those that begin alike
//	daemon [stop]               ends the daemon, if one runs, then starts atbridge run and waits until it is online
//	arrived TOPIC TEXT          the broker has, or will have, such a message
//	local TOPIC TEXT            publishes to the daemon's local broker, at $FREE
//	queued N                    waits until so many messages are set aside in the daemon's queue
//	waitfor FILE                waits until there is such a file
//	cut TOPIC [refuse]          the broker hangs up on who subscribes to it, as soon as somebody does, and lets nobody in again
//	publish TOPIC TEXT          the broker sends such a message to who subscribes, until somebody does
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("LONG", strings.Repeat("x", 300))
			e.Setenv("FREE", modemtest.FreeAddr(t))                       // an address that nobody has
			e.Setenv("ATBRIDGE_SOCKET", filepath.Join(e.WorkDir, "none")) // no daemon of this machine
			b := &scriptBench{dir: e.WorkDir}
			e.Values["bench"] = b
			e.Defer(b.close)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"modem":   onBench((*scriptBench).modem),
			"unplug":  onBench((*scriptBench).unplug),
			"aliyun":  onBench((*scriptBench).aliyun),
			"hangup":  onBench((*scriptBench).hangUp),
			"broker":  onBench((*scriptBench).startBroker),
			"config":  onBench((*scriptBench).config),
			"daemon":  onBench((*scriptBench).daemon),
			"arrived": onBench((*scriptBench).arrived),
			"local":   onBench((*scriptBench).local),
			"queued":  onBench((*scriptBench).queued),
			"waitfor": onBench((*scriptBench).waitFor),
			"cut":     onBench((*scriptBench).cut),
			"publish": onBench((*scriptBench).publish),
		},
	})
}

// exits runs a program that must end with this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	code := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s\nstdout: %s\nstderr: %s", code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// scriptBench is what stands on the bench of one script.
type scriptBench struct {
	mochi.HookBase
	dir    string
	sims   []*modemsim.Sim
	server *mochi.Server
	refuse atomic.Bool
	run    *exec.Cmd // the daemon
	reach  map[string]string

	mu  sync.Mutex
	got []string
}

func onBench(do func(*scriptBench, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("! is not for this command")
		}
		do(ts.Value("bench").(*scriptBench), ts, args)
	}
}

func (b *scriptBench) modem(ts *testscript.TestScript, args []string) {
	if args[0] == "none" {
		pty, err := tty.OpenPTY()
		ts.Check(err)
		ts.Defer(func() { pty.Close() })
		ts.Setenv("MODEM", pty.Path)
		return
	}
	if args[0] == "off" {
		ts.Check(b.sims[len(b.sims)-1].Close())
		return
	}
	sim, err := modemsim.Start(modemsim.Config{Model: args[0], Baud: 115200, Faults: args[1:], Map: b.reach})
	ts.Check(err)
	b.sims = append(b.sims, sim)
	ts.Setenv("MODEM", sim.Path())
}

func (b *scriptBench) unplug(ts *testscript.TestScript, args []string) {
	sim, file := b.sims[len(b.sims)-1], ts.MkAbs(args[0])
	pulled := make(chan bool, 1)
	ts.Defer(func() {
		if !<-pulled {
			ts.Fatalf("there is no %s", args[0])
		}
	})
	go func() {
		there := soon(func() bool { _, err := os.Stat(file); return err == nil })
		if there {
			sim.Unplug()
		}
		pulled <- there
	}()
}

func (b *scriptBench) aliyun(ts *testscript.TestScript, _ []string) {
	p := &cloudtest.AliyunProduct{Key: "a1pk", Secret: "pr0duct", Register: true}
	p.Device("lamp7", "")
	c, err := cloudtest.Start(b.dir, p)
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	b.reach = c.Map()
	ts.Setenv("CA", c.CAFile)
}

func (b *scriptBench) hangUp(ts *testscript.TestScript, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Close()
		}
	}()
}

// close hangs up first: the broker's Close waits for those who have connected.
func (b *scriptBench) close() {
	if b.run != nil {
		b.run.Process.Kill()
		b.run.Wait()
	}
	for _, s := range b.sims {
		s.Close()
	}
	if b.server != nil {
		b.server.Close()
	}
}

func (b *scriptBench) ID() string { return "script" }

func (b *scriptBench) Provides(h byte) bool {
	return bytes.IndexByte([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublished}, h) >= 0
}

func (b *scriptBench) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool {
	return !b.refuse.Load()
}

func (b *scriptBench) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (b *scriptBench) OnPublished(_ *mochi.Client, p packets.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, p.TopicName+" "+string(p.Payload))
}

func (b *scriptBench) startBroker(ts *testscript.TestScript, args []string) {
	b.refuse.Store(len(args) > 0)
	b.server = mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	ts.Check(errors.Join(b.server.AddHook(b, nil), b.server.AddListener(l), b.server.Serve()))
	_, port, err := net.SplitHostPort(l.Address())
	ts.Check(err)
	ts.Setenv("BROKER", l.Address())
	ts.Setenv("BROKERPORT", port)
}

func (b *scriptBench) config(ts *testscript.TestScript, args []string) {
	text := fmt.Sprintf(`
modem: {port: %s}
cloud: {broker: "mqtt://%s", client_id: site7}
local: {listen: "127.0.0.1:0"}
routes:
  up:   [{from: "sensors/#", to: "site7/sensors/#"}]
  down: [{from: "site7/commands/#", to: "commands/#"}]
queue: {dir: %s}
`, ts.Getenv("MODEM"), ts.Getenv("BROKER"), filepath.Join(b.dir, "queue"))
	for _, line := range args {
		key, _, _ := strings.Cut(line, ":")
		before, after, found := strings.Cut(text, "\n"+key+":")
		if _, rest, ok := strings.Cut(after, "\n"); found && ok {
			for strings.HasPrefix(rest, " ") { // lines that go on with it
				_, rest, _ = strings.Cut(rest, "\n")
			}
			text = before + "\n" + rest
		}
		text += line + "\n"
	}
	ts.Check(os.WriteFile(ts.MkAbs("atbridge.yaml"), []byte(text), 0o600))
	ts.Setenv("ATBRIDGE_CONFIG", ts.MkAbs("atbridge.yaml"))
}

func (b *scriptBench) daemon(ts *testscript.TestScript, args []string) {
	if b.run != nil {
		err := errors.Join(b.run.Process.Signal(syscall.SIGTERM), b.run.Wait())
		if err != nil {
			ts.Fatalf("the daemon: %v\n%s", err, b.run.Stderr)
		}
		b.run = nil
	}
	if len(args) > 0 {
		return
	}
	socket := filepath.Join(b.dir, "sock")
	ts.Setenv("ATBRIDGE_SOCKET", socket)
	self, err := os.Executable()
	ts.Check(err)
	cmd := exec.Command(self, "run", "--config", ts.Getenv("ATBRIDGE_CONFIG"), "--socket", socket)
	cmd.Env = append(os.Environ(), beMain+"=1")
	cmd.Stderr = new(syncBuffer)
	ts.Check(cmd.Start())
	b.run = cmd
	online := soon(func() bool {
		c, err := control.Dial(socket)
		if err != nil {
			return false
		}
		s, err := c.Status(context.Background())
		return err == nil && s.State == bridge.Online
	})
	if !online {
		ts.Fatalf("the daemon does not come online:\n%s", cmd.Stderr)
	}
}

func (b *scriptBench) arrived(ts *testscript.TestScript, args []string) {
	want := strings.Join(args, " ")
	b.until(ts, want+" at the broker", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, got := range b.got {
			if strings.TrimSpace(got) == want { // a file ends in a line end
				return true
			}
		}
		return false
	})
}

// publish waits for a subscriber, so that nobody needs to know when it subscribes.
func (b *scriptBench) publish(ts *testscript.TestScript, args []string) {
	b.until(ts, "a subscriber of "+args[0], func() bool { return len(b.server.Topics.Subscribers(args[0]).Subscriptions) > 0 })
	ts.Check(b.server.Publish(args[0], []byte(args[1]), false, 1))
}

func (b *scriptBench) cut(ts *testscript.TestScript, args []string) {
	listen := func() int { return len(b.server.Topics.Subscribers(args[0]).Subscriptions) }
	b.until(ts, "a subscriber of "+args[0], func() bool { return listen() > 0 })
	b.refuse.Store(len(args) > 1)
	for id := range b.server.Topics.Subscribers(args[0]).Subscriptions {
		if c, ok := b.server.Clients.Get(id); ok {
			c.Stop(errors.New("cut"))
		}
	}
	b.until(ts, "the subscriber to be gone", func() bool { return listen() == 0 })
}

func (b *scriptBench) local(ts *testscript.TestScript, args []string) {
	c, err := dialLocal(context.Background(), ts.Getenv("FREE"))
	ts.Check(err)
	defer c.Close(context.Background())
	ts.Check(bridge.Deliver(context.Background(), c, modems.Message{Topic: args[0], Payload: []byte(args[1]), QoS: 1}))
}

func (b *scriptBench) queued(ts *testscript.TestScript, args []string) {
	c, err := control.Dial(ts.Getenv("ATBRIDGE_SOCKET"))
	ts.Check(err)
	b.until(ts, args[0]+" messages to be set aside", func() bool {
		s, err := c.Status(context.Background())
		return err == nil && fmt.Sprint(s.Queue.Poisoned) == args[0]
	})
}

func (b *scriptBench) waitFor(ts *testscript.TestScript, args []string) {
	b.until(ts, args[0], func() bool { _, err := os.Stat(ts.MkAbs(args[0])); return err == nil })
}

func (b *scriptBench) until(ts *testscript.TestScript, what string, ok func() bool) {
	if !soon(ok) {
		ts.Fatalf("waited for %s", what)
	}
}

func soon(ok func() bool) bool {
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}
