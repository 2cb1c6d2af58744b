package cloud_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
	"github.com/atbridge/atbridge/bridge/mqtt"
	"github.com/atbridge/atbridge/modems"
)

func start(t *testing.T, p cloudtest.Platform) *cloudtest.Cloud {
	t.Helper()
	c, err := cloudtest.Start(t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// to is a network in which the platform's names lead to its fake.
func to(c *cloudtest.Cloud) cloud.Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		real, ok := c.Map()[addr]
		if !ok {
			return nil, errors.New("nothing is known of " + addr)
		}
		return new(net.Dialer).DialContext(ctx, network, real)
	}
}

// login opens a session as p says.
func login(t *testing.T, c *cloudtest.Cloud, p cloud.Platform, keepalive time.Duration) (modems.Session, error) {
	t.Helper()
	params, err := p.Params(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := modems.MQTTConfig{Host: params.Host, Port: params.Port, ClientID: params.ClientID, Username: params.Username, Password: params.Password, KeepAlive: keepalive}
	if params.TLS {
		cfg.TLS = &modems.TLSConfig{CAFile: c.CAFile}
	}
	dial := to(c)
	s, err := mqtt.Dial(t.Context(), func(ctx context.Context) (net.Conn, error) {
		return dial(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	}, cfg)
	if err == nil {
		t.Cleanup(func() { s.Close(context.Background()) })
	}
	return s, err
}

// Every platform's fake takes the login, plain and with TLS, and refuses it with another secret.
func TestLogins(t *testing.T) {
	aliyun := &cloudtest.AliyunProduct{Key: "pk", Strict: true}
	aliyun.Device("dn", "secret")
	instance := &cloudtest.AliyunProduct{Key: "pk", Instance: "iot-06z00x", Strict: true}
	instance.Device("dn", "secret")
	const key, other = "KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw=", "AAECAwQFBgcICQoLDA0ODw=="
	for name, v := range map[string]struct {
		fake cloudtest.Platform
		of   func(secret string, tls bool) cloud.Platform
		good string
	}{
		"aliyun": {aliyun, func(s string, tls bool) cloud.Platform {
			return cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", DeviceSecret: s, Region: "cn-shanghai", SignMethod: "hmacsha256", Timestamp: "5", TLS: tls}
		}, "secret"},
		"aliyun, new": {instance, func(s string, tls bool) cloud.Platform {
			return cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", DeviceSecret: s, InstanceID: "iot-06z00x", SignMethod: "hmacmd5", TLS: tls}
		}, "secret"},
		"onenet": {&cloudtest.OneNETDevice{Product: "p", Name: "d", Key: key}, func(s string, tls bool) cloud.Platform {
			return cloud.OneNET{ProductID: "p", DeviceName: "d", Key: s, Method: "sha256", Version: "2018-10-31", TLS: tls}
		}, key},
		"tencent": {&cloudtest.TencentDevice{Product: "p", Name: "d", PSK: key}, func(s string, tls bool) cloud.Platform {
			return cloud.Tencent{ProductID: "p", DeviceName: "d", PSK: s, SignMethod: "hmacsha1", TLS: tls}
		}, key},
		"huawei": {&cloudtest.HuaweiDevice{Host: "h.example", ID: "d", Secret: "s"}, func(s string, tls bool) cloud.Platform {
			return cloud.Huawei{Host: "h.example", DeviceID: "d", Secret: s, TLS: tls}
		}, "s"},
		"baidu": {&cloudtest.BaiduDevice{Core: "c", Region: "bj", Key: "k", Secret: "s"}, func(s string, tls bool) cloud.Platform {
			return cloud.Baidu{Core: "c", Region: "bj", DeviceKey: "k", DeviceSecret: s, Algorithm: "SHA256", TLS: tls}
		}, "s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, v.fake)
			for _, tls := range []bool{false, true} {
				if _, err := login(t, c, v.of(v.good, tls), time.Minute); err != nil {
					t.Errorf("TLS %v: %v; %v", tls, err, c.Refusals())
				}
				var refused modems.ConnackError
				if _, err := login(t, c, v.of(other, tls), time.Minute); !errors.As(err, &refused) || refused != 4 {
					t.Errorf("with a wrong secret, TLS %v: %v", tls, err)
				}
			}
			if logins := c.Logins(); len(logins) != 2 || logins[0].Secure || !logins[1].Secure || c.Kicked() != 1 {
				t.Errorf("%+v, %d kicked", logins, c.Kicked())
			}
			var refused modems.ConnackError
			if _, err := login(t, c, v.of(v.good, false), 2000*time.Second); !errors.As(err, &refused) {
				t.Errorf("with a keepalive of 2000 s: %v", err)
			}
		})
	}
}

func registration(t *testing.T, c *cloudtest.Cloud, device cloud.Registrable, how, secret string) (cloud.Registration, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "identity.json")
	place, err := cloud.Reserve(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { place.Release() })
	return cloud.Registration{Device: device, How: how, ProductSecret: secret, Dial: to(c), TLS: modems.TLSConfig{CAFile: c.CAFile}, Place: place}, file
}

// Registration in its three ways; what is stored logs in.
func TestRegister(t *testing.T) {
	for name, v := range map[string]struct {
		instance, how, method string
	}{
		"HTTPS": {"", "preregistered", "hmacsha1"}, "MQTT": {"iot-06z00x", "preregistered", "hmacsha256"},
		"not on the list": {"", "unregistered", "hmacmd5"}, "not on the list, new": {"iot-06z00x", "unregistered", "hmacsha256"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &cloudtest.AliyunProduct{Key: "pk", Secret: "ps", Instance: v.instance, Register: true}
			if v.how == "preregistered" {
				p.Device("dn", "")
			}
			c := start(t, p)
			device := cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", Region: "cn-shanghai", InstanceID: v.instance, SignMethod: v.method, TLS: true}
			r, file := registration(t, c, device, v.how, "ps")
			if _, err := r.Register(t.Context()); err != nil {
				t.Fatalf("%v; %v", err, c.Refusals())
			}
			info, err := os.Stat(file)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			stored, err := cloud.LoadIdentity(file)
			if err != nil || !stored.Of(device) {
				t.Fatalf("%+v, %v", stored, err)
			}
			if _, err := login(t, c, device.With(*stored), time.Minute); err != nil {
				t.Errorf("%v; %v", err, c.Refusals())
			}
			for _, why := range c.Refusals() {
				t.Error(why)
			}
			r, _ = registration(t, c, device, v.how, "wrong")
			if _, err := r.Register(t.Context()); !errors.Is(err, cloud.ErrRegistration) || !strings.Contains(err.Error(), "check cloud.aliyun.product_secret") {
				t.Errorf("with a wrong secret: %v", err)
			}
			if n := p.Registrations(); n != 1 {
				t.Errorf("%d registrations", n)
			}
		})
	}
}

// What the platform refuses is said with what to do about it.
func TestRegisterRefused(t *testing.T) {
	p := &cloudtest.AliyunProduct{Key: "pk", Secret: "ps", Register: true}
	p.Device("active", "secret")
	c := start(t, p)
	device := cloud.Aliyun{ProductKey: "pk", DeviceName: "active", DeviceSecret: "secret", Region: "cn-shanghai", SignMethod: "hmacsha256"}
	if _, err := login(t, c, device, time.Minute); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(d *cloud.Aliyun){
		"(code 6289): the device is active already": func(*cloud.Aliyun) {},
		"(code 6100): it knows no such device":      func(d *cloud.Aliyun) { d.DeviceName = "nobody" },
		"(code 6250): it knows no such product":     func(d *cloud.Aliyun) { d.ProductKey = "pk2" },
	} {
		d := device
		change(&d)
		r, file := registration(t, c, d, "preregistered", "ps")
		if _, err := r.Register(t.Context()); !errors.Is(err, cloud.ErrRegistration) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("something was stored")
		}
	}
	p.Register = false
	r, _ := registration(t, c, device, "preregistered", "ps")
	if _, err := r.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "(code 6288): dynamic registration is off") {
		t.Error(err)
	}
}

// A place that cannot hold an identity is refused before the platform is asked.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.Reserve(filepath.Join(dir, "file", "identity.json")); err == nil || !strings.HasPrefix(err.Error(), "there is no place for the identity") {
		t.Error(err)
	}
	file := filepath.Join(dir, "identity.json")
	if err := os.WriteFile(file, []byte(`{"product_key":"pk"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.LoadIdentity(file); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Error(err)
	}
}

// Easemob's tokens: fetched, used, refused with a wrong secret, and ended by the platform in time.
func TestEasemob(t *testing.T) {
	app := &cloudtest.EasemobApp{ID: "aitbj0", ClientID: "c", ClientSecret: "s"}
	c := start(t, app)
	e := cloud.Easemob{AppID: "aitbj0", DeviceID: "device001", Username: "test"}
	tokens := cloud.EasemobTokens{AppID: "aitbj0", ClientID: "c", ClientSecret: "s", Dial: to(c), CAFile: c.CAFile}
	for _, tls := range []bool{false, true} {
		fresh, life, err := tokens.Fetch(t.Context(), e)
		if err != nil || life != 24*time.Hour {
			t.Fatalf("%v, %v", life, err)
		}
		fresh.TLS = tls
		if _, err := login(t, c, fresh, time.Minute); err != nil {
			t.Errorf("%v; %v", err, c.Refusals())
		}
	}
	if _, err := login(t, c, e, time.Minute); err == nil {
		t.Error("a login without a token was accepted")
	}
	tokens.ClientSecret = "wrong"
	if _, _, err := tokens.Fetch(t.Context(), e); !errors.Is(err, cloud.ErrToken) || !strings.Contains(err.Error(), "check cloud.easemob.client_id and client_secret") || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
	u, err := url.Parse(tokens.URL())
	if err != nil || u.String() != "https://api.cn1.mqtt.chat/app/aitbj0" {
		t.Error(u, err)
	}
}

// Topics that are not the device's own: a subscription fails, a publish is not passed on.
func TestAliyunPermissions(t *testing.T) {
	p := &cloudtest.AliyunProduct{Key: "pk"}
	p.Device("dn", "secret")
	c := start(t, p)
	passed := make(chan string, 10)
	c.Watch(func(m cloudtest.Message) { passed <- m.Topic })
	s, err := login(t, c, cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", DeviceSecret: "secret", Region: "cn-shanghai", SignMethod: "hmacsha256"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Subscribe(t.Context(), "/pk/other/user/get", 1); err == nil {
		t.Error("a foreign subscription was granted")
	}
	if err := s.Subscribe(t.Context(), "/pk/dn/user/get", 1); err != nil {
		t.Error(err)
	}
	for _, topic := range []string{"/pk/other/user/update", "/pk/dn/user/update"} {
		r, err := s.Publish(t.Context(), modems.Message{Topic: topic, Payload: []byte("x"), QoS: 1})
		if err != nil || r.Wait(t.Context()) != modems.Acked {
			t.Error(topic, err)
		}
	}
	if topic := <-passed; topic != "/pk/dn/user/update" {
		t.Error(topic)
	}
	r, err := s.Publish(t.Context(), modems.Message{Topic: "/pk/dn/user/update", Payload: []byte("x"), QoS: 1, Retain: true})
	if err == nil && r.Wait(t.Context()) == modems.Acked {
		t.Error("a retained message was taken")
	}
}

// A redirection is not followed: the secrets in the request are for this host.
func TestNoRedirection(t *testing.T) {
	asked := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer elsewhere.Close()
	here := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer here.Close()
	tokens := cloud.EasemobTokens{API: here.URL, ClientID: "c", ClientSecret: "s", Dial: new(net.Dialer).DialContext}
	if _, _, err := tokens.Fetch(t.Context(), cloud.Easemob{}); err == nil || len(asked) > 0 {
		t.Errorf("%v, and %d requests elsewhere", err, len(asked))
	}
}

// What the platform says for another device is not stored.
func TestRegisterOther(t *testing.T) {
	p := &cloudtest.AliyunProduct{Key: "pk", Secret: "ps", Register: true, Answers: "other"}
	p.Device("dn", "")
	c := start(t, p)
	r, file := registration(t, c, cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", Region: "cn-shanghai", SignMethod: "hmacsha1"}, "preregistered", "ps")
	_, err := r.Register(t.Context())
	if _, errStat := os.Stat(file); err == nil || !strings.Contains(err.Error(), "answered for another device, other of pk") || errStat == nil {
		t.Errorf("%v, %v", err, errStat)
	}
}
