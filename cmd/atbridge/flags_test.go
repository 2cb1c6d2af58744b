package main

import (
	"fmt"
	"testing"
)

// A flag's error is a sentence of ours, whatever the library calls it.
func TestFlagErrors(t *testing.T) {
	for _, v := range []struct{ cmd, flag, want string }{
		{"pub", "--qos=abc", "--qos: abc is neither 0 nor 1"},
		{"pub", "-q2", "--qos: 2 is neither 0 nor 1"},
		{"sub", "-Cmany", "--count: many is not a whole number, or too large a one"},
		{"sub", "-W5", "--wait: 5 is not a duration; write a number and its unit, such as 500ms, 5s or 1m30s"},
		{"sub", "--verbose=maybe", "--verbose: maybe is neither true nor false"},
		{"sub", "--none", "unknown flag: --none"},
	} {
		code, _, stderr := call(v.cmd, "site7/a", v.flag)
		if want := fmt.Sprintf("atbridge: %s; see atbridge help %s\n", v.want, v.cmd); code != exitUsage || stderr != want {
			t.Errorf("%s %s: exit %d, %s, want %s", v.cmd, v.flag, code, stderr, want)
		}
	}
	code, _, stderr := call("sub", "")
	if want := "atbridge: \"\": a topic needs at least one character\n"; code != exitUsage || stderr != want {
		t.Errorf("exit %d, %s, want %s", code, stderr, want)
	}
}
