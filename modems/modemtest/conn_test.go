package modemtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/atbridge/atbridge/modems"
)

// eachSocket is eachDriver for the modules that have TCP sockets, in both manners: what comes is pushed, or waits.
func eachSocket(t *testing.T, fn func(t *testing.T, model string, o modems.Options)) {
	eachDriver(t, func(t *testing.T, name string) {
		if excused[name+" sockets"] != "" {
			t.Skip(excused[name+" sockets"])
		}
		for manner, o := range map[string]modems.Options{"pushed": {}, "pulled": {PullSockets: true}} {
			t.Run(manner, func(t *testing.T) {
				t.Parallel()
				fn(t, name, o)
			})
		}
	})
}

// dialled is a connection through a modem, and its other end.
func (b *bench) dialled(m *modems.Modem) (near net.Conn, far *net.TCPConn) {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			accepted <- c
		}
	}()
	near, err = m.DialContext(b.ctx, "tcp", l.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case c := <-accepted:
		return near, c.(*net.TCPConn)
	case <-b.ctx.Done():
		b.t.Fatal(context.Cause(b.ctx))
	}
	return nil, nil
}

// online attaches and goes online.
func (b *bench) online(o modems.Options) *modems.Modem {
	b.t.Helper()
	m := b.attach(o)
	if err := m.Online(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// A connection through the modem is a net.Conn in full. The line is not paced: at its pace a mebibyte takes too long.
func TestConn(t *testing.T) {
	eachSocket(t, func(t *testing.T, name string, o modems.Options) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			b := newFastBench(t, name)
			near, far := b.dialled(b.online(o))
			return near, far, func() { near.Close(); far.Close() }, nil
		})
	})
}

// What cannot be dialled says why.
func TestCannotDialSocket(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		b := newBench(t, name)
		m := b.online(modems.Options{})
		if excused[name+" sockets"] != "" {
			_, err := m.DialContext(b.ctx, "tcp", "127.0.0.1:1")
			if name == "nt35e" && (!errors.Is(err, modems.ErrUnsupported) || !strings.Contains(err.Error(), "the Q firmware of the same module has them")) {
				t.Error(err)
			}
			return
		}
		for addr, want := range map[string]string{
			"127.0.0.1:1":       "dial 127.0.0.1:1 through the modem: ",
			"nobody..home:1883": "resolve", // a name that no resolver has to be asked for
			"a\";+CFUN=0;\"b:1": "not allowed in an AT command",
			"127.0.0.1:0":       "is no port number",
			"127.0.0.1":         "missing port",
		} {
			if _, err := m.DialContext(b.ctx, "tcp", addr); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q in it", addr, err, want)
			}
		}
		if _, err := m.DialContext(b.ctx, "udp", "127.0.0.1:1"); !errors.Is(err, modems.ErrUnsupported) {
			t.Errorf("udp: %v", err)
		}
		near, _ := b.dialled(m) // nothing of the failures is left
		near.Close()
	})
}

// The modem is a network for whatever takes a dialer: 256 KiB come by HTTPS, byte for byte, over a paced line.
func TestHTTPS(t *testing.T) {
	eachSocket(t, func(t *testing.T, name string, o modems.Options) {
		want := make([]byte, 256<<10)
		if _, err := rand.Read(want); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(want) }))
		defer server.Close()
		b := newBench(t, name)
		m := b.online(o)
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.DialContext = m.DialContext
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
		if c := m.Counters(); c.Timeouts+c.StaleAnswers+c.UnexpectedLines+c.Resyncs > 0 {
			t.Errorf("the line was not clean: %+v", c)
		}
	})
}

// Several connections at once do not mix their bytes.
func TestSeveralConnections(t *testing.T) {
	eachSocket(t, func(t *testing.T, name string, o modems.Options) {
		b := newBench(t, name)
		m := b.online(o)
		var busy sync.WaitGroup
		for i := range m.Sockets() {
			near, far := b.dialled(m)
			defer near.Close()
			busy.Go(func() { io.Copy(far, far) })
			busy.Go(func() {
				want := bytes.Repeat(fmt.Appendf(nil, "<%d>\r\nOK\r\n", i), 300)
				busy.Go(func() {
					if _, err := near.Write(want); err != nil {
						t.Error(i, err)
					}
				})
				got := make([]byte, len(want))
				if _, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("connection %d: %v", i, err)
				}
				far.Close()
			})
		}
		if _, err := m.DialContext(b.ctx, "tcp", "127.0.0.1:1"); !errors.Is(err, modems.ErrNoSocket) {
			t.Errorf("one more than there are: %v", err)
		}
		busy.Wait()
	})
}

// What ends a connection is told to both directions, in bounded time, and what had come before can be read; Close ends.
func TestConnectionEnds(t *testing.T) {
	eachSocket(t, func(t *testing.T, name string, o modems.Options) {
		for fault, want := range map[string]string{
			"pdpdeact=3":      "the network ended the data connection",
			"reboot=3":        "rebooted",
			"reboot-prompt=3": "rebooted",
			"wedge=3":         "stopped answering|no answer in time",
			"drop-prompt=3":   "stopped answering|no answer in time",
		} {
			t.Run(fault, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, name, fault)
				near, far := b.dialled(b.online(o))
				defer far.Close()
				if _, err := far.Write([]byte("before")); err != nil {
					t.Fatal(err)
				}
				before := make([]byte, 6)
				if _, err := io.ReadFull(near, before); err != nil {
					t.Fatal(err)
				}
				var errWrite error
				for i := 0; errWrite == nil; i++ {
					_, errWrite = fmt.Fprintf(near, "message %d\n", i)
				}
				_, errRead := near.Read(before)
				for _, err := range []error{errRead, errWrite} {
					if errors.Is(err, net.ErrClosed) || !regexp.MustCompile(want).MatchString(err.Error()) {
						t.Errorf("%v; want %q", err, want)
					}
				}
				near.Close()
			})
		}
		t.Run("a reboot while nobody writes", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, name, "reboot=1")
			near, far := b.dialled(b.online(o))
			defer far.Close()
			if _, err := near.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := near.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "rebooted") {
				t.Error(err)
			}
		})
		t.Run("the other side closes", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, name)
			near, far := b.dialled(b.online(o))
			if _, err := far.Write([]byte("last words")); err != nil {
				t.Fatal(err)
			}
			far.Close()
			var err error
			for err == nil { // until the module has told of it
				_, err = near.Write([]byte("x"))
			}
			if errors.Is(err, net.ErrClosed) {
				t.Errorf("writing: %v", err)
			}
			got, err := io.ReadAll(near)
			if err != nil || string(got) != "last words" {
				t.Errorf("%q, %v", got, err)
			}
			if err := near.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// A module that takes nothing at the moment is asked again, and nothing is sent twice.
func TestSendAgain(t *testing.T) {
	eachSocket(t, func(t *testing.T, name string, o modems.Options) {
		b := newBench(t, name, "send-fail=3")
		near, far := b.dialled(b.online(o))
		want := bytes.Repeat([]byte("0123456789"), 1000)
		if _, err := near.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := near.Close(); err != nil { // with all of it still to be sent
			t.Error(err)
		}
		if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
	})
}

// A connection that an earlier run has left in the module is no obstacle.
func TestFreesSockets(t *testing.T) {
	eachSocket(t, func(t *testing.T, name string, o modems.Options) {
		b := newBench(t, name)
		m := b.online(o)
		_, left := b.dialled(m)
		defer left.Close()
		m.Close()
		near, far := b.dialled(b.online(o))
		defer near.Close()
		if _, err := left.Write([]byte("of another life")); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(near, got); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// An announcement that is lost costs time and no data: what waits is asked for now and then.
func TestLostAnnouncement(t *testing.T) {
	t.Parallel()
	b := newBench(t, "ec600", "drop-recv=1")
	near, far := b.dialled(b.online(modems.Options{PullSockets: true}))
	defer near.Close()
	if _, err := far.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(near, got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}
