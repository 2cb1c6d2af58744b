package bridge

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

// brokerFile tells TestLocalBrokerProcess to be the process that is killed.
const brokerFile = "ATBRIDGE_TEST_BROKER"

// TestLocalBrokerProcess is an embedded broker that delivers what it reads, and says so; TestLocalSurvivesKill runs it.
func TestLocalBrokerProcess(t *testing.T) {
	file := os.Getenv(brokerFile)
	if file == "" {
		t.Skip("for TestLocalSurvivesKill")
	}
	l, err := StartLocal(LocalConfig{Listen: "127.0.0.1:0", File: file}, func(modems.Message, func(error)) bool { return false })
	must(t, err)
	fmt.Println("listens", l.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		topic, text, _ := strings.Cut(lines.Text(), " ")
		must(t, l.Deliver(t.Context(), modems.Message{Topic: topic, Payload: []byte(text), QoS: 1, Retain: topic == "down/state"}))
		fmt.Println("delivered", text)
	}
}

// brokerProcess is such a process.
type brokerProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    *os.File
	lines *bufio.Scanner
	addr  string
}

func startBroker(t *testing.T, file string) *brokerProcess {
	t.Helper()
	b := &brokerProcess{t: t, cmd: exec.Command(os.Args[0], "-test.run=^TestLocalBrokerProcess$")}
	b.cmd.Env = append(os.Environ(), brokerFile+"="+file)
	b.cmd.Stderr = os.Stderr
	in, out, err := os.Pipe()
	must(t, err)
	b.cmd.Stdin, b.in = in, out
	stdout, err := b.cmd.StdoutPipe()
	must(t, err)
	must(t, b.cmd.Start())
	in.Close()
	t.Cleanup(b.kill)
	b.lines = bufio.NewScanner(stdout)
	b.addr = b.says("listens ")
	return b
}

func (b *brokerProcess) says(what string) string {
	b.t.Helper()
	if !b.lines.Scan() {
		b.t.Fatalf("the broker ended; waited for %q", what)
	}
	text, ok := strings.CutPrefix(b.lines.Text(), what)
	if !ok {
		b.t.Fatalf("the broker says %q; waited for %q", b.lines.Text(), what)
	}
	return text
}

func (b *brokerProcess) deliver(topic, text string) {
	b.t.Helper()
	_, err := fmt.Fprintln(b.in, topic, text)
	must(b.t, err)
	b.says("delivered ")
}

// kill is kill -9.
func (b *brokerProcess) kill() {
	b.cmd.Process.Kill()
	b.cmd.Wait()
	b.in.Close()
}

// TestLocalSurvivesKill: what has been delivered to a lasting session, and what is retained, outlives kill -9; a client
// that comes back finds its subscriptions, and its messages in order, whether they came from the cloud or from
// another client.
func TestLocalSurvivesKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	b := startBroker(t, file)
	c := dialRaw(t, b.addr, "c", false)
	c.subscribe("down/#", 1)
	c.subscribe("gone/#", 1)
	unsubscribe := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
	unsubscribe.MessageID, unsubscribe.Topics = 7, []string{"gone/#"}
	c.send(unsubscribe)
	expect[*packets.UnsubackPacket](c)
	b.deliver("down/a", "seen")
	if p := expect[*packets.PublishPacket](c); string(p.Payload) != "seen" || p.Dup { // and not acknowledged
		t.Errorf("got %v", p)
	}
	c.Close()

	const n = 100
	other := dialRaw(t, b.addr, "other", true)
	for i := range n {
		if i%10 == 9 {
			other.publish("down/a", strconv.Itoa(i), 1)
			expect[*packets.PubackPacket](other)
		} else {
			b.deliver("down/a", strconv.Itoa(i))
		}
		if i%25 == 24 {
			b.kill()
			b = startBroker(t, file)
			other = dialRaw(t, b.addr, "other", true)
		}
	}
	b.deliver("down/state", "on")
	b.deliver("gone/x", "no")
	b.kill()
	b = startBroker(t, file)

	c = resume(t, b.addr, "c")
	if p := c.take(); string(p.Payload) != "seen" || !p.Dup {
		t.Errorf("first again: %v", p)
	}
	for i := range n {
		if p := c.take(); string(p.Payload) != strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, p.Payload)
		}
	}
	if p := c.take(); string(p.Payload) != "on" {
		t.Errorf("got %v", p)
	}
	c.quiet()
	b.deliver("down/a", "later")
	if p := c.take(); string(p.Payload) != "later" || p.Dup {
		t.Errorf("got %v", p)
	}
	late := dialRaw(t, b.addr, "late", true)
	late.subscribe("down/#", 1)
	if p := late.take(); p.TopicName != "down/state" || string(p.Payload) != "on" || !p.Retain {
		t.Errorf("retained: %v", p)
	}
	late.quiet()

	c = dialRaw(t, b.addr, "c", true) // a clean session ends the lasting one
	c.Close()
	b.deliver("down/a", "for nobody")
	b.kill()
	b = startBroker(t, file)
	c, present := connectRaw(t, b.addr, "c", false)
	if present {
		t.Error("the lasting session is back")
	}
	c.quiet()
}

// resume connects, and the broker must know the session.
func resume(t *testing.T, addr, client string) *raw {
	t.Helper()
	r, present := connectRaw(t, addr, client, false)
	if !present {
		t.Error("the broker does not know the session any more")
	}
	return r
}

// TestLocalWritesOnlyWhatLasts: what no lasting session wants costs no write.
func TestLocalWritesOnlyWhatLasts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	l := startLocal(t, LocalConfig{File: file}, func(modems.Message, func(error)) bool { return false })
	c := dialRaw(t, l.Addr(), "c", true)
	c.subscribe("#", 1)
	lasting := dialRaw(t, l.Addr(), "lasting", false)
	lasting.subscribe("a/0", 0)
	lasting.subscribe("b", 1)
	before, err := os.ReadFile(file)
	must(t, err)
	for _, m := range []modems.Message{{Topic: "a/1", QoS: 1}, {Topic: "a/0", QoS: 1}, {Topic: "b", QoS: 0}} {
		must(t, l.Deliver(t.Context(), m))
		c.take()
	}
	must(t, l.store.flush().wait())
	after, err := os.ReadFile(file)
	must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d bytes were written", len(after)-len(before))
	}
}

// TestLocalRefusesWhatItCannotStore: neither the cloud nor a local publisher is told that a message is safe when it is not.
func TestLocalRefusesWhatItCannotStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "local")
	l := startLocal(t, LocalConfig{File: file}, func(modems.Message, func(error)) bool { return false })
	lasting := dialRaw(t, l.Addr(), "lasting", false)
	lasting.subscribe("a", 1)
	lasting.Close()
	must(t, os.Mkdir(file+".new", 0o700))
	l.store.f.Close()
	if err := l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: []byte("1"), QoS: 1}); err == nil {
		t.Error("delivered, though nothing could be stored")
	}
	c := dialRaw(t, l.Addr(), "c", true)
	c.publish("a", "2", 1)
	c.closed()
	must(t, os.Remove(file+".new"))
	must(t, l.Deliver(t.Context(), modems.Message{Topic: "a", Payload: []byte("3"), QoS: 1}))
	lasting = resume(t, l.Addr(), "lasting")
	if p := lasting.take(); string(p.Payload) != "3" {
		t.Errorf("got %q", p.Payload)
	}
}
