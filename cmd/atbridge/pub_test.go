package main

import (
	"strings"
	"testing"
)

// What would end the session is no topic.
func TestPubControlCharacter(t *testing.T) {
	for _, args := range [][]string{{"pub", "a\nb", "-m", "x"}, {"sub", "a\u0085/#"}} {
		code, stdout, stderr := shell(t, append(args, "--config", "/dev/null")...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "a broker may end the session") {
			t.Errorf("%q: %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
