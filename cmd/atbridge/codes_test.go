package main

import (
	"cmp"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// codes are the exit codes of each command. Each of them has a line in a script that sees it. Beside them there is 70, for
// whatever command has a fault.
var codes = map[string]string{
	"check":       "012",
	"completion":  "012",
	"console":     "024",
	"credentials": "01234",
	"demo":        "012",
	"doctor":      "012345",
	"help":        "02",
	"info":        "01234",
	"man":         "02",
	"ports":       "0124",
	"provision":   "01234",
	"pub":         "012345",
	"queue":       "0124",
	"record":      "024",
	"replay":      "012",
	"run":         "012",
	"send":        "01234",
	"sim":         "02",
	"status":      "0124",
	"sub":         "01234",
	"version":     "012",
}

// seenBy are the tests that see what no script can bring about: a machine without /sys, and who types on a terminal.
var seenBy = map[string]func(*testing.T){
	"ports 4":   TestPortsUnreadable,
	"console 0": TestConsole,
	"console 4": TestConsoleTrouble,
	"queue 1":   TestQueueDropInFlight,
}

// scriptCodes are the lines of the scripts that see a command end with a code, by "COMMAND CODE".
func scriptCodes(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	run := regexp.MustCompile(`(?m)^(?:exits (\d+)|exec) (?:sh -c '.*?)?atbridge (?:-\S+ )*(\w+).*`)
	for _, file := range files {
		for _, m := range run.FindAllStringSubmatch(readFile(t, file), -1) {
			seen[m[2]+" "+cmp.Or(m[1], "0")] = filepath.Base(file) + ": " + m[0]
		}
	}
	return seen
}

func TestEveryExitCode(t *testing.T) {
	seen := scriptCodes(t)
	for _, cmd := range newTestRoot().Commands() {
		name := cmd.Name()
		if codes[name] == "" {
			t.Errorf("%s has no exit codes in the table", name)
		}
		for _, code := range codes[name] {
			end := name + " " + string(code)
			if seen[end] == "" && seenBy[end] == nil {
				t.Errorf("no script sees exit code %c of %s", code, name)
			}
			delete(seen, end)
		}
	}
	delete(seen, "__complete 0") // what the shells ask
	for _, end := range slices.Sorted(maps.Keys(seen)) {
		t.Errorf("%s is in a script and not in the table: %s", end, seen[end])
	}
}
