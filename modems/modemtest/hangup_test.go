package modemtest

import (
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// sendBegins is a tap that tells when a socket begins to send.
func sendBegins(o *modems.Options) <-chan struct{} {
	begun := make(chan struct{})
	var once sync.Once
	o.Tap = func(sent bool, text []byte) {
		if sent && strings.Contains(string(text), "SEND=") && !strings.Contains(string(text), "QSEND") {
			once.Do(func() { close(begun) })
		}
	}
	return begun
}

// A program that ends while a connection sends leaves no module behind that waits for the rest: what was written still leaves.
func TestCloseWhileSending(t *testing.T) {
	eachSocket(t, func(t *testing.T, model string, o modems.Options) {
		b := newBench(t, model)
		begun := sendBegins(&o)
		m := b.attach(o)
		if err := m.Online(b.ctx); err != nil {
			t.Fatal(err)
		}
		near, far := b.dialled(m)
		if _, err := near.Write(make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		<-begun
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(far); err != nil || len(got) != 3000 {
			t.Errorf("%d bytes arrived, %v", len(got), err)
		}
	})
}
