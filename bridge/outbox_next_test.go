package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Next looks for a message while one is on its way to the disk, again and again: it misses none.
func TestNextMissesNone(t *testing.T) {
	const messages = 500
	o, err := OpenOutbox(OutboxConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	go func() {
		for i := range messages {
			done := make(chan error, 1)
			o.Put(modems.Message{Topic: "t", Payload: []byte{byte(i)}}, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range messages {
		e, err := o.Next(ctx)
		if err != nil {
			t.Fatalf("message %d was missed: %v", i, err)
		}
		if got := e.Message().Payload[0]; got != byte(i) {
			t.Fatalf("message %d came as %d", i, got)
		}
		if err := e.Delivered(); err != nil {
			t.Fatal(err)
		}
	}
}
