package attest

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/atbridge/atbridge/atcmd/transcript"
)

// Play returns the port to a modem that plays the transcript in file. It fails the test if the host sends anything that
// differs, more than the transcript holds, or closes the port before the transcript's end.
func Play(t testing.TB, file string, options ...transcript.Option) io.ReadWriteCloser {
	t.Helper()
	script, err := transcript.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	host, modem := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	played := make(chan error, 1)
	go func() {
		err := script.Play(ctx, modem, options...)
		if err == nil {
			if more, _ := io.ReadAll(modem); len(more) > 0 {
				t.Errorf("%s: after the end the host sent %q", file, more)
			}
		}
		modem.Close() // who waits for a modem that has objected is told
		played <- err
	}()
	t.Cleanup(func() {
		cancel()
		host.Close()
		if err := <-played; err != nil {
			t.Errorf("%s: %v", file, err)
		}
	})
	return host
}
