package atcmd

import (
	"io"
	"sync"
)

// maxInbox bounds what was read and not yet scanned: a minute at 115200 baud. The loop falls behind only while it is
// stuck in a write.
const maxInbox = 1 << 20

// inbox is where the reader leaves bytes for the loop. The reader goes on draining the port while the loop is stuck
// in a write: a DCE that cannot get rid of its output may not take any input either.
type inbox struct {
	mu    sync.Mutex
	bytes []byte
	err   error         // why reading ended
	ready chan struct{} // holds a token while there is something to take
}

func (b *inbox) init() { b.ready = make(chan struct{}, 1) }

// fill reads until the port ends.
func (b *inbox) fill(r io.Reader) {
	chunk := make([]byte, 4096)
	for {
		n, err := r.Read(chunk)
		b.mu.Lock()
		b.bytes = append(b.bytes, chunk[:n]...)
		if err == nil && len(b.bytes) > maxInbox {
			err = ErrOverrun
		}
		b.err = err
		b.mu.Unlock()
		select {
		case b.ready <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// take swaps the filled buffer for an empty one.
func (b *inbox) take(empty []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.bytes
	b.bytes = empty[:0]
	return full, b.err
}
