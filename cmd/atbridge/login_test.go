package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
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
