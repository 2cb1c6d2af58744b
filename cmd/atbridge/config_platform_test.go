package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Each platform's section is accepted with the least that it needs.
func TestPlatforms(t *testing.T) {
	for name, section := range map[string]string{
		"aliyun":  "product_key: a, device_name: '{imei}', device_secret: s",
		"easemob": "app_id: a, device_id: d, client_id: c, client_secret: s",
		"onenet":  "product_id: p, device_name: d, key: aHVudGVyMg==",
		"tencent": "product_id: p, device_name: d, psk: aHVudGVyMg==",
		"huawei":  "device_id: d, secret: s, host: h",
		"baidu":   "core: c, device_key: k, device_secret: s, region: gz",
		"tuya":    "device_id: d, device_secret: s",
		"azure":   "hub: h, device_id: d, key: aHVudGVyMg==",
	} {
		c, err := parse("modem: {port: /dev/ttyUSB2}\ncloud: {" + name + ": {" + section + "}}")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.HasPrefix(c.summary(), "auto on /dev/ttyUSB2 -> "+name+",") {
			t.Errorf("%s: summary %s", name, c.summary())
		}
	}
	if len(platforms) != 8 {
		t.Errorf("%d platforms, and 8 are tried", len(platforms))
	}
}

// What a platform would refuse is refused by check, with its line, before a byte is sent.
func TestPlatformsRefuse(t *testing.T) {
	const (
		aliyun  = "aliyun: {product_key: a, device_name: b, device_secret: hunter2}"
		easemob = "easemob: {app_id: a, device_id: d, client_id: c, client_secret: hunter2}"
		onenet  = "onenet: {product_id: p, device_name: d, key: aHVudGVyMg==}"
		tencent = "tencent: {product_id: p, device_name: d, psk: aHVudGVyMg==}"
		huawei  = "huawei: {device_id: d, secret: hunter2, host: h}"
		baidu   = "baidu: {core: c, device_key: k, device_secret: hunter2, region: gz}"
	)
	for text, want := range map[string]string{
		"keepalive: 29s, " + aliyun:        "cloud.keepalive: 29s is refused by Aliyun; use 30s to 20m",
		"keepalive: 1201s, " + aliyun:      "cloud.keepalive: 20m1s is refused by Aliyun; use 30s to 20m",
		"keepalive: 0s, " + aliyun:         "cloud.keepalive: 0s is refused by Aliyun; use 30s to 20m",
		"keepalive: 181s, " + easemob:      "cloud.keepalive: 3m1s is refused by Easemob; use 1s to 3m",
		"keepalive: 9s, " + onenet:         "cloud.keepalive: 9s is refused by OneNET; use 10s to 30m",
		"keepalive: 1801s, " + onenet:      "cloud.keepalive: 30m1s is refused by OneNET; use 10s to 30m",
		"keepalive: 901s, " + tencent:      "cloud.keepalive: 15m1s is refused by Tencent; use 0s to 15m",
		"keepalive: 29s, " + huawei:        "cloud.keepalive: 29s is refused by Huawei; use 30s to 20m",
		"keepalive: 1201s, " + baidu:       "cloud.keepalive: 20m1s is refused by Baidu; use 30s to 20m",
		"transport: tls, broker: mqtt://b": "cloud.transport: is for platforms; a broker's URL begins with mqtt:// or mqtts://",
		"aliyun: {product_key: a, device_name: b, device_secret: hunter2, client_id: 'a|b'}":                                     `cloud.aliyun.client_id: the client id "a|b" holds |, which ends it; set another one`,
		"aliyun: {product_key: a, device_name: b, device_secret: hunter2, client_id: " + strings.Repeat("c", 65) + "}":           `cloud.aliyun.client_id: the client id "` + strings.Repeat("c", 65) + `" has 65 characters, and Aliyun takes 64; set a shorter one`,
		"aliyun: {product_key: a, device_name: b, product_secret: hunter2, register: preregistered, region: '', instance_id: i}": "cloud.aliyun.region: is empty; use a region such as cn-shanghai, or name instance_id",
		"easemob: {app_id: a, device_id: 'd.1', client_id: c, client_secret: hunter2}":                                           `cloud.easemob.device_id: the client id "d.1@a" is none for Easemob, which takes up to 64 letters, digits and -_@`,
		"easemob: {app_id: a, device_id: d, client_id: c, client_secret: hunter2, api_url: 'ftp://x'}":                           "cloud.easemob.api_url: is no address; the console shows it, such as https://api.cn1.mqtt.chat/app/a",
		"easemob: {app_id: a, device_id: d, client_id: c, client_secret: hunter2, api_url: 'http://x/app'}":                      "cloud.easemob.api_url: sends client_secret readable to everyone on the way; use https",
		"easemob: {app_id: a, device_id: d, client_id: c}":                                                                       "cloud.easemob.client_secret: is missing; the platform's console shows it",
		"client_id: 'a.b', " + baidu: `cloud.client_id: the client id "a.b" is none for Baidu, which takes up to 128 letters, digits and _-`,
		"baidu: {core: c, device_key: k:1, device_secret: hunter2, region: gz}":                `cloud.baidu.device_key: the client id "k:1" is none for Baidu, which takes up to 128 letters, digits and _-`,
		"transport: tcp, tuya: {device_id: d, device_secret: s}":                               "cloud.transport: tcp is not possible: the platform takes TLS only",
		"azure: {hub: h, device_id: d, key: '!'}":                                              "cloud.azure.key: is not base64; copy it whole, with the = at its end",
		"tencent: {product_id: p, device_name: d}":                                             "cloud.tencent.psk: is missing; the platform's console shows it",
		"tencent: {product_id: p, device_name: d, register: dynamic}":                          "cloud.tencent.product_secret: is missing; the platform's console shows it",
		"tencent: {product_id: p, device_name: d, register: dynamic, product_secret: hunter2}": "cloud.tencent.product_secret: is too short: Tencent's have 16 characters or more; copy it whole",
		"tencent: {product_id: p, device_name: d, psk: aHVudGVyMg==, connection_id: abc}":      "cloud.tencent.connection_id: abc is not five letters or digits; leave it empty for any",
	} {
		_, err := parse("modem: {port: /dev/ttyUSB2}\ncloud: {" + text + "}")
		if err == nil || err.Error() != "c.yaml:2: "+want {
			t.Errorf("%s\ngot  %v\nwant c.yaml:2: %s", text, err, want)
		}
	}
	many := ""
	for n := range 101 {
		many += fmt.Sprintf("{from: 'd/%d', to: x},", n)
	}
	up := func(to string) string { return "{up: [{from: a, to: '" + to + "'}]}" }
	for _, v := range []struct{ cloud, routes, want string }{
		{aliyun, "{up: [{from: a, to: /a/b/user/update, qos: 2}]}", "routes.up[0].qos: 2 is out of range; use 0 to 1"},
		{aliyun, "{down: [{from: /a/b/user/get, to: b, qos: 2}]}", "routes.down[0].qos: 2 is out of range; use 0 to 1"},
		{aliyun, "{down: [{from: /a/c/user/get, to: b}]}", "routes.down[0].from: /a/c/user/get is none of this device's topics, which begin with /a/b/ or /sys/a/b/, and Aliyun refuses to subscribe to another"},
		{aliyun, "{down: [{from: '#', to: 'b/#'}]}", "routes.down[0].from: # is none of this device's topics, which begin with /a/b/ or /sys/a/b/, and Aliyun refuses to subscribe to another"},
		{easemob, up(strings.Repeat("t", 65)), `routes.up[0].to: "` + strings.Repeat("t", 65) + `" has 65 characters, and Easemob takes topics of 64`},
		{easemob, "{down: [{from: " + strings.Repeat("t", 65) + ", to: b}]}", `routes.down[0].from: "` + strings.Repeat("t", 65) + `" has 65 characters, and Easemob takes topics of 64`},
		{easemob, up("site.7/a"), `routes.up[0].to: "site.7/a" is no topic for Easemob, which takes letters, digits, / and -_$+#@, and $ at the beginning only`},
		{easemob, up("site$7/a"), `routes.up[0].to: "site$7/a" is no topic for Easemob, which takes letters, digits, / and -_$+#@, and $ at the beginning only`},
		{tencent, up(strings.Repeat("t", 256)), `routes.up[0].to: "` + strings.Repeat("t", 256) + `" has 256 characters, and Tencent takes topics of 255`},
		{tencent, up("1/2/3/4/5/6/7/8/9/10/11"), `routes.up[0].to: "1/2/3/4/5/6/7/8/9/10/11" has 11 levels, and Tencent takes topics of 10`},
		{huawei, "{down: [" + many + "]}", "routes.down: are 101 subscriptions, and Huawei takes 100; join some with + or #"},
		{baidu, "{down: [" + many + "]}", "routes.down: are 101 subscriptions, and Baidu takes 100; join some with + or #"},
	} {
		_, err := parse("path: {mode: host}\ncloud: {" + v.cloud + "}\nroutes: " + v.routes)
		if err == nil || err.Error() != "c.yaml:3: "+v.want {
			t.Errorf("%v\nwant c.yaml:3: %s", err, v.want)
		}
	}
}

// Names that are filled in on the device are checked there.
func TestPlatformsRefuseFilledNames(t *testing.T) {
	long := map[string]string{"hostname": strings.Repeat("h", 130)}
	for text, want := range map[string]string{
		"easemob: {app_id: a, device_id: '{hostname}', client_id: c, client_secret: s}":                "is none for Easemob, which takes up to 64 letters, digits and -_@",
		"client_id: '{hostname}', baidu: {core: c, device_key: k, device_secret: hunter2, region: gz}": "is none for Baidu, which takes up to 128 letters, digits and _-",
		"aliyun: {product_key: a, device_name: '{hostname}', device_secret: s}":                        "has 132 characters, and Aliyun takes 64",
	} {
		c, err := parse("path: {mode: host}\ncloud: {" + text + "}")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.params(long, time.Now()); exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// What is allowed but will not work as it stands is a warning.
func TestPlatformsWarn(t *testing.T) {
	for text, want := range map[string]string{
		"cloud: {client_id: x, aliyun: {product_key: a, device_name: b, device_secret: s}}":                                             "cloud.client_id: is not used; Aliyun is told what cloud.aliyun says",
		"cloud: {aliyun: {product_key: a, device_name: b, device_secret: s}}\nroutes: {up: [{from: a, to: site7/a}]}":                   "routes.up[0].to: site7/a is none of this device's topics, which begin with /a/b/ or /sys/a/b/; Aliyun will not pass it",
		"cloud: {aliyun: {product_key: a, device_name: 'b-{hostname}', device_secret: s}}\nroutes: {down: [{from: /a/b-7/get, to: x}]}": "routes.down[0].from: /a/b-7/get is none of this device's topics, which begin with /a/b-{hostname}/ or /sys/a/b-{hostname}/; Aliyun will refuse it",
		"cloud: {onenet: {product_id: p, device_name: d, key: aHVudGVyMg==, expires: 1537255523}}":                                      "cloud.onenet.expires: 2018-09-18T07:25:23Z is past, so the platform will refuse the login; remove it for a day from now",
	} {
		c, err := parse("path: {mode: host}\n" + text)
		if err != nil || len(c.Warnings) == 0 || c.Warnings[0] != want {
			t.Errorf("%s\n%v\nwant %s", text, c.Warnings, want)
		}
	}
}

// A file that a command does not need is not looked for, and its secrets are left alone: send works for a user who
// may not read the broker's password.
func TestNeeds(t *testing.T) {
	text := "modem: {port: /dev/ttyUSB2}\ncloud: {broker: mqtt://b, username: u, password_file: /no/such}\nlocal: {username: u, password_file: /no/such}"
	for n, problems := range map[need]int{needFile | needPort: 0, needFile | needPath | needCloud: 1, needAll: 2} {
		_, err := parseConfig(source{file: "c.yaml", data: []byte(text), getenv: env(), need: n})
		got := 0
		if err != nil {
			got = len(err.(configErrors))
		}
		if got != problems {
			t.Errorf("need %b: %d problems, want %d: %v", n, got, problems, err)
		}
	}
	_, err := parseConfig(source{getenv: env(), need: needPort})
	if want := "modem: no serial port is named; give --port DEVICE, set ATBRIDGE_PORT or write modem: {port: /dev/ttyUSB2}"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The examples are sound as they stand.
func TestExampleFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/examples/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text := strings.ReplaceAll(readFile(t, file), "aliyun-root.pem", "/dev/null")
		c, err := parseConfig(source{file: filepath.Base(file), data: []byte(text), getenv: anySecret, need: needAll})
		if err != nil {
			t.Error(err)
			continue
		}
		if len(c.Warnings) > 0 {
			t.Errorf("%s: %v", file, c.Warnings)
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); name != "mosquitto" && !strings.HasPrefix(name, c.Platform()) {
			t.Errorf("%s is of platform %q", file, c.Platform())
		}
		readme := readFile(t, "../../README.md")
		if !strings.Contains(readme, filepath.Base(file)) {
			t.Errorf("the README does not name %s", file)
		}
	}
}

// anySecret is an environment in which every secret is set.
func anySecret(name string) (string, bool) {
	return "aHVudGVyMmh1bnRlcjI=", name != "CREDENTIALS_DIRECTORY"
}

// A placeholder stands in any name of any platform, and is filled there.
func TestEveryNameIsFilled(t *testing.T) {
	vals := map[string]string{"imei": "864", "iccid": "8986", "serial": "0001", "hostname": "host"}
	const names = "{imei}-{iccid}-{serial}-{hostname}"
	for _, p := range platforms {
		c := &Config{Cloud: Cloud{ClientID: names}}
		section := reflect.ValueOf(&c.Cloud).Elem().FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, p.name) })
		section.Set(reflect.New(section.Type().Elem()))
		fields := 0
		for i := range section.Elem().NumField() {
			if f := section.Elem().Field(i); f.Kind() == reflect.String && f.Type() != secretType {
				f.SetString(names)
				fields++
			}
		}
		got, err := c.platform(vals)
		text := fmt.Sprintf("%+v", got)
		if c.Cloud.Easemob != nil {
			tokens, errTokens := c.tokenSource(vals, nil)
			err = errors.Join(err, errTokens)
			text += fmt.Sprintf("%+v", tokens)
		}
		if want := "864-8986-0001-host"; err != nil || fields == 0 || strings.Contains(text, "{imei}") || !strings.Contains(text, want) {
			t.Errorf("%s: %s, %v", p.name, text, err)
		}
	}
}
