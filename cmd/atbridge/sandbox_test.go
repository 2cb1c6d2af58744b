package main

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems/modemsim"
)

// allowedCalls are the system calls that the unit's SystemCallFilter= lets through, by systemd's own lists.
func allowedCalls(t *testing.T, unit string) map[string]bool {
	t.Helper()
	analyze := program(t, "systemd-analyze")
	var expand func(word string, do func(name string))
	expand = func(word string, do func(name string)) {
		if word[0] != '@' {
			do(word)
			return
		}
		out, err := exec.Command(analyze, "syscall-filter", "--no-pager", word).Output()
		if err != nil {
			t.Fatalf("systemd-analyze syscall-filter %s: %v", word, err)
		}
		for line := range strings.Lines(string(out)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line != word {
				expand(line, do)
			}
		}
	}
	allowed := map[string]bool{}
	expand("@default", func(name string) { allowed[name] = true }) // systemd.exec(5): always
	for line := range strings.Lines(unit) {
		words, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		words, deny := strings.CutPrefix(words, "~")
		for word := range strings.FieldsSeq(words) {
			if ok {
				expand(word, func(name string) { allowed[name] = !deny })
			}
		}
	}
	return allowed
}

// The daemon does its work with no other system calls than the unit lets through. strace refuses the others as the unit
// does, and says which they were. Only the kernel's word on whether the clock is set is asked for in vain.
func TestSystemCallsOfTheUnit(t *testing.T) {
	t.Parallel()
	unit := readFile(t, "../../scripts/atbridge.service")
	if !strings.Contains(unit, "\nSystemCallErrorNumber=EPERM\n") {
		t.Error("the unit lets a call that is not allowed end the process")
	}
	var names []string
	for name, ok := range allowedCalls(t, unit) {
		if ok {
			names = append(names, "?"+name) // those of other machines are not known here
		}
	}
	slices.Sort(names)
	if len(names) < 100 {
		t.Fatalf("the unit allows %d system calls", len(names))
	}
	others := "!" + strings.Join(names, ",")
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	r.secure()
	r.take("tcp")
	refused := filepath.Join(r.dir, "refused")
	r.under = []string{program(t, "strace"), "-D", "-f", "-qq", "-e", "signal=none", "-e", "trace=" + others, "-e", "inject=" + others + ":error=EPERM", "-o", refused}
	r.start()
	r.online()
	publishAs(t, r, "sensors/a", 1, "x")
	eventually(t, "the message to be delivered", 30*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Counters.UpDelivered == 1
	})
	r.stop()
	calls := map[string]bool{}
	for _, call := range regexp.MustCompile(`(?m)^\d+ +(\w+)\(`).FindAllStringSubmatch(readFile(t, refused), -1) {
		calls[call[1]] = true
	}
	if !calls["adjtimex"] && !calls["clock_adjtime"] {
		t.Error("nothing was refused: is the filter in force?")
	}
	delete(calls, "adjtimex")
	delete(calls, "clock_adjtime")
	if len(calls) > 0 {
		t.Errorf("the unit refuses %v", slices.Collect(maps.Keys(calls)))
	}
}
