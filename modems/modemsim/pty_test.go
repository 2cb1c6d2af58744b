package modemsim

import (
	"strings"
	"testing"
)

// On a busy machine the time to wait for a host that does not read may be over before the line was tried at all. What the
// host has room for is not lost, and what it has none for is.
func TestLateWriteIsNotLost(t *testing.T) {
	t.Parallel()
	p, err := openPTY(0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.unplug()
	if n, err := p.write([]byte("\r\nPUBACK\r\n"), -1); n != 10 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	const much = 1 << 20
	if n, err := p.write([]byte(strings.Repeat("x", much)), -1); n == much || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
