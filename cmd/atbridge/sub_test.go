package main

import (
	"io"
	"os"
	"regexp"
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

// Who takes the messages of the daemon more slowly than they come misses some, and is told where and how many. The daemon
// waits for nobody.
func TestSlowSub(t *testing.T) {
	t.Parallel()
	cloud, _, _ := mosquitto(t)
	r := newHostRig(t, cloud)
	r.change("  up:\n", "  down: [{from: \"site7/commands/#\", to: \"commands/#\"}]\n  up:\n")
	r.start()
	r.online()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	told := new(syncBuffer)
	sub := command(t, "--config", r.file, "sub", "site7/flood")
	sub.Stdout, sub.Stderr = in, told
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { sub.Process.Kill(); sub.Wait() })
	sender := mustClient(t, cloud, "sender")
	first := make([]byte, 1)
	out.SetReadDeadline(time.Now().Add(20 * time.Second))
	stop := make(chan struct{})
	go func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-tick.C:
				sender.Publish("site7/flood", 0, false, "begin")
			case <-stop:
				return
			}
		}
	}()
	if _, err := out.Read(first); err != nil { // it has subscribed
		t.Fatal("nothing comes:", err)
	}
	close(stop)

	behind := make(chan bool, 1) // the daemon has had it all: it comes behind the flood, on the same session
	collect(t, mustClient(t, r.local(), "house"), "commands/#", func(string, []byte) { behind <- true })
	const many = 3 * 4096 // and more than the daemon keeps for a listener, and the sockets
	for range many {
		sender.Publish("site7/flood", 0, false, strings.Repeat("x", 500))
	}
	sender.Publish("site7/commands/behind", 1, false, "it")
	select {
	case <-behind:
	case <-time.After(60 * time.Second):
		t.Fatal("the daemon waits for who does not read")
	}
	out.SetReadDeadline(time.Now().Add(60 * time.Second))
	go io.Copy(io.Discard, out)
	said := regexp.MustCompile(`^atbridge: \d+ messages are missing here: they came faster than they are taken\n`)
	eventually(t, "the word that messages are missing", 60*time.Second, func() bool { return said.MatchString(told.String()) })
}
