package modemtest

import (
	"io"
	"net"
	"testing"
)

// FreeAddr is an address on which nobody listens, for a server that has to be told its port. For a minute nobody is given
// the port who does not ask for it by its number: a connection to it was closed from its side first, and the kernel keeps
// the port of that in TIME_WAIT. A port that was merely free a moment ago may be given to the next test that asks for any.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	far.Close()
	if _, err := io.Copy(io.Discard, near); err != nil { // until it has seen that the far side has closed
		t.Fatal(err)
	}
	return l.Addr().String()
}
