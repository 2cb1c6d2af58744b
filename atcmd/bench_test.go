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
)

// modem answers every command line with one line of information and OK, without an allocation, and notes when it
// began to write the OK.
func modem(conn net.Conn, okAt *atomic.Int64, start time.Time) {
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

// BenchmarkCommand is one command over an in-memory pipe: the time from the modem's OK to the return of the call
// (ok-to-return, median), beside github.com/warthog618/modem v0.4.0 in the same run.
func BenchmarkCommand(b *testing.B) {
	run := func(b *testing.B, okAt *atomic.Int64, start time.Time, do func() error) {
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
	b.Run("atcmd", func(b *testing.B) {
		host, dce := net.Pipe()
		defer dce.Close()
		start := time.Now()
		var okAt atomic.Int64
		go modem(dce, &okAt, start)
		e := atcmd.New(host)
		defer e.Close()
		c, ctx := atcmd.Exec("+CSQ"), context.Background()
		run(b, &okAt, start, func() error { _, err := e.Do(ctx, c); return err })
	})
	b.Run("warthog618", func(b *testing.B) {
		host, dce := net.Pipe()
		defer dce.Close()
		start := time.Now()
		var okAt atomic.Int64
		go modem(dce, &okAt, start)
		a := at.New(struct{ io.ReadWriter }{host})
		run(b, &okAt, start, func() error { _, err := a.Command("+CSQ"); return err })
	})
}

// BenchmarkURC is how many URCs a second reach whoever takes them, in bursts of 64 as after a write of a module.
func BenchmarkURC(b *testing.B) {
	const burst = 64
	line := []byte(strings.Repeat("\r\n+CREG: 1,\"D509\",\"80D413D\",7\r\n", burst))
	b.Run("atcmd", func(b *testing.B) {
		host, dce := net.Pipe()
		defer dce.Close()
		e := atcmd.New(host, atcmd.WithGrammar(atcmd.Grammar{URCs: []string{"+CREG:"}}))
		defer e.Close()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dce.Write(line); err != nil {
				b.Fatal(err)
			}
			for range burst {
				<-e.URCs()
			}
		}
		b.ReportMetric(float64(burst*b.N)/b.Elapsed().Seconds(), "URC/s")
	})
	b.Run("warthog618", func(b *testing.B) {
		host, dce := net.Pipe()
		defer dce.Close()
		taken := make(chan struct{}, burst)
		at.New(struct{ io.ReadWriter }{host}, at.WithIndication("+CREG:", func([]string) { taken <- struct{}{} }))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dce.Write(line); err != nil {
				b.Fatal(err)
			}
			for range burst {
				<-taken
			}
		}
		b.ReportMetric(float64(burst*b.N)/b.Elapsed().Seconds(), "URC/s")
	})
}
