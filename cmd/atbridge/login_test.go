package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
	"github.com/atbridge/atbridge/bridge/mqtt"
	"github.com/atbridge/atbridge/modems"
)

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
		l.now = func() time.Time { return time.Unix(1000, 0) } // a quarter of an hour after power-on
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
		l.now = func() time.Time { return v.host }
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

// A token is fetched once, kept while it is good, and thrown away when the broker has refused it.
func TestRefusedDropsToken(t *testing.T) {
	c, err := parse("path: {mode: host}\ncloud: {easemob: {app_id: a, device_id: d, client_id: c, client_secret: s}}")
	if err != nil {
		t.Fatal(err)
	}
	l := newLogin(slog.New(slog.DiscardHandler))
	l.token, l.renews = cloud.Easemob{AppID: "a", DeviceID: "d", Username: "d", Token: "t"}, time.Now().Add(time.Hour)
	if err := l.prepare(t.Context(), c, bridge.Outside{}); err != nil {
		t.Fatal(err) // there is no way to fetch one
	}
	target, err := l.target(c, modems.Identity{})
	if err != nil || target.Brokers[0].Password != "t" || !target.Until.Equal(l.renews) {
		t.Errorf("%+v, %v", target, err)
	}
	why := target.Refused(modems.ConnackError(4))
	if !errors.As(why, new(modems.ConnackError)) || !strings.HasSuffix(why.Error(), "; check cloud.easemob.username, client_id and client_secret") || !l.renews.IsZero() {
		t.Errorf("%v, renews %v", why, l.renews)
	}
}

// How long a token is good for is counted from before it was asked for: it may begin to live as soon as the platform hears of it,
// and its way here may take long.
func TestRenewalBeginsWithTheRequest(t *testing.T) {
	var clock atomic.Int64 // seconds on the way
	began := time.Unix(1800000000, 0)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		clock.Add(40)
		fmt.Fprint(w, `{"code":200,"body":{"access_token":"t","expires_in":100}}`)
	}))
	defer api.Close()
	c, err := parse("path: {mode: host}\ncloud: {easemob: {app_id: a, device_id: d, client_id: c, client_secret: s, api_url: '" + api.URL + "'}}")
	if err != nil {
		t.Fatal(err)
	}
	l := newLogin(slog.New(slog.DiscardHandler))
	l.now = func() time.Time { return began.Add(time.Duration(clock.Load()) * time.Second) }
	if err := l.prepare(t.Context(), c, bridge.OutsideOf(nil)); err != nil {
		t.Fatal(err)
	}
	if want := began.Add(90 * time.Second); clock.Load() != 80 || !l.renews.Equal(want) {
		t.Errorf("renewed at %v, want %v", l.renews.UTC(), want.UTC())
	}
}

// On a board without a clock the certificates of registration and of the tokens are checked by the modem's; where neither knows
// the time nobody is asked.
func TestHTTPSByTheClockOfTheModem(t *testing.T) {
	aliyun := &cloudtest.AliyunProduct{Key: "a1pk", Secret: "ps", Register: true}
	aliyun.Device("lamp7", "")
	instance := &cloudtest.AliyunProduct{Key: "a1pk", Secret: "ps", Register: true, Instance: "iot-06z00x"}
	instance.Device("lamp7", "")
	tencent := &cloudtest.TencentProduct{ID: "a1pk", Secret: "pr0duct-s3cr3t-xyz", Register: true}
	tencent.Device("lamp7")
	for text, fake := range map[string]cloudtest.Platform{
		"aliyun: {product_key: a1pk, device_name: lamp7, product_secret: ps, register: preregistered}":                          aliyun,
		"aliyun: {product_key: a1pk, device_name: lamp7, product_secret: ps, register: preregistered, instance_id: iot-06z00x}": instance,
		"tencent: {product_id: a1pk, device_name: lamp7, product_secret: pr0duct-s3cr3t-xyz, register: dynamic}":                tencent,
		"easemob: {app_id: a, device_id: d, client_id: c, client_secret: s}":                                                    &cloudtest.EasemobApp{ID: "a", ClientID: "c", ClientSecret: "s"},
	} {
		dir := t.TempDir()
		cl, err := cloudtest.Start(dir, fake)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		c, err := parse("modem: {port: /dev/ttyUSB2}\nqueue: {dir: " + dir + "}\ncloud: {tls: {ca_file: " + cl.CAFile + "}, " + text + "}")
		if err != nil {
			t.Fatal(err)
		}
		l := newLogin(slog.New(slog.DiscardHandler))
		l.now = func() time.Time { return time.Unix(1000, 0) }
		dialled := 0
		o := bridge.Outside{
			Clock: func(context.Context) (time.Time, error) { return time.Unix(1000, 0), nil },
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialled++
				return new(net.Dialer).DialContext(ctx, network, cl.Map()[addr])
			},
		}
		if err := l.prepare(t.Context(), c, o); !errors.Is(err, bridge.ErrNoTime) || dialled > 0 {
			t.Errorf("%s without the time: %v, dialled %d times", text, err, dialled)
		}
		o.Clock = func(context.Context) (time.Time, error) { return time.Now().AddDate(10, 0, 0), nil }
		if err := l.prepare(t.Context(), c, o); err == nil || !strings.Contains(err.Error(), "certificate has expired") {
			t.Errorf("%s in ten years: %v", text, err)
		}
		o.Clock = func(context.Context) (time.Time, error) { return time.Now(), nil }
		if err := l.prepare(t.Context(), c, o); err != nil || dialled == 0 {
			t.Errorf("%s: %v, dialled %d times", text, err, dialled)
		}
	}
}
