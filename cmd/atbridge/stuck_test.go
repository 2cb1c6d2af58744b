package main

import (
	"os"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems/modemsim"
)

const stuckSentence = "the port takes no more bytes: flow control is stuck, or the adapter hangs"

// stopper holds up what is written to a port, as a CTS does that nobody asserts. It has to open the port before it is taken.
func stopper(t *testing.T, device string) (stop func(bool)) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func(held bool) {
		action := unix.TCOON
		if held {
			action = unix.TCOOFF
		}
		if err := unix.IoctlSetInt(int(f.Fd()), unix.TCXONC, action); err != nil {
			t.Error(err)
		}
	}
}

// Flow control that is stuck is a fault with a name, and no silent modem.
func TestSendIntoAStuckLine(t *testing.T) {
	t.Parallel()
	sim := simulated(t)
	stopper(t, sim.Path())(true)
	start := time.Now()
	code, _, stderr := shell(t, "--socket", t.TempDir()+"/none", "send", "--port", sim.Path(), "--timeout", "1m", "AT")
	if code != 4 || !strings.Contains(stderr, sim.Path()+": "+stuckSentence) {
		t.Errorf("exit %d after %v: %s", code, time.Since(start), stderr)
	}
}

// The daemon says so in its status for as long as it lasts, and then goes on with everything.
func TestRunOnAStuckLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	stop := stopper(t, r.sim.Path())
	cloud := mustClient(t, r.cloud, "watcher")
	defer cloud.Disconnect(250)
	arrived := make(chan string, 10)
	if token := cloud.Subscribe("site7/#", 1, func(_ paho.Client, m paho.Message) { arrived <- string(m.Payload()) }); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal("subscribe:", token.Error())
	}
	r.start()
	r.online()
	stop(true)
	publishAs(t, r, "sensors/a", 1, "held up")
	eventually(t, "the fault by its name", 90*time.Second, func() bool {
		s, err := r.status()
		return err == nil && strings.Contains(s.Reason, stuckSentence)
	})
	stop(false)
	select {
	case payload := <-arrived:
		if payload != "held up" {
			t.Errorf("arrived is %q", payload)
		}
	case <-time.After(90 * time.Second):
		t.Error("the message is lost")
	}
	r.stop()
}
