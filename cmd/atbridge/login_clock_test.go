package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/bridge/mqtt"
	"github.com/atbridge/atbridge/modems"
)

func no() bool { return false }

// On a board without a clock nothing is signed until the modem knows the time; what needs no time does not wait for it.
func TestClockOfTheModem(t *testing.T) {
	parsed := func(text string) *Config {
		c, err := parse("modem: {port: /dev/ttyUSB2}\ncloud: {" + text + "}")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	onenet := parsed("onenet: {product_id: p, device_name: d, key: aHVudGVyMg==}")
	real := time.Unix(1800000000, 0)
	for name, v := range map[string]struct {
		c     *Config
		clock func(context.Context) (time.Time, error)
		et    string // in the password
		err   error
	}{
		"the modem knows":       {onenet, func(context.Context) (time.Time, error) { return real, nil }, "et=1800086400&", nil},
		"nor does the modem":    {onenet, func(context.Context) (time.Time, error) { return time.Unix(315964810, 0), nil }, "", cloud.ErrClock},
		"the modem says not":    {onenet, func(context.Context) (time.Time, error) { return time.Time{}, errors.New("ERROR") }, "", cloud.ErrClock},
		"there is no modem":     {onenet, nil, "", cloud.ErrClock},
		"no time is needed":     {parsed("huawei: {device_id: d, secret: s, host: h}"), nil, "", nil},
		"the end is configured": {parsed("onenet: {product_id: p, device_name: d, key: aHVudGVyMg==, expires: 1900000000}"), nil, "et=1900000000&", nil},
	} {
		l := newLogin(slog.New(slog.DiscardHandler))
		l.now, l.sure = func() time.Time { return time.Unix(1000, 0) }, no // a quarter of an hour after power-on
		if err := l.prepare(t.Context(), v.c, bridge.Outside{Clock: v.clock}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		target, err := l.target(v.c, modems.Identity{})
		switch {
		case !errors.Is(err, v.err):
			t.Errorf("%s: %v", name, err)
		case err == nil && (len(target.Brokers) != 1 || !strings.Contains(target.Brokers[0].Password, v.et)):
			t.Errorf("%s: %+v", name, target.Brokers)
		case err == nil && v.clock != nil && target.Until.Unix() != 1000+86400*9/10: // by this machine's clock
			t.Errorf("%s: until %v", name, target.Until.Unix())
		}
	}
}

// TLS on this side waits for a plausible time, without a byte on the way, and checks certificates by it; the module's own, and
// plain TCP, wait for nothing.
func TestTLSWaitsForTheTime(t *testing.T) {
	c, err := parse("modem: {port: /dev/ttyUSB2}\ncloud: {broker: 'mqtts://broker.example', client_id: c}")
	if err != nil {
		t.Fatal(err)
	}
	dialled := errors.New("dialled")
	dial := func(context.Context) (net.Conn, error) { return nil, dialled }
	real := time.Unix(1800000000, 0)
	for name, v := range map[string]struct {
		host  time.Time
		clock func(context.Context) (time.Time, error)
		tls   bool
		err   error
	}{
		"this machine knows":   {real, nil, true, dialled},
		"the modem knows":      {time.Unix(1000, 0), func(context.Context) (time.Time, error) { return real, nil }, true, dialled},
		"nobody knows":         {time.Unix(1000, 0), func(context.Context) (time.Time, error) { return time.Unix(315964810, 0), nil }, true, bridge.ErrNoTime},
		"no TLS, nobody cares": {time.Unix(1000, 0), nil, false, dialled},
	} {
		l := newLogin(slog.New(slog.DiscardHandler))
		l.now, l.sure = func() time.Time { return v.host }, no
		if err := l.prepare(t.Context(), c, bridge.Outside{Clock: v.clock}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		target, err := l.target(c, modems.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		broker := target.Brokers[0]
		if !v.tls {
			broker.TLS = nil
		}
		if _, err := mqtt.Dial(t.Context(), dial, broker); !errors.Is(err, v.err) {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := broker.Clock(); err == nil && !now.Equal(real) {
			t.Errorf("%s: certificates are checked by %v", name, now)
		}
	}
}

// A clock that stood still while the board was off looks as good as any: the modem's is taken where it is ahead, and where
// nobody has set this machine's. What is taken goes on by itself, though this machine's clock be set meanwhile.
func TestClockThatStoodStill(t *testing.T) {
	asked := false
	stale := time.Unix(1800000000, 0)
	for name, v := range map[string]struct {
		sure  bool
		ahead time.Duration // the modem's
		err   error         // or why it has none
		want  time.Duration
	}{
		"off for forty days":      {false, 40 * 24 * time.Hour, nil, 40 * 24 * time.Hour},
		"set by NTP":              {true, 40 * 24 * time.Hour, nil, 0},
		"the modem in a zone":     {false, 14 * time.Hour, nil, 0},
		"the modem is behind":     {false, -40 * 24 * time.Hour, nil, 0},
		"the modem does not know": {false, 0, errors.New("ERROR"), 0},
	} {
		asked = false
		l := newLogin(slog.New(slog.DiscardHandler))
		l.now, l.sure = func() time.Time { return stale }, func() bool { return v.sure }
		l.setClock(t.Context(), bridge.Outside{Clock: func(context.Context) (time.Time, error) {
			asked = true
			return stale.Add(v.ahead), v.err
		}})
		if now, err := l.time(); err != nil || now.Sub(stale) != v.want || asked == v.sure {
			t.Errorf("%s: %v after this machine's, %v; the modem was asked: %v", name, now.Sub(stale), err, asked)
		}
	}

	l := newLogin(slog.New(slog.DiscardHandler))
	l.now, l.sure = time.Now, no
	l.setClock(t.Context(), bridge.Outside{Clock: func(context.Context) (time.Time, error) { return time.Now().Add(40 * 24 * time.Hour), nil }})
	before, err := l.time()
	if err != nil || time.Until(before) < 39*24*time.Hour {
		t.Fatal(before, err)
	}
	if after, err := l.time(); err != nil || after.Before(before) || after.Sub(before) > time.Hour {
		t.Errorf("%v, and then %v, %v", before, after, err)
	}
}

// Registration checks the platform's certificate by the same clock: without one nobody is dialled, and the room that was made
// for an identity is given back.
func TestRegistrationWaitsForTheTime(t *testing.T) {
	for _, register := range []string{"preregistered", "unregistered"} {
		c, err := parse("modem: {port: /dev/ttyUSB2}\nqueue: {dir: " + t.TempDir() + "}\ncloud: {aliyun: {product_key: pk, device_name: dn, product_secret: ps, register: " + register + "}}")
		if err != nil {
			t.Fatal(err)
		}
		dialled := errors.New("dialled")
		for _, v := range []struct {
			clock time.Time
			want  error
		}{{time.Unix(315964810, 0), bridge.ErrNoTime}, {time.Unix(1800000000, 0), dialled}} {
			l := newLogin(slog.New(slog.DiscardHandler))
			l.now, l.sure = func() time.Time { return time.Unix(1000, 0) }, no
			err := l.prepare(t.Context(), c, bridge.Outside{
				Dial:  func(context.Context, string, string) (net.Conn, error) { return nil, dialled },
				Clock: func(context.Context) (time.Time, error) { return v.clock, nil },
			})
			if !errors.Is(err, v.want) {
				t.Errorf("%s, the modem says %v: %v", register, v.clock.UTC(), err)
			}
			if left, err := os.ReadDir(c.Queue.Dir); err != nil || len(left) != 0 {
				t.Errorf("%s: left is %v, %v", register, left, err)
			}
		}
	}
}
