package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
)

// Brokers are the brokers of cloud.broker in the order in which they are tried; none where a platform is used.
func (c *Config) Brokers() []Broker { return c.Cloud.brokers }

// Platform is the name of the platform that is configured, or "".
func (c *Config) Platform() string {
	for _, p := range platforms {
		if section, _ := lookup(c, "cloud."+p.name); !section.IsNil() {
			return p.name
		}
	}
	return ""
}

// MQTT is what a session with b is told. The placeholders are filled from vals, which maps imei, iccid, serial and
// hostname to what is known of them.
func (c *Config) MQTT(b Broker, vals map[string]string) (modems.MQTTConfig, error) {
	f := filler{vals: vals}
	m := modems.MQTTConfig{
		Host:         f.fill("cloud.broker", b.Host),
		Port:         b.Port,
		ClientID:     f.fill("cloud.client_id", c.Cloud.ClientID),
		Username:     f.fill("cloud.username", c.Cloud.Username),
		Password:     c.Cloud.Password.Reveal(),
		KeepAlive:    time.Duration(c.Cloud.KeepAlive),
		CleanSession: c.Cloud.CleanSession,
		Window:       c.Path.Window,
	}
	if b.Scheme == "ws" || b.Scheme == "wss" {
		m.WebSocket = cmp.Or(b.Path, "/")
	}
	if b.TLS() {
		tls, err := c.certificates(vals)
		if err != nil && f.err == nil {
			f.err = err
		}
		m.TLS = tls
	}
	return m, f.err
}

// LocalBroker is what a session with an existing local broker is told; nil: the embedded one is used. The client
// identifier is always the same, for the session lasts, and another one for each queue.
func (c *Config) LocalBroker() *modems.MQTTConfig {
	b, err := parseBroker(c.Local.Broker)
	if err != nil {
		return nil // none is named: a wrong one has been refused
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	id := sha256.Sum256([]byte(host + "\x00" + c.Queue.Dir))
	return &modems.MQTTConfig{
		Host: b.Host, Port: b.Port, ClientID: "atbridge-" + hex.EncodeToString(id[:6]),
		Username: c.Local.Username, Password: c.Local.Password.Reveal(), KeepAlive: time.Minute,
	}
}

// checkLoops looks for what goes round once names are filled in; what a modem has not said yet is 0.
func (c *Config) checkLoops(id modems.Identity) error {
	id.IMEI, id.ICCID = cmp.Or(id.IMEI, "0"), cmp.Or(id.ICCID, "0")
	up, down, err := c.BridgeRoutes(standFor(id))
	if err != nil {
		return err
	}
	return bridge.CheckLoops(up, down, c.oneBroker())
}

// oneBroker: the local broker and one of those in the cloud are the same.
func (c *Config) oneBroker() bool {
	local := c.LocalBroker()
	return local != nil && slices.ContainsFunc(c.Brokers(), func(b Broker) bool {
		return bridge.SameBroker(modems.MQTTConfig{Host: b.Host, Port: b.Port}, *local)
	})
}

// BridgeRoutes are the routes with their placeholders filled.
func (c *Config) BridgeRoutes(vals map[string]string) (up, down bridge.Routes, err error) {
	f := filler{vals: vals}
	for _, r := range c.Routes.Up {
		up = append(up, f.route("routes.up", r))
	}
	for _, r := range c.Routes.Down {
		down = append(down, f.route("routes.down", r))
	}
	return up, down, f.err
}

func (r Route) bridge() bridge.Route {
	return bridge.Route{From: r.From, To: r.To, QoS: byte(r.QoS), Priority: r.Priority}
}

// filler fills placeholders and keeps the first error.
type filler struct {
	vals map[string]string
	err  error
}

func (f *filler) fill(key, s string) string {
	s, err := expand(s, f.vals)
	if err != nil && f.err == nil {
		f.err = usagef("%s: %w", key, err)
	}
	return s
}

func (f *filler) file(c *Config, key, name string) string {
	if name == "" {
		return ""
	}
	return c.beside(f.fill(key, name))
}

func (f *filler) route(key string, r Route) bridge.Route {
	r.From, r.To = f.fill(key, r.From), f.fill(key, r.To)
	return r.bridge()
}
