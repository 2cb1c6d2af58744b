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
	"github.com/atbridge/atbridge/modems"
)

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
