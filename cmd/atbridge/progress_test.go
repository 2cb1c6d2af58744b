package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems/modemsim"
)

// What takes more than a second says on a terminal what it waits for, on one line of it however narrow, and takes the line
// away again. In a pipe nothing of it is seen.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		columns uint16
		line    string
	}{{80, "waiting for the network (1 s)"}, {20, "waiting for the net"}} {
		t.Run(fmt.Sprint(v.columns), func(t *testing.T) {
			t.Parallel()
			s := openScreen(t, v.columns, nil, slowPub(t)...)
			s.expect("\r\x1b[K" + v.line + "\r")
			s.exits(0)
			eventually(t, "the line to be taken away", 10*time.Second, func() bool { return strings.HasSuffix(s.shown.String(), "\r\x1b[K") })
			for _, line := range regexp.MustCompile(`[\r\n]`).Split(s.shown.String(), -1) {
				if text := strings.TrimPrefix(line, "\x1b[K"); len(text) >= int(v.columns) {
					t.Errorf("%q does not fit", text)
				}
			}
		})
	}
	t.Run("pipe", func(t *testing.T) {
		t.Parallel()
		if code, stdout, stderr := shell(t, slowPub(t)...); code != 0 || stdout+stderr != "" {
			t.Errorf("exit %d, %q %q", code, stdout, stderr)
		}
	})
}

// slowPub is a command that waits for the network.
func slowPub(t *testing.T) []string {
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 460800, Faults: []string{"regdelay=4s"}})
	return []string{"pub", "site7/a", "-m", "x", "-q", "1", "--config", r.file}
}
