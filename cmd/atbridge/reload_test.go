package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems/modemsim"
)

// A loop that shows only when this machine's name is filled in is found by check, as by run.
func TestCheckFillsNames(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	text := "path: {mode: host}\ncloud: {broker: mqtt://b}\nqueue: {dir: %s}\n" +
		"routes: {up: [{from: \"sensors/#\", to: \"{hostname}/sensors/#\"}], down: [{from: %q, to: \"sensors/#\"}]}"
	write(t, file, fmt.Sprintf(text, t.TempDir(), host+"/sensors/#"), 0o600)
	for _, command := range []string{"check", "run"} {
		code, _, stderr := shell(t, command, "--config", file)
		if code != exitUsage || !strings.Contains(stderr, "c.yaml:4: routes: the up route from \"sensors/#\" to \""+host) {
			t.Errorf("%s: exit %d, %s", command, code, stderr)
		}
	}
	// What this machine cannot fill in, the one that the file is for may.
	write(t, file, strings.ReplaceAll(fmt.Sprintf(text, t.TempDir(), "cmd/#"), "{hostname}", "{serial}"), 0o600)
	if code, _, stderr := shell(t, "check", "--config", file); code != 0 {
		t.Errorf("{serial}: exit %d, %s", code, stderr)
	}
}

// SIGHUP with a file whose routes go round, once the modem's name is filled in, changes nothing: the session stands.
func TestReloadRefusesLoop(t *testing.T) {
	t.Parallel()
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200})
	r.start()
	r.online()
	s, err := r.status()
	if err != nil {
		t.Fatal(err)
	}
	atCloud := newTally()
	collect(t, mustClient(t, r.cloud, "observer"), "site7/sensors/#", atCloud.got)
	loop := strings.NewReplacer("to: \"site7/sensors/#\"", "to: \"{imei}/sensors/#\"",
		"from: \"site7/commands/#\", to: \"commands/#\"", "from: \""+s.Modem.IMEI+"/sensors/#\", to: \"sensors/#\"")
	write(t, r.file, loop.Replace(readFile(t, r.file)), 0o600)
	if err := r.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reason", 10*time.Second, func() bool {
		log := r.log.String()
		return strings.Contains(log, "the configuration was not reread") && strings.Contains(log, "feeds itself")
	})
	publish(t, mustClient(t, r.local(), "sensor"), "sensors/t", 3)
	eventually(t, "a message by the old route", 10*time.Second, func() bool { return atCloud.distinct() == 1 })
	if s, err := r.status(); err != nil || s.Counters.Sessions != 1 {
		t.Errorf("%s, %v", asJSON(s.Counters), err)
	}
	r.stop()
}
