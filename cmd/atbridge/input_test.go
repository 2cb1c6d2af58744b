package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// Whoever stops the program need not end what is piped into it.
func TestReadingStops(t *testing.T) {
	in, out := io.Pipe()
	late := time.AfterFunc(10*time.Second, func() { out.Close() })
	defer late.Stop()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := readCommands(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("it read on: %v", err)
	}
}
