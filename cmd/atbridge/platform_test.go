package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// platformRig is a simulated modem whose way out leads to the fake of a platform, and the daemon. cloud is the inside of
// the section cloud, in which CA stands for the file of the fake's authority.
func platformRig(t *testing.T, sim modemsim.Config, fake cloudtest.Platform, cloud, up, down string) (*rig, *cloudtest.Cloud) {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: new(syncBuffer)}
	c, err := cloudtest.Start(r.dir, fake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r.attach(sim, c, cloud, up, down)
	return r, c
}

// attach starts the modem and writes the configuration.
func (r *rig) attach(sim modemsim.Config, c *cloudtest.Cloud, cloud, up, down string) {
	r.t.Helper()
	sim.Map = c.Map()
	s, err := modemsim.Start(sim)
	if err != nil {
		r.t.Fatal(err)
	}
	r.sim = s
	r.t.Cleanup(func() { s.Close() })
	r.file = filepath.Join(r.dir, "atbridge.yaml")
	write(r.t, r.file, fmt.Sprintf(`modem: {port: %s, baud: %d}
cloud: {%s}
local: {listen: "127.0.0.1:0"}
routes: {up: [{from: "sensors/#", to: "%s"}], down: [{from: "%s", to: "commands/#"}]}
queue: {dir: %s}
status: {socket: %s}
log: {level: debug, wire: true}
`, s.Path(), sim.Baud, strings.ReplaceAll(cloud, "CA", c.CAFile), up, down, filepath.Join(r.dir, "queue"), filepath.Join(r.dir, "sock")), 0o600)
	r.t.Cleanup(func() {
		r.kill()
		if r.t.Failed() {
			r.t.Logf("refusals: %v\nthe daemon's log:\n%s", c.Refusals(), r.log.tail(6000))
		}
	})
}

// bothWays sends one message up and one down.
func (r *rig) bothWays(c *cloudtest.Cloud, up, down string) {
	r.t.Helper()
	arrived := make(chan cloudtest.Message, 10)
	c.Watch(func(m cloudtest.Message) { arrived <- m })
	house := mustClient(r.t, r.local(), "sensor")
	atHouse := newTally()
	collect(r.t, house, "commands/#", atHouse.got)
	publish(r.t, house, "sensors/a", 7)
	select {
	case m := <-arrived:
		if n, ok := number(m.Payload); !ok || n != 7 || m.Topic != up {
			r.t.Errorf("%s %q", m.Topic, m.Payload)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatal("nothing arrived at the platform")
	}
	if err := c.Send(down, payload(8), 1); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the command", 20*time.Second, func() bool { return atHouse.distinct() == 1 })
}

// silent checks that no secret is in the log, which is at its most talkative.
func (r *rig) silent(secrets ...string) {
	r.t.Helper()
	log := r.log.String()
	for _, s := range secrets {
		if i := strings.Index(log, s); i >= 0 {
			r.t.Errorf("the log shows a secret: %s", log[max(0, i-100):min(len(log), i+60)])
		}
	}
}

const testKey = "KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw="

// Every platform is reached through a simulated modem, with messages both ways, by the module's own stack and by the host's.
func TestEveryPlatform(t *testing.T) {
	aliyun := func() cloudtest.Platform {
		p := &cloudtest.AliyunProduct{Key: "a1pk", Strict: true}
		p.Device("lamp7", "s3cr3t-of-lamp7")
		return p
	}
	easemob := func() cloudtest.Platform {
		return &cloudtest.EasemobApp{ID: "aitbj0", ClientID: "cid", ClientSecret: "s3cr3t-of-app"}
	}
	const (
		aliyunCloud  = "aliyun: {product_key: a1pk, device_name: lamp7, device_secret: s3cr3t-of-lamp7}"
		easemobCloud = "tls: {ca_file: CA}, transport: tcp, easemob: {app_id: aitbj0, device_id: device001, username: test, client_id: cid, client_secret: s3cr3t-of-app}"
	)
	for _, v := range []struct {
		name, model, path, cloud string
		fake                     func() cloudtest.Platform
		clientID                 string // as the platform sees it begin
	}{
		{"aliyun by the module", "nt35e", "native", aliyunCloud, aliyun, "a1pk.lamp7|securemode=3,signmethod=hmacsha1|"},
		{"aliyun by the module", "ec600", "native", aliyunCloud, aliyun, "a1pk.lamp7|securemode=3,signmethod=hmacsha1|"},
		{"aliyun without aliauth", "nt35e", "native", aliyunCloud, aliyun, "a1pk.lamp7|securemode=3,signmethod=hmacsha256|"},
		{"aliyun by the host", "air724ug", "native", aliyunCloud, aliyun, "a1pk.lamp7|securemode=3,signmethod=hmacsha256|"},
		{"aliyun by the host", "ec600", "tcp", aliyunCloud, aliyun, "a1pk.lamp7|securemode=3,signmethod=hmacsha256|"},
		{"aliyun with TLS", "ec600", "tcp", "tls: {ca_file: CA}, " + aliyunCloud, aliyun, "a1pk.lamp7|securemode=2,signmethod=hmacsha256|"},
		{"aliyun with TLS", "ec600", "native", "tls: {ca_file: CA}, " + aliyunCloud, aliyun, "a1pk.lamp7|securemode=2,signmethod=hmacsha256|"},
		{"easemob", "ec600", "native", easemobCloud, easemob, "device001@aitbj0"},
		{"easemob", "air724ug", "tcp", strings.Replace(easemobCloud, "transport: tcp", "transport: tls", 1), easemob, "device001@aitbj0"},
		{"onenet", "ec600", "native", "onenet: {product_id: p1, device_name: d1, key: '" + testKey + "'}",
			func() cloudtest.Platform { return &cloudtest.OneNETDevice{Product: "p1", Name: "d1", Key: testKey} }, "d1"},
		{"tencent", "ec600", "tcp", "tencent: {product_id: P1, device_name: d1, psk: '" + testKey + "'}",
			func() cloudtest.Platform { return &cloudtest.TencentDevice{Product: "P1", Name: "d1", PSK: testKey} }, "P1d1"},
		{"huawei", "nt35e", "native", "huawei: {device_id: d1, secret: s3cr3t-of-d1, host: h.example}",
			func() cloudtest.Platform {
				return &cloudtest.HuaweiDevice{Host: "h.example", ID: "d1", Secret: "s3cr3t-of-d1"}
			}, "d1_0_0_"},
		{"baidu", "air724ug", "native", "baidu: {core: c1, device_key: 'k-{imei}', device_secret: s3cr3t-of-k, region: gz}",
			func() cloudtest.Platform {
				return &cloudtest.BaiduDevice{Core: "c1", Region: "gz", Key: "k-864700000000017", Secret: "s3cr3t-of-k"}
			}, "k-864700000000017"},
		{"tuya", "ec600", "tcp", "tls: {ca_file: CA}, tuya: {device_id: d1, device_secret: s3cr3t-of-d1}",
			func() cloudtest.Platform { return &cloudtest.TuyaDevice{ID: "d1", Secret: "s3cr3t-of-d1"} }, "tuyalink_d1"},
		{"azure", "ec600", "native", "tls: {ca_file: CA}, azure: {hub: h1, device_id: d1, key: '" + testKey + "'}",
			func() cloudtest.Platform { return &cloudtest.AzureDevice{Hub: "h1", ID: "d1", Key: testKey} }, "d1"},
	} {
		t.Run(v.name+" "+v.model+" "+v.path, func(t *testing.T) {
			t.Parallel()
			up, down, to, from := "site7/sensors/#", "site7/commands/#", "site7/sensors/a", "site7/commands/lamp"
			if strings.HasPrefix(v.name, "aliyun") {
				up, down, to, from = "/a1pk/lamp7/user/#", "/a1pk/lamp7/user/#", "/a1pk/lamp7/user/a", "/a1pk/lamp7/user/get"
				down, from = "/sys/a1pk/lamp7/thing/#", "/sys/a1pk/lamp7/thing/x"
			}
			var fault []string
			if strings.Contains(v.cloud, "{imei}") {
				fault = append(fault, "imei=864700000000017")
			}
			if strings.HasSuffix(v.name, "without aliauth") {
				fault = append(fault, "no-lcfg=aliauth")
			}
			r, c := platformRig(t, modemsim.Config{Model: v.model, Baud: 460800, Faults: fault}, v.fake(), v.cloud, up, down)
			r.take(v.path)
			r.start()
			r.online()
			r.bothWays(c, to, from)
			logins := c.Logins()
			if len(logins) != 1 || !strings.HasPrefix(logins[0].ClientID, v.clientID) {
				t.Errorf("%+v", logins)
			}
			r.stop()
			r.silent("s3cr3t", testKey, "YWMt")
			for _, l := range logins { // what was computed is as good as the secret, for a while
				_, sign, _ := strings.Cut(l.Password, "&sig") // of a token that names what it is for
				r.silent(cmp.Or(sign, l.Password))
			}
		})
	}
}

// A wrong secret is told with the key to look at.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	p := &cloudtest.AliyunProduct{Key: "a1pk"}
	p.Device("lamp7", "s3cr3t")
	r, _ := platformRig(t, modemsim.Config{Model: "ec600", Baud: 460800}, p, "aliyun: {product_key: a1pk, device_name: lamp7, device_secret: wr0ng}", "/a1pk/lamp7/user/#", "/a1pk/lamp7/user/#")
	r.change("#\", to: \"commands/#", "get/#\", to: \"commands/#")
	r.start()
	eventually(t, "the refusal", 30*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.State == bridge.BackingOff && strings.HasSuffix(s.Reason, "check cloud.aliyun.device_secret, product_key and device_name")
	})
	r.stop()
	r.silent("wr0ng")
}

// registrar is a platform that hands out identities.
type registrar interface {
	cloudtest.Platform
	Registrations() int
}

// At its first start the daemon registers the device, over the modem; after that never again, and without the product's
// secret.
func TestRegisterAtFirstStart(t *testing.T) {
	const secret = "product_secret: pr0duct-s3cr3t-xyz, "
	aliyun := func(instance string, list bool) func() registrar {
		return func() registrar {
			p := &cloudtest.AliyunProduct{Key: "a1pk", Secret: "pr0duct-s3cr3t-xyz", Register: true, Instance: instance}
			if list {
				p.Device("lamp7", "")
			}
			return p
		}
	}
	tencent := func() registrar {
		p := &cloudtest.TencentProduct{ID: "a1pk", Secret: "pr0duct-s3cr3t-xyz", Register: true}
		p.Device("lamp7")
		return p
	}
	for name, v := range map[string]struct {
		cloud, password string
		fake            func() registrar
	}{
		"HTTPS":           {"aliyun: {product_key: a1pk, device_name: lamp7, " + secret + "register: preregistered}", "device_secret", aliyun("", true)},
		"MQTT":            {"aliyun: {product_key: a1pk, device_name: lamp7, " + secret + "instance_id: iot-06z00x, register: preregistered}", "device_secret", aliyun("iot-06z00x", true)},
		"not on the list": {"aliyun: {product_key: a1pk, device_name: lamp7, " + secret + "register: unregistered}", "device_token", aliyun("", false)},
		"Tencent":         {"tencent: {product_id: a1pk, device_name: lamp7, " + secret + "register: dynamic}", "device_secret", tencent},
		"Tencent old":     {"tencent: {product_id: a1pk, device_name: lamp7, " + secret + "register: dynamic-old}", "device_secret", tencent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := v.fake()
			r, c := platformRig(t, modemsim.Config{Model: "ec600", Baud: 460800}, p, "tls: {ca_file: CA}, "+v.cloud, "/a1pk/lamp7/user/#", "/sys/a1pk/lamp7/thing/#")
			r.take("tcp")
			for range 2 {
				r.start()
				r.online()
				r.bothWays(c, "/a1pk/lamp7/user/a", "/sys/a1pk/lamp7/thing/x")
				r.stop()
				config := readFile(t, r.file)
				write(t, r.file, strings.Replace(config, secret, "", 1), 0o600)
			}
			if n := p.Registrations(); n != 1 {
				t.Errorf("registered %d times", n)
			}
			stored := readFile(t, filepath.Join(r.dir, "queue", "identity-a1pk.lamp7.json"))
			given := strings.Split(stored[strings.Index(stored, v.password):], `"`)[2]
			if len(given) < 20 {
				t.Errorf("the secret is %q", given)
			}
			r.silent("s3cr3t", given)
			code, stdout, stderr := call("provision", "--config", r.file)
			if code != 0 || !strings.Contains(stdout, "lamp7 of product a1pk is registered") {
				t.Errorf("exit %d, %s%s", code, stdout, stderr)
			}
		})
	}
}

// By hand: what is refused has exit code 1 and names the key; what is granted is stored.
func TestProvision(t *testing.T) {
	t.Parallel()
	p := &cloudtest.AliyunProduct{Key: "a1pk", Secret: "pr0duct-s3cr3t", Register: true}
	p.Device("lamp7", "")
	r, _ := platformRig(t, modemsim.Config{Model: "air724ug", Baud: 460800}, p,
		"tls: {ca_file: CA}, aliyun: {product_key: a1pk, device_name: lamp7, product_secret: wr0ng, register: preregistered}", "/a1pk/lamp7/user/#", "/sys/a1pk/lamp7/thing/#")
	code, stdout, stderr := shell(t, "provision", "--config", r.file)
	if code != exitRefused || stdout != "" || !strings.Contains(stderr, "check cloud.aliyun.product_secret") || strings.Contains(stderr, "wr0ng") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	r.change("wr0ng", "pr0duct-s3cr3t")
	for range 2 {
		code, stdout, stderr = shell(t, "provision", "--config", r.file)
		if code != 0 || !strings.HasPrefix(stdout, "lamp7 of product a1pk is registered (") || strings.Contains(stderr, "s3cr3t") {
			t.Errorf("exit %d, %s%s", code, stdout, stderr)
		}
	}
	if n := p.Registrations(); n != 1 {
		t.Errorf("registered %d times", n)
	}
	files, err := os.ReadDir(filepath.Join(r.dir, "queue"))
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	code, stdout, _ = shell(t, "credentials", "--json", "--show-secrets", "--config", r.file)
	if code != 0 || !strings.Contains(stdout, `"password":"`) {
		t.Errorf("exit %d, %s", code, stdout)
	}
}

// A token that ends while messages flow: a new session takes over in time, nothing is lost and nothing comes twice.
func TestTokenIsRenewed(t *testing.T) {
	t.Parallel()
	app := &cloudtest.EasemobApp{ID: "aitbj0", ClientID: "cid", ClientSecret: "s3cr3t", Life: 8 * time.Second}
	r, c := platformRig(t, modemsim.Config{Model: "ec600", Baud: 460800}, app,
		"tls: {ca_file: CA}, transport: tcp, easemob: {app_id: aitbj0, device_id: d, client_id: cid, client_secret: s3cr3t}", "site7/#", "x/#")
	r.start()
	r.online()
	atCloud := newTally()
	c.Watch(func(m cloudtest.Message) { atCloud.got(m.Topic, m.Payload) })
	house := mustClient(t, r.local(), "sensor")
	sent := 0
	eventually(t, "three sessions", 90*time.Second, func() bool {
		publish(t, house, "sensors/a", sent)
		sent++
		return len(c.Logins()) >= 3
	})
	eventually(t, "all messages", 30*time.Second, func() bool { return atCloud.distinct() == sent })
	if atCloud.mu.Lock(); len(atCloud.order) != sent {
		t.Errorf("%d messages arrived of %d", len(atCloud.order), sent)
	}
	atCloud.mu.Unlock()
	for _, why := range c.Refusals() {
		t.Error(why)
	}
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "not online") {
			t.Errorf("the sessions did not follow one another: %s", line)
		}
	}
	r.stop()
	r.silent("s3cr3t", "YWMt")
}

// Two daemons with one identity end each other's sessions; both say so, and neither insists at full speed.
func TestTwoWithOneIdentity(t *testing.T) {
	t.Parallel()
	p := &cloudtest.AliyunProduct{Key: "a1pk"}
	p.Device("lamp7", "s3cr3t")
	text := "aliyun: {product_key: a1pk, device_name: lamp7, device_secret: s3cr3t}"
	r, c := platformRig(t, modemsim.Config{Model: "ec600", Baud: 460800}, p, text, "/a1pk/lamp7/user/#", "/sys/a1pk/lamp7/thing/#")
	other := &rig{t: t, dir: t.TempDir(), log: new(syncBuffer)}
	other.attach(modemsim.Config{Model: "air724ug", Baud: 460800}, c, text, "/a1pk/lamp7/user/#", "/sys/a1pk/lamp7/thing/#")
	other.take("tcp")
	began := time.Now()
	r.start()
	other.start()
	const says = "somebody else seems to use this identity (client id a1pk.lamp7|"
	eventually(t, "both to notice", 90*time.Second, func() bool {
		return strings.Contains(r.log.String(), says) && strings.Contains(other.log.String(), says)
	})
	if n, most := len(c.Logins()), 6+int(time.Since(began)/time.Second); n > most {
		t.Errorf("%d logins in %v", n, time.Since(began))
	}
	eventually(t, "the status to say so", 30*time.Second, func() bool {
		a, errA := r.status()
		b, errB := other.status()
		return errA == nil && errB == nil && (strings.Contains(a.Reason, says) || strings.Contains(b.Reason, says))
	})
	r.stop()
	other.stop()
	r.silent("s3cr3t")
	other.silent("s3cr3t")
}

// Ten devices with one image and one product's secret: ten registrations, ten identities, and after a restart none.
func TestTenDevices(t *testing.T) {
	t.Parallel()
	const devices = 10
	p := &cloudtest.AliyunProduct{Key: "a1pk", Secret: "pr0duct-s3cr3t", Register: true}
	dir := t.TempDir()
	c, err := cloudtest.Start(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var rigs []*rig
	for n := range devices {
		r := &rig{t: t, dir: t.TempDir(), log: new(syncBuffer)}
		imei := fmt.Sprintf("8647000000000%02d", n)
		p.Device("d-"+imei, "")
		r.attach(modemsim.Config{Model: "ec600", Baud: 460800, Faults: []string{"imei=" + imei}}, c,
			"tls: {ca_file: CA}, aliyun: {product_key: a1pk, device_name: 'd-{imei}', product_secret: pr0duct-s3cr3t, register: preregistered}",
			"/a1pk/d-{imei}/user/#", "/sys/a1pk/d-{imei}/thing/#")
		r.take("tcp")
		rigs = append(rigs, r)
	}
	for range 2 {
		var all sync.WaitGroup
		for _, r := range rigs {
			r.start()
		}
		for _, r := range rigs {
			r.online()
		}
		eventually(t, "ten sessions", 20*time.Second, func() bool { return c.Online() == devices })
		for _, r := range rigs {
			all.Go(r.stop)
		}
		all.Wait()
		if n := p.Registrations(); n != devices {
			t.Errorf("%d registrations", n)
		}
	}
	for n, r := range rigs {
		stored := readFile(t, filepath.Join(r.dir, "queue", fmt.Sprintf("identity-a1pk.d-8647000000000%02d.json", n)))
		_, secret, _ := strings.Cut(stored, `"device_secret": "`)
		if secret, _, _ = strings.Cut(secret, `"`); len(secret) < 20 {
			t.Errorf("the secret is %q", secret)
		}
		r.silent("s3cr3t", secret)
	}
	names := map[string]bool{}
	for _, l := range c.Logins() {
		names[l.Device] = true
	}
	if len(names) != devices || c.Kicked() != 0 {
		t.Errorf("%d identities, %d kicked", len(names), c.Kicked())
	}
}
