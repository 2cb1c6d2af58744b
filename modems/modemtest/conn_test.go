package modemtest

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/atbridge/atbridge/modems"
)

// eachSocket is eachDriver for the modules that have TCP sockets.
func eachSocket(t *testing.T, fn func(t *testing.T, model string)) {
	eachDriver(t, func(t *testing.T, name string) {
		if excused[name+" sockets"] != "" {
			t.Skip(excused[name+" sockets"])
		}
		fn(t, name)
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
	eachSocket(t, func(t *testing.T, name string) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			b := newFastBench(t, name)
			near, far := b.dialled(b.online(modems.Options{}))
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
			"127.0.0.1:1":         "dial 127.0.0.1:1 through the modem: ",
			"nobody.invalid:1883": "resolve",
			"a\";+CFUN=0;\"b:1":   "not allowed in an AT command",
			"127.0.0.1:0":         "is no port number",
			"127.0.0.1":           "missing port",
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
