package main

import (
	"cmp"
	"path/filepath"
	"reflect"
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
	f := &filler{vals: vals}
	var p cloud.Platform
	switch cl, tls := &c.Cloud, c.overTLS(); {
	case cl.Aliyun != nil:
		a := filled(f, "cloud.aliyun", cl.Aliyun)
		device := cloud.Aliyun{
			ProductKey: a.ProductKey, DeviceName: a.DeviceName, DeviceSecret: a.DeviceSecret.Reveal(), Region: a.Region, InstanceID: a.InstanceID,
			ClientID: a.ClientID, SignMethod: a.SignMethod, Timestamp: a.Timestamp, TLS: tls, CustomRRPC: c.routesUse("/ext/rrpc/"),
		}
		if err := device.CheckName(); err != nil && f.err == nil {
			f.err = usagef("cloud.aliyun.client_id: %w", err)
		}
		p = device
	case cl.Easemob != nil:
		e := filled(f, "cloud.easemob", cl.Easemob)
		p = cloud.Easemob{
			Host: e.Host, AppID: e.AppID, DeviceID: e.DeviceID, Username: cmp.Or(e.Username, e.DeviceID), TLS: tls, Token: cl.Password.Reveal(),
		}
	case cl.OneNET != nil:
		o := filled(f, "cloud.onenet", cl.OneNET)
		p = cloud.OneNET{
			ProductID: o.ProductID, DeviceName: o.DeviceName, Key: o.Key.Reveal(), Method: o.Method, Version: o.Version,
			Expires: int64(o.Expires), TLS: tls,
		}
	case cl.Tencent != nil:
		t := filled(f, "cloud.tencent", cl.Tencent)
		p = cloud.Tencent{
			ProductID: t.ProductID, DeviceName: t.DeviceName, PSK: t.PSK.Reveal(), SignMethod: t.SignMethod,
			ConnectionID: t.ConnectionID, Expires: int64(t.Expires), TLS: tls,
		}
	case cl.Huawei != nil:
		h := filled(f, "cloud.huawei", cl.Huawei)
		p = cloud.Huawei{DeviceID: h.DeviceID, Secret: h.Secret.Reveal(), Host: h.Host, TLS: tls}
	case cl.Baidu != nil:
		b := filled(f, "cloud.baidu", cl.Baidu)
		p = cloud.Baidu{
			Core: b.Core, DeviceKey: b.DeviceKey, DeviceSecret: b.DeviceSecret.Reveal(), Region: b.Region, Algorithm: b.Algorithm,
			Timestamp: int64(b.Timestamp), ClientID: f.fill("cloud.client_id", cl.ClientID), TLS: tls,
		}
	case cl.Tuya != nil:
		t := filled(f, "cloud.tuya", cl.Tuya)
		p = cloud.Tuya{DeviceID: t.DeviceID, DeviceSecret: t.DeviceSecret.Reveal(), Host: t.Host, Timestamp: int64(t.Timestamp)}
	case cl.Azure != nil:
		a := filled(f, "cloud.azure", cl.Azure)
		p = cloud.Azure{Hub: a.Hub, DeviceID: a.DeviceID, Key: a.Key.Reveal(), Policy: a.Policy, Expires: int64(a.Expires)}
	}
	return p, f.err
}

// filled is a section with the placeholders of every name filled: of whatever is text and no secret.
func filled[T any](f *filler, key string, section *T) T {
	copied := *section
	v := reflect.ValueOf(&copied).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.String && field.Type() != secretType {
			field.SetString(f.fill(join(key, v.Type().Field(i).Tag.Get("yaml")), field.String()))
		}
	}
	return copied
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
