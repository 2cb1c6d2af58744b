package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// wireSince is what the daemon has logged in this life.
func (r *rig) wireSince() string { return r.log.String()[r.since:] }

// A raised baud rate is not stored: an orderly stop takes it back, a module that boots is found at its own rate, and one that a
// killed daemon has left at the raised rate is found there.
func TestBaudUp(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"ec600", "air724ug"} {
		t.Run(model, func(t *testing.T) {
			if model != "ec600" && os.Getenv("ATBRIDGE_LONG") == "" {
				t.Skip("takes a minute, and one model shows it; ATBRIDGE_LONG=1 runs it")
			}
			t.Parallel()
			r := newRig(t, modemsim.Config{Model: model, Baud: 115200, RTT: 20 * time.Millisecond})
			r.change("baud: 115200", "baud: 115200, baud_up: 460800")
			write(t, r.file, readFile(t, r.file)+"log: {wire: true}\n", 0o600)
			r.env = []string{"NOTIFY_SOCKET=" + newListener(t).name, "WATCHDOG_USEC=4000000"} // the modem is asked each second
			r.start()
			r.online()
			if wire := r.wireSince(); !strings.Contains(wire, `-> AT+IPR=460800\r`) || strings.Contains(wire, "&W") {
				t.Fatal("the rate was not raised, or was stored")
			}

			r.sim.Reset()
			eventually(t, "the module at its own rate, and raised again", 60*time.Second, func() bool {
				return strings.Count(r.wireSince(), `-> AT+IPR=460800\r`) == 2
			})
			r.online()

			r.kill()
			r.start()
			r.online()
			if wire := r.wireSince(); strings.Contains(wire, "AT+IPR") {
				t.Error("a module that is at the raised rate was told to go there")
			}

			r.stop()
			if wire := r.wireSince(); !strings.Contains(wire, `-> AT+IPR=115200\r`) {
				t.Error("an orderly stop has left the module at the raised rate")
			}
			r.start()
			r.online()
			if log := r.wireSince(); strings.Contains(log, "no answer") {
				t.Error("the module was not at modem.baud after an orderly stop")
			}
			r.stop()
		})
	}
}

// A module that reboots at a raised rate is back at its own: nobody hears its banner, but it is asked often enough.
func TestBaudUpRebootIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	r.change("baud: 115200", "baud: 115200, baud_up: 460800")
	r.start()
	r.online()
	r.sim.Reset()
	eventually(t, "the reboot to be noticed, by 20 s or so", 30*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.State != bridge.Online
	})
	r.online()
	r.stop()
}

// What a module or a port cannot do is said, and done without.
func TestFlowControlIsAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	r.change("baud: 115200", "baud: 115200, flow: rtscts")
	write(t, r.file, readFile(t, r.file)+"log: {wire: true}\n", 0o600)
	r.start()
	r.online()
	if !strings.Contains(r.wireSince(), `-> AT+IFC=2,2\r`) {
		t.Error("the modem was not told of RTS/CTS")
	}
	r.stop()
}
