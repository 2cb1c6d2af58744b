package bridge

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/modems"
)

// written is what the disk under dir has been told to write. (write_bytes of /proc/self/io counts whole folios, which
// may be 128 KiB for a record of 300 bytes.) Others may write to that disk too.
func written(b *testing.B, dir string) int64 {
	b.Helper()
	var st unix.Stat_t
	must(b, unix.Stat(dir, &st))
	text, err := os.ReadFile("/proc/diskstats")
	must(b, err)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if f[0] == fmt.Sprint(unix.Major(st.Dev)) && f[1] == fmt.Sprint(unix.Minor(st.Dev)) {
			sectors, err := strconv.ParseInt(f[9], 10, 64)
			must(b, err)
			return sectors * 512
		}
	}
	b.Skip("the temporary directory is on no disk of its own")
	return 0
}

// BenchmarkOutbox: a message of 200 bytes from Put to its settlement, in batches that share their fsync.
func BenchmarkOutbox(b *testing.B) {
	for _, batch := range []int{1, 50} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			dir := b.TempDir()
			o := openOutbox(b, OutboxConfig{Dir: dir})
			defer closeOutbox(b, o)
			ms := make([]modems.Message, batch)
			for i := range ms {
				ms[i] = modems.Message{Topic: "site7/sensors/hall/temperature", Payload: make([]byte, 200)}
			}
			before := written(b, dir)
			n := 0
			for b.Loop() {
				putWait(b, o, ms...)
				for range ms {
					must(b, next(b, o).Delivered())
				}
				n += batch
			}
			b.ReportMetric(float64(written(b, dir)-before)/float64(n), "disk-B/message")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/message")
		})
	}
}

// BenchmarkOutboxBacklog opens a queue of 100,000 messages and empties it.
func BenchmarkOutboxBacklog(b *testing.B) {
	const backlog = 100_000
	cfg := OutboxConfig{Dir: b.TempDir()}
	o := openOutbox(b, cfg)
	for range backlog / 1000 {
		ms := make([]modems.Message, 1000)
		for i := range ms {
			ms[i] = modems.Message{Topic: "site7/sensors/hall/temperature", Payload: make([]byte, 200)}
		}
		putWait(b, o, ms...)
	}
	closeOutbox(b, o)
	o = nil
	debug.FreeOSMemory()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			o := openOutbox(b, cfg)
			b.StopTimer()
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapInuse)/1e6, "heap-MB")
			b.ReportMetric(float64(rss(b))/1e6, "rss-MB")
			closeOutbox(b, o)
			b.StartTimer()
		}
	})
	b.Run("drain", func(b *testing.B) {
		o := openOutbox(b, cfg)
		defer closeOutbox(b, o)
		for b.Loop() {
			e, err := o.Next(context.Background())
			must(b, err)
			must(b, e.Undelivered())
		}
	})
}

func rss(b *testing.B) (bytes int64) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	must(b, err)
	var size, resident int64
	_, err = fmt.Sscan(string(text), &size, &resident)
	must(b, err)
	return resident * int64(os.Getpagesize())
}
