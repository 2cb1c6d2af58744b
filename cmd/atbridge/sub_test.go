package main

import (
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems/modemsim"
)

// Who listens through the daemon goes on listening when its session is lost and comes back.
func TestSubFollowsTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond, Faults: []string{"stat=1@1"}})
	r.change("client_id: site7", "client_id: site7, clean_session: true") // the broker remembers nothing
	r.start()
	r.online()
	heard := new(syncBuffer)
	sub := command(t, "--config", r.file, "sub", "site7/test", "-C", "1000000")
	sub.Stdout = heard
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Process.Kill(); sub.Wait() })
	sender := mustClient(t, r.cloud, "sender")
	say := func(what string) { sender.Publish("site7/test", 1, false, what).Wait() }
	eventually(t, "the first message", 20*time.Second, func() bool {
		say("one") // until it has subscribed
		return heard.String() != ""
	})
	publish(t, mustClient(t, r.local(), "sensor"), "sensors/t", 1) // then the link is gone
	eventually(t, "the next session", 60*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Counters.Sessions >= 2 && s.State == "online"
	})
	eventually(t, "a message of the next session", 20*time.Second, func() bool {
		say("two")
		return strings.Contains(heard.String(), "two\n")
	})
}
