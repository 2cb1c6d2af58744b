package main

import (
	"strings"
	"testing"
)

// Each platform's section is accepted with the least that it needs, and run says that its connection is yet to come.
func TestPlatforms(t *testing.T) {
	for name, section := range map[string]string{
		"aliyun":  "product_key: a, device_name: '{imei}', device_secret: s",
		"easemob": "host: h, app_id: a, device_id: d",
		"onenet":  "product_id: p, device_name: d, key: aHVudGVyMg==",
		"tencent": "product_id: p, device_name: d, psk: aHVudGVyMg==",
		"huawei":  "device_id: d, secret: s, host: h",
		"baidu":   "core: c, device_key: k, device_secret: s, region: gz",
	} {
		c, err := parse("modem: {port: /dev/ttyUSB2}\ncloud: {" + name + ": {" + section + "}}")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.HasPrefix(c.summary(), "auto on /dev/ttyUSB2 -> "+name+",") {
			t.Errorf("%s: summary %s", name, c.summary())
		}
		err = c.NotBuilt()
		if want := "cloud." + name + ": the connection to this platform is not built yet; name a broker instead (cloud.broker)"; err == nil || err.Error() != want || exitCode(err) != exitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(platforms) != 6 {
		t.Errorf("%d platforms, and 6 are tried", len(platforms))
	}
}

func TestNotBuilt(t *testing.T) {
	for text, want := range map[string]string{
		"modem: {port: /x}\ncloud: {broker: mqtt://b}":                    "",
		"path: {mode: host}\ncloud: {broker: mqtts://b}":                  "",
		"modem: {port: /x}\ncloud: {broker: mqtts://b}":                   "",
		"modem: {port: /x}\npath: {mode: tcp}\ncloud: {broker: mqtt://b}": "",
		"modem: {port: /x, reset: dtr}\ncloud: {broker: mqtt://b}":        "modem.reset: dtr is not built yet; use none",
		"path: {mode: host}\ncloud: {broker: wss://b}":                    "",

		"path: {mode: host}\ncloud: {broker: mqtt://b}\nlocal: {broker: mqtt://127.0.0.1}":  "",
		"path: {mode: host}\ncloud: {broker: mqtt://b}\nlocal: {websocket: 127.0.0.1:8083}": "",
	} {
		c, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := c.NotBuilt(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\n%q, want %q", text, got, want)
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
