package bridge

import (
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems"
)

const (
	loadClients  = 99 // and the one that stalls
	loadMessages = 20
)

// load lets all clients publish, each message once its PUBACK and its copy have come back, and returns how long it took in
// all, and the longest that one message took.
func load(t *testing.T, addr, topic string) (total, longest time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	clients := make([]paho.Client, loadClients)
	back := make([]chan uint32, loadClients)
	for i := range clients {
		back[i] = make(chan uint32, loadMessages)
		clients[i] = paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetProtocolVersion(4).
			SetClientID(fmt.Sprint("load-", i)).SetAutoReconnect(false))
		if token := clients[i].Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatal("client", i, token.Error())
		}
		if token := clients[i].Subscribe(fmt.Sprint(topic, i), 1, func(_ paho.Client, m paho.Message) {
			back[i] <- binary.BigEndian.Uint32(m.Payload())
		}); !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatal("client", i, token.Error())
		}
		defer clients[i].Disconnect(0)
	}
	begin := time.Now()
	for i, c := range clients {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := range uint32(loadMessages) {
				sent := time.Now()
				token := c.Publish(fmt.Sprint(topic, i), 1, false, binary.BigEndian.AppendUint32(nil, n))
				if !token.WaitTimeout(2*patience) || token.Error() != nil {
					t.Errorf("client %d, message %d: %v", i, n, token.Error())
					return
				}
				select {
				case got := <-back[i]:
					if got != n {
						t.Errorf("client %d: message %d comes back as %d", i, n, got)
					}
				case <-time.After(2 * patience):
					t.Errorf("client %d: message %d did not come back", i, n)
					return
				}
				mu.Lock()
				longest = max(longest, time.Since(sent))
				mu.Unlock()
			}
		}()
	}
	all.Wait()
	return time.Since(begin), longest
}

// TestLocalLoad: a hundred clients, one of which stops reading: none of the others notices. It is disconnected, and its
// session keeps what it has missed.
func TestLocalLoad(t *testing.T) {
	const stall = 10 * time.Second // who waited for the stalled client would take as long
	o := openOutbox(t, OutboxConfig{Dir: t.TempDir()})
	defer closeOutbox(t, o)
	l := startLocal(t, LocalConfig{Stall: stall, Room: roomIn(o), File: filepath.Join(t.TempDir(), "local")}, func(m modems.Message, done func(error)) bool {
		o.Put(m, done)
		return true
	})
	calm, longest := load(t, l.Addr(), "up/calm/")
	t.Logf("all well: %v, the slowest message %v", calm, longest)

	stalled := dialRaw(t, l.Addr(), "stalled", false)
	stalled.subscribe("up/load/+", 1)
	must(t, stalled.Conn.(*net.TCPConn).SetReadBuffer(4096))
	const large = 40 // more than the kernel buffers, of which the window allows 32 at a time
	began := time.Now()
	for range large {
		must(t, l.Deliver(t.Context(), modems.Message{Topic: "up/load/large", Payload: []byte(strings.Repeat("x", 200_000)), QoS: 1}))
	}
	if took := time.Since(began); took > stall*3/4 {
		t.Errorf("what came from the cloud took %v: it waited for the stalled client", took)
	}
	total, longest := load(t, l.Addr(), "up/load/")
	t.Logf("one stalled: %v, the slowest message %v", total, longest)
	if longest > stall*3/4 {
		t.Errorf("a message took %v: somebody waited for the stalled client", longest)
	}
	if total > 3*calm+stall*3/4 {
		t.Errorf("all took %v, and %v without the stalled client", total, calm)
	}
	stalled.closed()

	stalled = resume(t, l.Addr(), "stalled")
	for range large {
		if p := stalled.take(); p.TopicName != "up/load/large" {
			t.Fatalf("got %s", p.TopicName)
		}
	}
	next := map[string]uint32{}
	for range loadClients * loadMessages {
		p := stalled.take()
		if n := binary.BigEndian.Uint32(p.Payload); n != next[p.TopicName] {
			t.Fatalf("%s: got %d, want %d", p.TopicName, n, next[p.TopicName])
		}
		next[p.TopicName]++
	}
	stalled.quiet()
	if d := l.Status().Dropped; d > 0 {
		t.Errorf("%d messages were dropped", d)
	}
}
