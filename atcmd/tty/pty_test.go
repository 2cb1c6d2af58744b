package tty

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// Programs come and go at a PTY's Path, every byte passes, and what nobody reads holds nobody up.
func TestPTYOutlivesItsPrograms(t *testing.T) {
	p, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for range 2 {
		port := open(t, p.Path)
		for from, to := range map[io.Writer]io.Reader{p: port, port: p} {
			got := make([]byte, 256)
			if _, err := from.Write(every); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, every) {
				t.Errorf("%q, %v", got, err)
			}
		}
		port.Close()
	}
	written := make(chan error, 1)
	go func() { _, err := p.Write(make([]byte, 1<<20)); written <- err }()
	select {
	case err := <-written:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a program that does not read holds up who writes")
	}
	read := make(chan error, 1)
	go func() { _, err := p.Read(make([]byte, 1)); read <- err }()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; err == nil {
		t.Error("a read outlives Close")
	}
}
