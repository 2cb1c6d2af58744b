package modemtest

import (
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/atbridge/atbridge/modems"
)

// What a plain connection begins with holds the password: no part of it is told of the wire, wherever a send ends. The other
// side gets every byte.
func TestHide(t *testing.T) {
	eachSocket(t, func(t *testing.T, model string, o modems.Options) {
		b := newBench(t, model)
		var mu sync.Mutex
		var wire strings.Builder
		o.Tap = func(_ bool, text []byte) {
			mu.Lock()
			defer mu.Unlock()
			wire.Write(text)
		}
		m := b.attach(o)
		if err := m.Online(b.ctx); err != nil {
			t.Fatal(err)
		}
		for _, before := range []int{10, 1000, 1022, 1300, 1440, 1457, 1460, 4000} {
			for _, secret := range []string{"pin7", strings.Repeat("s3cr3t-", 40)} {
				near, far := b.dialled(m)
				modems.Hide(near, secret)
				text := strings.Repeat(".", before) + secret + "end"
				if _, err := io.WriteString(near, text); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(text))
				if _, err := io.ReadFull(far, got); err != nil || string(got) != text {
					t.Errorf("%d: %v", before, err)
				}
				near.Close()
				far.Close()
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, piece := range []string{"pin7", "s3cr", "cr3t", "3t-s"} {
			if at := strings.Index(wire.String(), piece); at >= 0 {
				t.Errorf("the wire shows %q", wire.String()[max(0, at-60):at+20])
			}
		}
	})
}
