package modemtest

import (
	"net"
	"testing"
)

// An address is taken by who asks for it, and given to nobody else, however many ask for any.
func TestFreeAddr(t *testing.T) {
	t.Parallel()
	free := map[string]bool{}
	for range 200 {
		free[FreeAddr(t)] = true
	}
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all at once
		if free[l.Addr().String()] {
			t.Errorf("%s was given away", l.Addr())
		}
	}
	for addr := range free {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
