package modemtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems"
)

// mosquitto starts a real one on a free port.
func mosquitto(t *testing.T) *net.TCPAddr {
	t.Helper()
	binary, err := exec.LookPath("mosquitto")
	if err != nil {
		if os.Getenv("ATBRIDGE_CI") != "" {
			t.Fatal("mosquitto is missing, and this is CI")
		}
		t.Skip("mosquitto is not installed (Debian: apt install mosquitto)")
	}
	addr, err := net.ResolveTCPAddr("tcp", FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, "listener %d 127.0.0.1\nallow_anonymous true\n", addr.Port), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return addr
}

// watcher is a client of the broker that is no modem. It tries until the broker listens.
func watcher(t *testing.T, addr *net.TCPAddr) paho.Client {
	t.Helper()
	o := paho.NewClientOptions().AddBroker("tcp://" + addr.String()).SetClientID("watcher").SetConnectRetry(true).
		SetConnectRetryInterval(50 * time.Millisecond)
	c := paho.NewClient(o)
	token := c.Connect()
	if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatal("mosquitto does not answer: ", token.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// QoS 2 goes through the module's stack and a real mosquitto both ways: each message once, and as QoS 2.
func TestQoS2(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		addr := mosquitto(t)
		seen := watcher(t, addr)
		got := make(chan paho.Message, 100)
		if token := seen.Subscribe("up/#", 2, func(_ paho.Client, m paho.Message) { got <- m }); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatal(token.Error())
		}
		b := newBench(t, name)
		m := b.attach(modems.Options{})
		if err := m.Online(b.ctx); err != nil {
			t.Fatal(err)
		}
		s, err := m.DialMQTT(b.ctx, modems.MQTTConfig{Host: "127.0.0.1", Port: addr.Port, ClientID: "q2", KeepAlive: time.Minute, CleanSession: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Subscribe(b.ctx, "down/#", 2); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			text := "message " + strconv.Itoa(i)
			b.publish(s, modems.Message{Topic: "up/t", Payload: []byte(text), QoS: 2})
			select {
			case msg := <-got:
				if string(msg.Payload()) != text || msg.Qos() != 2 {
					t.Errorf("%q at QoS %d, want %q at 2", msg.Payload(), msg.Qos(), text)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%q never came", text)
			}
			if token := seen.Publish("down/t", 2, false, text); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
				t.Fatal(token.Error())
			}
			d, err := s.Receive(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Message(); string(got.Payload) != text {
				t.Errorf("received %q, want %q", got.Payload, text)
			}
		}
		if err := s.Close(b.ctx); err != nil {
			t.Error(err)
		}
		if len(got) > 0 {
			t.Errorf("%d messages came twice", len(got))
		}
	})
}
