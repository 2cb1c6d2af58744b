//go:build linux

package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// calamity is something that goes wrong, and how it is put right again.
type calamity struct {
	name  string
	short string        // the paths on which it is in the short form too
	lasts time.Duration // how long the world stays like this, at most; 0: it happens, and that is all
	lose  bool          // what is on its way to the cloud is lost with it
	only  func(c *chaos) bool
	begin func(c *chaos)
	end   func(c *chaos)
}

var calamities = []calamity{
	{name: "daemon killed", short: "native tcp", lasts: 2 * time.Second, begin: (*chaos).killAtPuback, end: (*chaos).startDaemon},
	{name: "daemon stopped", lasts: 2 * time.Second, begin: func(c *chaos) { c.stop() }, end: (*chaos).startDaemon},
	{name: "cloud restarted", lasts: 3 * time.Second, begin: func(c *chaos) { c.broker.stop(unix.SIGTERM) }, end: func(c *chaos) { c.broker.start() }},
	{name: "cloud killed", short: "native tcp", lasts: time.Second, lose: true, begin: func(c *chaos) { c.broker.stop(unix.SIGKILL) }, end: func(c *chaos) { c.broker.start() }},
	{name: "module reboots", short: "native tcp", lose: true, begin: func(c *chaos) { c.sim.Reset() }},
	{name: "module hangs", lose: true, only: (*chaos).hasLadder, begin: func(c *chaos) { c.sim.Wedge() }},
	{name: "MQTT stack hangs", lose: true, only: func(c *chaos) bool { return c.kind.path == "native" && c.hasLadder() }, begin: func(c *chaos) {
		if err := c.sim.WedgeMQTT(); err != nil {
			c.t.Fatal(err)
		}
	}},
	{name: "PDP context lost unsaid", lose: true, only: (*chaos).hasLadder, begin: func(c *chaos) {
		if err := c.sim.LosePDP(); err != nil {
			c.t.Fatal(err)
		}
	}},
	{name: "another baud rate", lasts: 20 * time.Second, lose: true, begin: func(c *chaos) {
		c.bootBaud(9600)
		c.sim.Reset()
	}, end: func(c *chaos) { c.bootBaud(115200) }}, // from the next boot on: the traffic does not fit 9600 baud
	{name: "unplugged", lasts: 3 * time.Second, begin: (*chaos).unplug, end: (*chaos).replug},
	{name: "unplugged, no power", lasts: 3 * time.Second, lose: true, begin: func(c *chaos) {
		c.unplug()
		c.sim.UnplugPower()
	}, end: (*chaos).replug},
	{name: "no coverage", lasts: 8 * time.Second, lose: true, begin: func(c *chaos) { c.sim.SetCoverage(false) }, end: func(c *chaos) { c.sim.SetCoverage(true) }},
	{name: "SIM card away", lasts: 8 * time.Second, lose: true, begin: func(c *chaos) { c.sim.SetSIM(false) }, end: func(c *chaos) { c.sim.SetSIM(true) }},
	{name: "network cut", lasts: 20 * time.Second, lose: true, begin: func(c *chaos) { c.sim.CutNetwork(true) }, end: func(c *chaos) { c.sim.CutNetwork(false) }},
	{name: "noise", short: "native tcp", begin: func(c *chaos) { c.sim.Noise(1 + c.chance.IntN(300)) }},
	{name: "disk full", lasts: 5 * time.Second, begin: func(c *chaos) { c.fileSize(1) }, end: func(c *chaos) { c.fileSize(unix.RLIM_INFINITY) }},
}

// killAtPuback is kill -9, as soon as a local publisher has been told that a message is safe.
func (c *chaos) killAtPuback() {
	c.up.mu.Lock()
	safe := c.up.safe
	c.up.mu.Unlock()
	select {
	case <-safe:
	case <-time.After(30 * time.Second):
		c.t.Fatal("waited 30s for a PUBACK")
	}
	c.kill()
}

func (c *chaos) startDaemon() { c.start() }

func (c *chaos) unplug() {
	if err := os.Remove(c.link); err != nil {
		c.t.Fatal(err)
	}
	c.sim.Unplug()
}

func (c *chaos) replug() {
	if err := c.sim.Replug(); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Symlink(c.sim.Path(), c.link); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chaos) bootBaud(rate int) {
	if err := c.sim.SetBootBaud(rate); err != nil {
		c.t.Fatal(err)
	}
}

// fileSize bounds every file of the daemon: with 1 no write to the queue succeeds, as on a full disk.
func (c *chaos) fileSize(most uint64) {
	limit := unix.Rlimit{Cur: most, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(c.daemon.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		c.t.Fatal("prlimit:", err)
	}
}

// hasLadder reports whether the daemon can be told how to pull the reset pin. Where it cannot, what only a reset mends
// is left out.
func (c *chaos) hasLadder() bool { return c.ladder }
