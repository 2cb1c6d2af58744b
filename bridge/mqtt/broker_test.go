package mqtt

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// broker is a real one: its address, and how to kill it.
type broker struct {
	addr string
	kill func()
}

// eachBroker runs test against mochi and against mosquitto.
func eachBroker(t *testing.T, test func(t *testing.T, b broker)) {
	t.Run("mochi", func(t *testing.T) { test(t, startMochi(t)) })
	t.Run("mosquitto", func(t *testing.T) { test(t, startMosquitto(t)) })
}

func startMochi(t *testing.T) broker {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := server.AddListener(listener); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { server.Close() }) // a second Close panics
	t.Cleanup(kill)
	return broker{listener.Address(), kill}
}

func startMosquitto(t *testing.T) broker {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/mosquitto") // not in everybody's PATH
	}
	if err != nil {
		if os.Getenv("ATBRIDGE_CI") == "1" {
			t.Fatal("mosquitto is not installed, and CI must not skip; run .ci/run")
		}
		t.Skip("mosquitto is not installed; apt-get install mosquitto to run this test")
	}
	addr := modemtest.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n", port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", config)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, said := bufio.NewScanner(log), ""
	for lines.Scan() && !strings.HasSuffix(lines.Text(), " running") {
		said += lines.Text() + "\n"
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		io.Copy(io.Discard, log)
		cmd.Wait()
	}()
	kill := func() {
		cmd.Process.Kill()
		<-gone
	}
	t.Cleanup(kill)
	if err := lines.Err(); err != nil || !strings.HasSuffix(lines.Text(), " running") {
		t.Fatalf("mosquitto does not run: %v\n%s", err, said)
	}
	return broker{addr, kill}
}

func (b broker) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", b.addr)
}

func (b broker) open(t *testing.T, cfg modems.MQTTConfig) modems.Session {
	t.Helper()
	s, err := Dial(within(t, 10*time.Second), b.dial, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(within(t, 10*time.Second)) })
	return s
}

// allBytes holds every byte value, and what would end an AT command or a line.
func allBytes(i int) []byte {
	p := []byte{byte(i)}
	for b := range 256 {
		p = append(p, byte(b))
	}
	return append(p, "\r\nOK\r\n> \x1a\x1b+++"...)
}

func TestBothWays(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		up := b.open(t, modems.MQTTConfig{ClientID: "up", CleanSession: true, KeepAlive: time.Minute})
		down := b.open(t, modems.MQTTConfig{ClientID: "down", CleanSession: true})
		ctx := within(t, 30*time.Second)
		if err := down.Subscribe(ctx, "up/+", 1); err != nil {
			t.Fatal(err)
		}
		const n = 200
		go func() {
			for i := range n {
				r, err := up.Publish(ctx, modems.Message{Topic: fmt.Sprintf("up/%d", i), Payload: allBytes(i), QoS: byte(i % 2)})
				if err != nil {
					t.Error(err)
					return
				}
				if i%50 == 0 && r.Wait(ctx) != modems.Acked {
					t.Error("not acknowledged")
				}
			}
		}()
		next := [2]int{0, 1} // of each QoS: a broker's window holds QoS 1 back, and QoS 0 overtakes
		for range n {
			d, err := down.Receive(ctx)
			if err != nil {
				t.Fatalf("expecting %v: %v", next, err)
			}
			m := d.Message()
			i := next[m.QoS]
			next[m.QoS] += 2
			if m.Topic != fmt.Sprintf("up/%d", i) || !bytes.Equal(m.Payload, allBytes(i)) || m.Retain {
				t.Fatalf("message %d arrived as %s, QoS %d, %q", i, m.Topic, m.QoS, m.Payload)
			}
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestEmptyAndRetained(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		s := b.open(t, modems.MQTTConfig{ClientID: "c", CleanSession: true})
		ctx := within(t, 10*time.Second)
		for _, m := range []modems.Message{{Topic: "kept", Payload: []byte("x"), QoS: 1, Retain: true}, {Topic: "empty", QoS: 1}} {
			r, err := s.Publish(ctx, m)
			if err != nil || r.Wait(ctx) != modems.Acked {
				t.Fatal(m.Topic, err)
			}
		}
		if err := s.Subscribe(ctx, "#", 1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Publish(ctx, modems.Message{Topic: "empty"}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []modems.Message{{Topic: "kept", Payload: []byte("x"), QoS: 1, Retain: true}, {Topic: "empty"}} {
			d, err := s.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if m := d.Message(); m.Topic != want.Topic || !bytes.Equal(m.Payload, want.Payload) || m.Retain != want.Retain || m.QoS != want.QoS {
				t.Errorf("got %+v, want %+v", m, want)
			}
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		}
	})
}

// What was not acknowledged comes again in the next session, what was does not.
func TestAckWithheld(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		cfg := modems.MQTTConfig{ClientID: "persistent"}
		s := b.open(t, cfg)
		ctx := within(t, 10*time.Second)
		if err := s.Subscribe(ctx, "t", 1); err != nil {
			t.Fatal(err)
		}
		sender := b.open(t, modems.MQTTConfig{ClientID: "sender", CleanSession: true})
		for i := range 3 {
			if r, err := sender.Publish(ctx, modems.Message{Topic: "t", Payload: allBytes(i), QoS: 1}); err != nil || r.Wait(ctx) != modems.Acked {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			d, err := s.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				if err := d.Ack(); err != nil {
					t.Fatal(err)
				}
			}
		}
		// The SUBACK says that the broker has seen the PUBACK before it; else mochi lets the next session overtake it.
		if err := s.Subscribe(ctx, "fence", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		s = b.open(t, cfg)                                                            // subscribed still
		left := map[string]bool{string(allBytes(1)): true, string(allBytes(2)): true} // mochi does not keep their order
		for range 2 {
			d, err := s.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if payload := string(d.Message().Payload); left[payload] {
				delete(left, payload)
			} else {
				t.Errorf("got %q again", payload)
			}
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A broker that dies ends the session with a reason, and what it had not acknowledged is unknown.
func TestBrokerDies(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		s := b.open(t, modems.MQTTConfig{ClientID: "c"})
		ctx := within(t, 20*time.Second)
		var receipts []modems.Receipt
		for range 10 {
			r, err := s.Publish(ctx, modems.Message{Topic: "t", QoS: 1})
			if err != nil {
				t.Fatal(err)
			}
			receipts = append(receipts, r)
		}
		receipts[9].Wait(ctx)
		b.kill()
		select {
		case <-s.Done():
		case <-ctx.Done():
			t.Fatal("the session does not notice")
		}
		if s.Err() == nil {
			t.Error("no reason")
		}
		for i, r := range receipts {
			if got := r.Wait(ctx); got != modems.Acked {
				t.Errorf("receipt %d: %v, though it was acknowledged", i, got)
			}
		}
		if _, err := s.Publish(ctx, modems.Message{Topic: "t", QoS: 1}); err == nil {
			t.Error("a dead session takes messages")
		}
		if _, err := Dial(ctx, b.dial, modems.MQTTConfig{}); err == nil {
			t.Error("a dead broker accepts")
		}
	})
}
