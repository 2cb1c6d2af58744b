package atcmd_test

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warthog618/modem/at"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/tty"
)

// overPipe and overPTY are the two lines that the benchmarks run over: bytes that cost nothing, and the kernel's tty layer
// as a serial port has it.
func overPipe(testing.TB) (host, dce io.ReadWriteCloser) { return net.Pipe() }

func overPTY(tb testing.TB) (host, dce io.ReadWriteCloser) {
	pty, err := tty.OpenPTY()
	if err != nil {
		tb.Fatal(err)
	}
	port, err := tty.Open(pty.Path, 115200)
	if err != nil {
		tb.Fatal(err)
	}
	return port, pty
}

// beside runs both engines over both lines, so that what is compared was measured in one run.
func beside(b *testing.B, ours, theirs func(b *testing.B, host, dce io.ReadWriteCloser)) {
	for _, line := range []struct {
		name string
		open func(testing.TB) (host, dce io.ReadWriteCloser)
	}{{"pipe", overPipe}, {"pty", overPTY}} {
		for _, engine := range []struct {
			name string
			run  func(b *testing.B, host, dce io.ReadWriteCloser)
		}{{"atcmd", ours}, {"warthog618", theirs}} {
			b.Run(line.name+"/"+engine.name, func(b *testing.B) {
				host, dce := line.open(b)
				defer dce.Close()
				defer host.Close()
				engine.run(b, host, dce)
			})
		}
	}
}

// modem answers every command line with one line of information and OK, without an allocation, and notes when it
// began to write the OK.
func modem(conn io.ReadWriter, okAt *atomic.Int64, start time.Time) {
	buf := make([]byte, 256)
	info, ok := []byte("\r\n+CSQ: 20,99\r\n"), []byte("\r\nOK\r\n")
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if !slices.Contains(buf[:n], '\r') {
			continue
		}
		conn.Write(info)
		okAt.Store(int64(time.Since(start)))
		conn.Write(ok)
	}
}

// BenchmarkCommand is one command: the time from the modem's OK to the return of the call (ok-to-return, median), beside
// github.com/warthog618/modem v0.4.0 in the same run.
func BenchmarkCommand(b *testing.B) {
	run := func(b *testing.B, dce io.ReadWriter, do func() error) {
		start := time.Now()
		var okAt atomic.Int64
		go modem(dce, &okAt, start)
		lags := make([]time.Duration, 0, 1<<16)
		b.ReportAllocs()
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
			if len(lags) < cap(lags) {
				lags = append(lags, time.Since(start)-time.Duration(okAt.Load()))
			}
		}
		slices.Sort(lags)
		b.ReportMetric(float64(lags[len(lags)/2].Nanoseconds()), "ok-to-return-ns")
	}
	beside(b, func(b *testing.B, host, dce io.ReadWriteCloser) {
		e := atcmd.New(host)
		defer e.Close()
		c, ctx := atcmd.Exec("+CSQ"), context.Background()
		run(b, dce, func() error { _, err := e.Do(ctx, c); return err })
	}, func(b *testing.B, host, dce io.ReadWriteCloser) {
		a := at.New(struct{ io.ReadWriter }{host})
		run(b, dce, func() error { _, err := a.Command("+CSQ"); return err })
	})
}

// BenchmarkURC is how many URCs a second reach whoever takes them, in bursts of 64 as after a write of a module.
func BenchmarkURC(b *testing.B) {
	const burst = 64
	lines := []byte(strings.Repeat("\r\n+CREG: 1,\"D509\",\"80D413D\",7\r\n", burst))
	run := func(b *testing.B, dce io.Writer, take func()) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dce.Write(lines); err != nil {
				b.Fatal(err)
			}
			for range burst {
				take()
			}
		}
		b.ReportMetric(float64(burst*b.N)/b.Elapsed().Seconds(), "URC/s")
	}
	beside(b, func(b *testing.B, host, dce io.ReadWriteCloser) {
		e := atcmd.New(host, atcmd.WithGrammar(atcmd.Grammar{URCs: []string{"+CREG:"}}))
		defer e.Close()
		run(b, dce, func() { <-e.URCs() })
	}, func(b *testing.B, host, dce io.ReadWriteCloser) {
		taken := make(chan struct{}, burst)
		at.New(struct{ io.ReadWriter }{host}, at.WithIndication("+CREG:", func([]string) { taken <- struct{}{} }))
		run(b, dce, func() { <-taken })
	})
}
