package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// BenchmarkTCP publishes at QoS 1 over the socket of the simulated EC600 at 115200 baud, latency none, and reports the rate
// as a share of what the line allows: a full send is command line (17 bytes), prompt (4), 1460 bytes of MQTT packets and
// SEND OK (11), while the acknowledgements come the other way.
func BenchmarkTCP(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, rtt := range []time.Duration{60 * time.Millisecond, 800 * time.Millisecond} {
			b.Run(fmt.Sprintf("%dB/%v", size, rtt), func(b *testing.B) { benchTCP(b, size, rtt) })
		}
	}
}

func benchTCP(b *testing.B, size int, rtt time.Duration) {
	ctx := b.Context()
	cloud := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	listener := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	for _, err := range []error{cloud.AddHook(new(auth.AllowHook), nil), cloud.AddListener(listener), cloud.Serve()} {
		if err != nil {
			b.Fatal(err)
		}
	}
	sim, err := modemsim.Start(modemsim.Config{Model: "ec600", Baud: 115200, RTT: rtt})
	if err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	port, err := os.OpenFile(sim.Path(), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		b.Fatal(err)
	}
	m, err := modems.Attach(ctx, port, modems.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	if err := m.Online(ctx); err != nil {
		b.Fatal(err)
	}
	host, number, _ := net.SplitHostPort(listener.Address())
	n, _ := strconv.Atoi(number)
	s, err := dialTCP(m)(ctx, modems.MQTTConfig{Host: host, Port: n, ClientID: "bench", KeepAlive: time.Minute, CleanSession: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.WithoutCancel(ctx))
	msg := modems.Message{Topic: strings.Repeat("t", 34), Payload: make([]byte, size), QoS: 1}
	packet := float64(1 + 2 + 2 + 34 + 2 + size)
	const send, overhead = 1460, 17 + 4 + 11
	bound := 11520 / packet * send / (send + overhead)

	before := m.Counters().BytesOut
	var last modems.Receipt
	sent := 0
	start := time.Now()
	for b.Loop() {
		if last, err = s.Publish(ctx, msg); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	if last.Wait(ctx) != modems.Acked {
		b.Fatal(s.Err())
	}
	took := time.Since(start) - rtt // the last acknowledgement's way is not the line's time
	rate := float64(sent) / took.Seconds()
	b.ReportMetric(rate, "msg/s")
	b.ReportMetric(100*rate/bound, "%ofbound")
	b.ReportMetric(100*float64(sent*size)/float64(m.Counters().BytesOut-before), "%payload")
}
