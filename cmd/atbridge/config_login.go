package main

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems"
)

// overTLS reports whether the connection to the platform is encrypted.
func (c *Config) overTLS() bool {
	if c.Cloud.Transport != "auto" {
		return c.Cloud.Transport == "tls"
	}
	a := c.Cloud.Aliyun
	return c.Cloud.TLS != (TLS{}) || a != nil && a.Register == "unregistered" // whose password is the secret itself
}

// registering is how devices get their own secrets, if at all.
type registering struct {
	how    string // "none": each has one already
	secret Secret // of the product
}

func (c *Config) register() registering {
	if a := c.Cloud.Aliyun; a != nil {
		return registering{a.Register, a.ProductSecret}
	}
	if t := c.Cloud.Tencent; t != nil {
		return registering{t.Register, t.ProductSecret}
	}
	return registering{how: "none"}
}

// platform is the configured platform with its names filled, as far as the configuration knows it; nil: there is none.
func (c *Config) platform(vals map[string]string) (cloud.Platform, error) {
	f := filler{vals: vals}
	fill := func(key, s string) string { return f.fill("cloud."+key, s) }
	var p cloud.Platform
	switch cl, tls := &c.Cloud, c.overTLS(); {
	case cl.Aliyun != nil:
		a := cl.Aliyun
		device := cloud.Aliyun{
			ProductKey: fill("aliyun.product_key", a.ProductKey), DeviceName: fill("aliyun.device_name", a.DeviceName),
			DeviceSecret: a.DeviceSecret.Reveal(), Region: a.Region, InstanceID: fill("aliyun.instance_id", a.InstanceID),
			ClientID: fill("aliyun.client_id", a.ClientID), SignMethod: a.SignMethod, Timestamp: a.Timestamp, TLS: tls,
			CustomRRPC: c.routesUse("/ext/rrpc/"),
		}
		if err := device.CheckName(); err != nil && f.err == nil {
			f.err = usagef("cloud.aliyun.client_id: %w", err)
		}
		p = device
	case cl.Easemob != nil:
		e := cl.Easemob
		device := fill("easemob.device_id", e.DeviceID)
		p = cloud.Easemob{
			Host: fill("easemob.host", e.Host), AppID: fill("easemob.app_id", e.AppID), DeviceID: device,
			Username: cmp.Or(fill("easemob.username", e.Username), device), TLS: tls, Token: cl.Password.Reveal(),
		}
	case cl.OneNET != nil:
		o := cl.OneNET
		p = cloud.OneNET{
			ProductID: fill("onenet.product_id", o.ProductID), DeviceName: fill("onenet.device_name", o.DeviceName),
			Key: o.Key.Reveal(), Method: o.Method, Version: o.Version, Expires: int64(o.Expires), TLS: tls,
		}
	case cl.Tencent != nil:
		t := cl.Tencent
		p = cloud.Tencent{
			ProductID: fill("tencent.product_id", t.ProductID), DeviceName: fill("tencent.device_name", t.DeviceName),
			PSK: t.PSK.Reveal(), SignMethod: t.SignMethod, ConnectionID: t.ConnectionID, Expires: int64(t.Expires), TLS: tls,
		}
	case cl.Huawei != nil:
		h := cl.Huawei
		p = cloud.Huawei{DeviceID: fill("huawei.device_id", h.DeviceID), Secret: h.Secret.Reveal(), Host: fill("huawei.host", h.Host), TLS: tls}
	case cl.Baidu != nil:
		b := cl.Baidu
		p = cloud.Baidu{
			Core: fill("baidu.core", b.Core), DeviceKey: fill("baidu.device_key", b.DeviceKey), DeviceSecret: b.DeviceSecret.Reveal(),
			Region: fill("baidu.region", b.Region), Algorithm: b.Algorithm, Timestamp: int64(b.Timestamp), ClientID: fill("client_id", cl.ClientID), TLS: tls,
		}
	}
	return p, f.err
}

func (c *Config) routesUse(prefix string) bool {
	return slices.ContainsFunc(c.Routes.Up, func(r Route) bool { return strings.HasPrefix(r.To, prefix) }) ||
		slices.ContainsFunc(c.Routes.Down, func(r Route) bool { return strings.HasPrefix(r.From, prefix) })
}

// session is what a session with a platform is told.
func (c *Config) session(p cloud.Params, vals map[string]string) (modems.MQTTConfig, error) {
	m := modems.MQTTConfig{
		Host: p.Host, Port: p.Port, ClientID: p.ClientID, Username: p.Username, Password: p.Password,
		KeepAlive: time.Duration(c.Cloud.KeepAlive), CleanSession: c.Cloud.CleanSession, Window: c.Path.Window,
	}
	if !p.TLS {
		return m, nil
	}
	var err error
	m.TLS, err = c.certificates(vals)
	return m, err
}

// certificates are those of cloud.tls.
func (c *Config) certificates(vals map[string]string) (*modems.TLSConfig, error) {
	f := filler{vals: vals}
	t := c.Cloud.TLS
	return &modems.TLSConfig{
		CAFile:     f.file(c, "cloud.tls.ca_file", t.CAFile),
		CertFile:   f.file(c, "cloud.tls.cert_file", t.CertFile),
		KeyFile:    f.file(c, "cloud.tls.key_file", t.KeyFile),
		ServerName: f.fill("cloud.tls.server_name", t.ServerName),
		TicketFile: filepath.Join(c.Queue.Dir, "tls-session"),
	}, f.err
}
