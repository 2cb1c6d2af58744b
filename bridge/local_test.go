package bridge

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

// TestLocalCloseWhileClientsLeave: in mochi-mqtt v2.7.9 these two wait for each other, once in some hundred times.
func TestLocalCloseWhileClientsLeave(t *testing.T) {
	for range 20 {
		l := startLocal(t, LocalConfig{}, func(modems.Message, func(error)) bool { return false })
		for i := range 30 {
			dialRaw(t, l.Addr(), strconv.Itoa(i), true)
		}
		closed := make(chan error, 1)
		go func() { closed <- l.Close() }()
		must(t, receive(t, closed, "Close"))
		l.listeners[0].Close(func(string) { t.Error("the listener lets the library close the clients") })
	}
}

// TestLocalStalledSubscriber: one that does not read holds nobody up, and is disconnected.
func TestLocalStalledSubscriber(t *testing.T) {
	l := startLocal(t, LocalConfig{Stall: 100 * time.Millisecond}, func(_ modems.Message, done func(error)) bool { done(nil); return true })
	stalled := dialRaw(t, l.Addr(), "stalled", true)
	stalled.subscribe("#", 1)
	must(t, stalled.Conn.(*net.TCPConn).SetReadBuffer(4096))
	healthy := dialRaw(t, l.Addr(), "healthy", true)
	healthy.subscribe("#", 1)
	c := dialRaw(t, l.Addr(), "c", true)
	payload := strings.Repeat("x", 200_000)
	const n = 50 // more than the kernel buffers
	go func() {
		for i := range n {
			if publishPacket("a", payload, 1, uint16(i+1)).Write(c) != nil {
				return
			}
		}
	}()
	for range n {
		healthy.take()
	}
	for range n {
		expect[*packets.PubackPacket](c)
	}
	stalled.closed()
}

// TestLocalStalledSubscriberThatAcknowledges: the library lifts all deadlines of a connection with every packet that
// it reads from it; that of a write must stay.
func TestLocalStalledSubscriberThatAcknowledges(t *testing.T) {
	l := startLocal(t, LocalConfig{Stall: 100 * time.Millisecond}, func(modems.Message, func(error)) bool { return false })
	stalled := dialRaw(t, l.Addr(), "stalled", true)
	stalled.subscribe("#", 1)
	must(t, stalled.Conn.(*net.TCPConn).SetReadBuffer(4096))
	payload := []byte(strings.Repeat("x", 200_000))
	gone := make(chan bool)
	go func() {
		ack := packets.NewControlPacket(packets.Puback)
		for ack.Write(stalled) == nil {
		}
		close(gone)
	}()
	for range 50 { // more than the kernel buffers
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: payload, QoS: 1}))
	}
	receive(t, gone, "the end of the connection")
}

func TestLocalPasswords(t *testing.T) {
	l := startLocal(t, LocalConfig{Username: "sensor", Password: "secret"}, func(modems.Message, func(error)) bool { return false })
	connect := func(user, password string) error {
		opts := paho.NewClientOptions().AddBroker("tcp://" + l.Addr()).SetProtocolVersion(4).SetConnectRetry(false).
			SetUsername(user).SetPassword(password)
		c := paho.NewClient(opts)
		token := c.Connect()
		token.WaitTimeout(patience)
		c.Disconnect(0)
		return token.Error()
	}
	must(t, connect("sensor", "secret"))
	for _, wrong := range [][2]string{{"sensor", "Secret"}, {"Sensor", "secret"}, {"sensor", ""}, {"", ""}, {"sensor", "secret2"}} {
		if err := connect(wrong[0], wrong[1]); err == nil {
			t.Errorf("%q with password %q may connect", wrong[0], wrong[1])
		}
	}
}

func TestLocalListen(t *testing.T) {
	l := startLocal(t, LocalConfig{}, nil)
	for listen, want := range map[string]string{
		l.Addr():        "taken by another program",
		"0.0.0.0:0":     "local.password",
		":0":            "local.password",
		"[::]:0":        "local.password",
		"192.0.2.1:0":   "local.password",
		"nonsense":      "not an address",
		"127.0.0.1:war": "not an address",
	} {
		if _, err := StartLocal(LocalConfig{Listen: listen}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something about %q", listen, err, want)
		}
	}
	must(t, l.Close())
	startLocal(t, LocalConfig{Listen: l.Addr()}, nil) // the port is free again
	startLocal(t, LocalConfig{Listen: "0.0.0.0:0", Username: "u", Password: "p"}, nil)
	startLocal(t, LocalConfig{Listen: "localhost:0"}, nil)
}

func TestLocalDeliver(t *testing.T) {
	l := startLocal(t, LocalConfig{}, func(m modems.Message, _ func(error)) bool {
		t.Errorf("accept was asked for %q", m.Topic)
		return false
	})
	got := make(chan paho.Message, 10)
	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + l.Addr()).SetProtocolVersion(4).SetClientID("p"))
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	defer client.Disconnect(0)
	if token := client.Subscribe("commands/#", 1, func(_ paho.Client, m paho.Message) { got <- m }); !token.WaitTimeout(patience) {
		t.Fatal("no SUBACK")
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	must(t, l.Deliver(t.Context(), modems.Message{Topic: "commands/x", Payload: all, QoS: 1}))
	if m := receive(t, got, "the message"); m.Topic() != "commands/x" || !bytes.Equal(m.Payload(), all) || m.Qos() != 1 || m.Retained() {
		t.Errorf("arrived: %s %x qos %d", m.Topic(), m.Payload(), m.Qos())
	}
	must(t, l.Deliver(t.Context(), modems.Message{Topic: "commands/kept", Payload: []byte("r"), Retain: true}))
	receive(t, got, "the retained message, live")
	late := dialRaw(t, l.Addr(), "late", true)
	late.subscribe("commands/#", 1)
	if p := expect[*packets.PublishPacket](late); p.TopicName != "commands/kept" || !p.Retain {
		t.Errorf("retained: %v", p)
	}
	for _, wrong := range []string{"", "a/#", "+"} {
		if err := l.Deliver(t.Context(), modems.Message{Topic: wrong, QoS: 1}); err == nil {
			t.Errorf("topic %q was delivered", wrong)
		}
	}
}

// TestLocalKeepsSessions: what a persistent subscriber missed, it gets when it is back.
func TestLocalKeepsSessions(t *testing.T) {
	l := startLocal(t, LocalConfig{}, func(modems.Message, func(error)) bool { return false })
	c := dialRaw(t, l.Addr(), "c", false)
	c.subscribe("commands/#", 1)
	c.Close()
	for i := range 5 {
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "commands/x", Payload: []byte(strconv.Itoa(i)), QoS: 1}))
	}
	c = dialRaw(t, l.Addr(), "c", false)
	var got []string
	for range 5 {
		got = append(got, string(expect[*packets.PublishPacket](c).Payload))
	}
	if fmt.Sprint(got) != "[0 1 2 3 4]" {
		t.Errorf("got %v", got)
	}
}

func TestLocalRetained(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	c := dialRaw(t, l.Addr(), "c", true)
	p := publishPacket("up/state", "on", 1, 1)
	p.Retain = true
	c.send(p)
	m := receive(t, offered, "the offer")
	if !m.Retain {
		t.Error("accept was not told that it is retained")
	}
	m.done(nil)
	expect[*packets.PubackPacket](c)
	late := dialRaw(t, l.Addr(), "late", true)
	late.subscribe("up/#", 1)
	if p := expect[*packets.PublishPacket](late); string(p.Payload) != "on" || !p.Retain {
		t.Errorf("retained: %v", p)
	}
}

func TestLocalWillsGoUp(t *testing.T) {
	offered := make(chan taken, 10)
	l := startLocal(t, LocalConfig{}, takeAll(offered))
	c, err := net.Dial("tcp", l.Addr())
	must(t, err)
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier, connect.CleanSession = "MQTT", 4, "c", true
	connect.WillFlag, connect.WillTopic, connect.WillMessage, connect.WillQos = true, "up/gone", []byte("bye"), 1
	r := &raw{t: t, Conn: c}
	r.send(connect)
	expect[*packets.ConnackPacket](r)
	c.Close()
	m := receive(t, offered, "the will")
	if m.Topic != "up/gone" || string(m.Payload) != "bye" || m.QoS != 1 {
		t.Errorf("offered %+v", m.Message)
	}
	m.done(nil)
}

// TestLocalLogsNoSecrets: the library logs whole packets.
func TestLocalLogsNoSecrets(t *testing.T) {
	var log lockedBuffer
	l := startLocal(t, LocalConfig{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))},
		func(modems.Message, func(error)) bool { return false })
	c := dialRaw(t, l.Addr(), "c", true)
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket) // a second one is a protocol error
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier, connect.CleanSession = "MQTT", 4, "c", true
	connect.UsernameFlag, connect.Username, connect.PasswordFlag, connect.Password = true, "u", true, []byte("hunter2")
	c.send(connect)
	c.closed()
	must(t, l.Close())
	text := log.String()
	if secret := fmt.Sprint([]byte("hunter2")); strings.Contains(text, "hunter2") || strings.Contains(text, secret) {
		t.Errorf("the log holds a password:\n%s", text)
	}
	if !strings.Contains(text, "second connect") || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestLocalSaysTooLarge: a client that is cut off for the size of its packet is named, once.
func TestLocalSaysTooLarge(t *testing.T) {
	var log lockedBuffer
	l := startLocal(t, LocalConfig{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(modems.Message, func(error)) bool { return false })
	c := dialRaw(t, l.Addr(), "camera", true)
	_, err := c.Write([]byte{0x32, 0x80, 0x80, 0x80, 0x04}) // PUBLISH, and 8 MiB are to follow
	must(t, err)
	c.closed()
	must(t, l.Close())
	if said := `too large" client=camera most_bytes=8388608`; strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), said) {
		t.Errorf("the log:\n%s", &log)
	}
}
