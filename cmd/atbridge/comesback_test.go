package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// What can happen to a module in a cabinet, and nobody comes: the daemon finds it again, and what was published meanwhile
// arrives.
func TestComesBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		model  string
		breaks func(t *testing.T, r *rig)
		reason string // in status, until it is mended
		mends  func(t *testing.T, r *rig)
	}{
		"lost its network": {"ec600",
			func(_ *testing.T, r *rig) { r.sim.SetCoverage(false) }, "waiting for the network",
			func(_ *testing.T, r *rig) { r.sim.SetCoverage(true) }},
		"its SIM went away": {"ec600",
			func(_ *testing.T, r *rig) { r.sim.SetSIM(false) }, "there is no SIM",
			func(_ *testing.T, r *rig) { r.sim.SetSIM(true) }},
		"came back at another rate": {"air724ug",
			func(t *testing.T, r *rig) {
				if err := r.sim.SetBootBaud(57600); err != nil {
					t.Fatal(err)
				}
				r.sim.Reset()
			}, "", func(*testing.T, *rig) {}},
		"came back as another device": {"nt35e",
			func(_ *testing.T, r *rig) { r.sim.UnplugPower() }, "unplugged",
			func(t *testing.T, r *rig) {
				if err := r.sim.Replug(); err != nil {
					t.Fatal(err)
				}
				r.link()
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, modemsim.Config{Model: tc.model, Baud: 115200, RTT: 20 * time.Millisecond})
			r.link()
			r.change(r.sim.Path(), filepath.Join(r.dir, "modem"))
			r.start()
			r.online()
			atCloud := newTally()
			collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
			house := mustClient(t, r.local(), "sensor")
			publish(t, house, "sensors/t", 0)
			eventually(t, "the first message", 20*time.Second, func() bool { return atCloud.distinct() == 1 })
			tc.breaks(t, r)
			eventually(t, "the daemon to notice", 60*time.Second, func() bool {
				s, err := r.status()
				return err == nil && s.State != bridge.Online && strings.Contains(s.Reason, tc.reason)
			})
			for n := 1; n < 10; n++ {
				publish(t, house, "sensors/t", n)
			}
			tc.mends(t, r)
			eventually(t, "the backlog", 90*time.Second, func() bool { return atCloud.distinct() == 10 })
			r.online()
			if s, err := r.status(); err != nil || s.Counters.Recoveries == 0 {
				t.Errorf("%s, %v", asJSON(s), err)
			}
			r.stop()
		})
	}
}

// link makes the stable name of the simulated module's device, which changes when it is plugged in again.
func (r *rig) link() {
	r.t.Helper()
	name := filepath.Join(r.dir, "modem")
	if err := os.Symlink(r.sim.Path(), name+".new"); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		r.t.Fatal(err)
	}
}

// modem.reset: exec runs the operator's command, without a shell, and what it says when it fails reaches the log.
func TestResetCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	tool, mark := filepath.Join(r.dir, "power"), filepath.Join(r.dir, "pulled")
	write(t, tool, "#!/bin/sh\n[ $# = 2 ] && [ \"$2\" = '$HOME;' ] || { echo \"got $*\"; exit 3; }\ntouch "+mark+"\n", 0o700)
	r.change("baud: 115200", "baud: 115200, reset: \"exec:"+tool+" cycle $HOME;\"")
	r.start()
	r.online()
	house := mustClient(t, r.local(), "sensor")
	r.sim.Wedge()
	publish(t, house, "sensors/t", 0)
	eventually(t, "the command", 60*time.Second, func() bool {
		_, err := os.Stat(mark)
		return err == nil
	})
	r.sim.Reset() // what a command of this kind is for
	eventually(t, "the message", 60*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Counters.UpDelivered == 1 && s.Recovery["reset"].Times == 1
	})
	if _, out, _ := shell(t, "status", "--config", r.file); !strings.Contains(out, "reset 1× (") {
		t.Errorf("status says nothing of the reset:\n%s", out)
	}
	r.stop()
}
