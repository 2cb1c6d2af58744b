package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
	"github.com/atbridge/atbridge/modems/modemsim"
)

const wrongKey = "d3IwbmctcHNrLXdyMG5nLXBzay13cjBuZy1wc2std3I="

// A person who has typed a wrong secret is told by pub and by doctor which key of the configuration to look at, and by neither
// what the secret is.
func TestWrongSecretByHand(t *testing.T) {
	for _, v := range []struct {
		name, model, path, cloud string
		fake                     func() cloudtest.Platform
		check                    string
	}{
		{"aliyun", "ec600", "native", "aliyun: {product_key: a1pk, device_name: lamp7, device_secret: wr0ng}", func() cloudtest.Platform {
			p := &cloudtest.AliyunProduct{Key: "a1pk"}
			p.Device("lamp7", "s3cr3t-of-lamp7")
			return p
		}, "check cloud.aliyun.device_secret, product_key and device_name"},
		{"easemob", "air724ug", "tcp", "tls: {ca_file: CA}, easemob: {app_id: aitbj0, device_id: d, client_id: cid, client_secret: wr0ng}", func() cloudtest.Platform {
			return &cloudtest.EasemobApp{ID: "aitbj0", ClientID: "cid", ClientSecret: "s3cr3t-of-app"}
		}, "check cloud.easemob.client_id and client_secret"},
		{"easemob by token", "ec600", "tcp", "password: wr0ng, transport: tcp, easemob: {app_id: aitbj0, device_id: d}", func() cloudtest.Platform {
			return &cloudtest.EasemobApp{ID: "aitbj0", ClientID: "cid", ClientSecret: "s3cr3t-of-app"}
		}, "check cloud.password, and cloud.easemob.username and device_id"},
		{"onenet", "nt35e", "native", "onenet: {product_id: p1, device_name: d1, key: '" + wrongKey + "'}", func() cloudtest.Platform {
			return &cloudtest.OneNETDevice{Product: "p1", Name: "d1", Key: testKey}
		}, "check cloud.onenet.key"},
		{"tencent", "ec600", "tcp", "tencent: {product_id: P1, device_name: d1, psk: '" + wrongKey + "'}", func() cloudtest.Platform {
			return &cloudtest.TencentDevice{Product: "P1", Name: "d1", PSK: testKey}
		}, "check cloud.tencent.psk"},
		{"huawei", "air724ug", "native", "huawei: {device_id: d1, secret: wr0ng, host: h.example}", func() cloudtest.Platform {
			return &cloudtest.HuaweiDevice{Host: "h.example", ID: "d1", Secret: "s3cr3t-of-d1"}
		}, "check cloud.huawei.secret"},
		{"baidu", "ec600", "native", "baidu: {core: c1, device_key: k1, device_secret: wr0ng, region: gz}", func() cloudtest.Platform {
			return &cloudtest.BaiduDevice{Core: "c1", Region: "gz", Key: "k1", Secret: "s3cr3t-of-k1"}
		}, "check cloud.baidu.device_secret"},
		{"tuya", "ec600", "native", "tls: {ca_file: CA}, tuya: {device_id: d1, device_secret: wr0ng}", func() cloudtest.Platform {
			return &cloudtest.TuyaDevice{ID: "d1", Secret: "s3cr3t-of-d1"}
		}, "check cloud.tuya.device_secret and device_id"},
		{"azure", "air724ug", "tcp", "tls: {ca_file: CA}, azure: {hub: h1, device_id: d1, key: '" + wrongKey + "'}", func() cloudtest.Platform {
			return &cloudtest.AzureDevice{Hub: "h1", ID: "d1", Key: testKey}
		}, "check cloud.azure.key, hub and device_id"},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			r, _ := platformRig(t, modemsim.Config{Model: v.model, Baud: 460800}, v.fake(), v.cloud, "x/#", "y/#")
			if v.name == "aliyun" { // which takes no other topics
				r.change(`"x/#"`, `"/a1pk/lamp7/user/#"`)
				r.change(`"y/#"`, `"/a1pk/lamp7/user/#"`)
				r.change("commands/#", "get/#")
			}
			r.take(v.path)
			bundle := filepath.Join(r.dir, "report.txt")
			for _, args := range [][]string{{"pub", "x/a", "-m", "1", "-q", "1"}, {"doctor", "--bundle", bundle}} {
				code, stdout, stderr := shell(t, append(args, "--config", r.file, "--wire")...)
				if code != exitRefused || !strings.Contains(stderr, v.check) {
					t.Errorf("%s: exit %d\n%s%s", args[0], code, stdout, stderr)
				}
				shows(t, args[0], stdout+stderr)
			}
			report := readFile(t, bundle)
			shows(t, "the bundle", report)
			if !strings.Contains(report, "== wire ==\n-> AT") {
				t.Errorf("the bundle:\n%s", report)
			}
		})
	}
}

// shows fails for a text that shows a secret of these tests.
func shows(t *testing.T, what, text string) {
	t.Helper()
	if at := regexp.MustCompile("wr0ng|s3cr3t|YWMt|" + regexp.QuoteMeta(testKey) + "|" + wrongKey).FindStringIndex(text); at != nil {
		t.Errorf("%s shows a secret: ...%s", what, text[max(0, at[0]-200):min(len(text), at[1]+40)])
	}
}

// A module without sockets offers no way to where the tokens are: this machine's own network is taken, and the log says so.
func TestTokensBypassTheModule(t *testing.T) {
	t.Parallel()
	r, c := platformRig(t, modemsim.Config{Model: "nt35e", Baud: 460800}, &cloudtest.EasemobApp{ID: "aitbj0", ClientID: "cid", ClientSecret: "s3cr3t-of-app"},
		"tls: {ca_file: CA}, transport: tcp, easemob: {app_id: aitbj0, device_id: d, client_id: cid, client_secret: s3cr3t-of-app, api_url: 'https://HERE/app/aitbj0'}", "site7/#", "x/#")
	r.change("HERE", c.HTTPS)
	r.start()
	r.online()
	r.bothWays(c, "site7/a", "x/b")
	if says := "Easemob is asked for its tokens over this machine's own network: the module has no sockets"; !strings.Contains(r.log.String(), says) {
		t.Error("the log does not say over which network")
	}
	r.stop()
	shows(t, "the log", r.log.String())
}

// What a platform does not take never reaches it, where it would end the session: from the queue it is set aside, and a person
// is told, beside the daemon and without it.
func TestPlatformIsNotSentWhatItRefuses(t *testing.T) {
	t.Parallel()
	r, c := platformRig(t, modemsim.Config{Model: "ec600", Baud: 460800}, &cloudtest.TencentDevice{Product: "P1", Name: "d1", PSK: testKey},
		"tencent: {product_id: P1, device_name: d1, psk: '"+testKey+"'}", "P1/d1/#", "P1/d1/control")
	r.change("commands/#", "commands")
	r.take("tcp")
	r.start()
	r.online()
	house := mustClient(t, r.local(), "sensor")
	if token := house.Publish("sensors/large", 1, false, make([]byte, 16<<10+1)); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	eventually(t, "it to be set aside", 20*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Queue.Poisoned == 1
	})
	refused := func() {
		code, _, stderr := shell(t, "pub", "P1/d1/data", "-m", "on", "-r", "-q", "1", "--config", r.file)
		if code != exitNotDelivered || !strings.Contains(stderr, "Tencent keeps no messages for later subscribers; leave retain out") {
			t.Errorf("exit %d, %s", code, stderr)
		}
	}
	refused()
	if code, _, stderr := shell(t, "pub", "P1/d1/data", "-m", "on", "-q", "1", "--config", r.file); code != 0 {
		t.Errorf("exit %d, %s", code, stderr)
	}
	r.stop()
	refused()
	if c.Kicked() != 0 || len(c.Refusals()) > 0 {
		t.Errorf("%d kicked, %v", c.Kicked(), c.Refusals())
	}
}
