package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// parse reads a configuration for run, with nothing in the environment.
func parse(text string) (*Config, error) {
	return parseConfig(source{file: "c.yaml", data: []byte(text), getenv: env(), need: needAll})
}

// sound is what the bad cases add to: with their one line they must be wrong for that line alone.
const sound = `modem: {port: /dev/ttyUSB2}
cloud: {broker: mqtt://broker.example}
`

func TestBadConfig(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "two-lines")
	write(t, secret, "hunter2\nhunter3\n", 0o600)
	tests := []struct{ name, text, want string }{
		{"empty", "", "c.yaml: the file is empty; " + minimal},
		{"comment only", "# nothing\n", "c.yaml: the file is empty; " + minimal},
		{"null document", "---\n", "c.yaml: the file is empty; " + minimal},
		{"word", "hello", "c.yaml:1: is one value, wants keys such as modem, cloud, path, local, routes, queue, status, log"},
		{"list", "- a", "c.yaml:1: is a list, wants keys such as modem, cloud, path, local, routes, queue, status, log"},
		{"tab", "modem:\n\tport: x", "c.yaml:2: not YAML: found character that cannot start any token; mind the indentation (spaces, no tabs) and put special characters into quotes"},
		{"password like an alias", sound + "local: {username: u, password: *hunter2}", "c.yaml:3: not YAML: a value begins with *; mind the indentation (spaces, no tabs) and put special characters into quotes"},
		{"anchor", sound + "local: {username: &a u, password: b}", "c.yaml:3: local.username: anchors and aliases (& and *) are not supported; write the value out, in quotes if it begins so"},
		{"tag", sound + "log: {level: !hunter2 info}", "c.yaml:3: log.level: tags (!) are not supported; put a value that begins with ! into quotes"},
		{"second document", sound + "---\nlog: {level: debug}", "c.yaml:3: a second document begins here; a file holds one configuration, without ---"},
		{"unknown key, near", "modem:\n  prot: /dev/ttyUSB2\ncloud: {broker: mqtt://b}", "c.yaml:2: modem.prot: unknown key; did you mean port?"},
		{"unknown key, far", sound + "log: {colour: red}", "c.yaml:3: log.colour: unknown key; use level, format, wire"},
		{"key of another section", sound + "local: {window: 3}", "c.yaml:3: local.window: unknown key; did you mean path.window?"},
		{"unknown section", sound + "quque: {}", "c.yaml:3: quque: unknown key; did you mean queue?"},
		{"unknown key in a route", sound + "routes:\n  up:\n  - {from: a, to: b}\n  - {form: a, to: b}", "c.yaml:6: routes.up[1].form: unknown key; did you mean from?"},
		{"key that is no word", sound + "log: {[a]: b}", "c.yaml:3: a key must be one plain word; use level, format, wire"},
		{"twice", sound + "log: {level: info}\nlog: {level: debug}", "c.yaml:4: log: stands here again; the first is on line 3"},
		{"list for a value", sound + "log: {level: [info]}", "c.yaml:3: log.level: is a list, wants one value"},
		{"value for a section", sound + "log: debug", "c.yaml:3: log: is one value, wants keys such as level, format, wire"},
		{"value for a list", sound + "routes: {up: a}", "c.yaml:3: routes.up: is one value, wants a list"},
		{"yes", sound + "log: {wire: yes}", "c.yaml:3: log.wire: yes is neither true nor false"},
		{"level", sound + "log: {level: loud}", "c.yaml:3: log.level: loud is not known; use debug, info, warn, error"},
		{"format", sound + "log: {format: xml}", "c.yaml:3: log.format: xml is not known; use text, json"},

		{"no modem", "cloud: {broker: mqtt://b}", "c.yaml: modem: no modem is named; write modem: {port: /dev/ttyUSB2}, or path: {mode: host} for this machine's own network"},
		{"native without modem", "path: {mode: native}\ncloud: {broker: mqtt://b}", "c.yaml:1: path.mode: native goes through a modem; write modem: {port: /dev/ttyUSB2}, or use host"},
		{"port", modem("port: COM3"), "c.yaml:1: modem.port: COM3 is no port; use a device such as /dev/ttyUSB2, usb:2c7c:6002, usb:2c7c:0901:if02 or auto"},
		{"baud", modem("baud: 115201"), "c.yaml:1: modem.baud: 115201 is not a rate; use one of 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 2000000, 3000000"},
		{"octal baud", modem("baud: 0115200"), "c.yaml:1: modem.baud: 0115200 is not a rate; use one of 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 2000000, 3000000"},
		{"driver", modem("driver: ec60"), "c.yaml:1: modem.driver: ec60 is not known; use " + strings.Join(drivers(), ", ")},
		{"apn with a line break", modem(`apn: "cmnet\rATD"`), "c.yaml:1: modem.apn: holds a control character; a value is one line of text"},
		{"apn user without auth", modem("apn_user: u"), "c.yaml:1: modem.apn_user: is never sent while modem.apn_auth is none; use pap or chap"},
		{"auth without user", modem("apn_auth: pap"), "c.yaml:1: modem.apn_auth: pap needs modem.apn_user"},
		{"pin", modem("pin: hunter2"), "c.yaml:1: modem.pin: is not a PIN of 4 to 8 digits"},
		{"power", modem("power: dtr"), "c.yaml:1: modem.power: dtr is not known; use none, or the line of the power key, such as gpio:gpiochip0/18"},
		{"reset", modem("reset: gpio:17"), "c.yaml:1: modem.reset: gpio:17 is not known; use none, dtr, rts, a line such as gpio:gpiochip0/17, or a command such as exec:/usr/sbin/uhubctl -l 1-1 -a cycle"},
		{"octal resets", modem("max_resets_per_hour: 04"), "c.yaml:1: modem.max_resets_per_hour: 04 begins with 0, which YAML reads to the base 8; write 4"},
		{"resets", modem("max_resets_per_hour: many"), "c.yaml:1: modem.max_resets_per_hour: many is not a whole number"},
		{"too many resets", modem("max_resets_per_hour: 61"), "c.yaml:1: modem.max_resets_per_hour: 61 is out of range; use 0 to 60"},

		{"no cloud", "modem: {port: /dev/ttyUSB2}", `c.yaml: cloud.broker: is missing; write cloud: {broker: "mqtt://broker.example"}, or one platform: aliyun, easemob, onenet, tencent, huawei, baidu, tuya, azure`},
		{"no scheme", inCloud("broker: broker.example:1883"), "c.yaml:2: cloud.broker: broker.example:1883 is no broker; write mqtt://host, mqtts://host or with a port mqtt://host:1883"},
		{"http", inCloud("broker: http://b"), "c.yaml:2: cloud.broker: http://b is no broker; write mqtt://host, mqtts://host or with a port mqtt://host:1883"},
		{"no host", inCloud("broker: mqtt://:1883"), "c.yaml:2: cloud.broker: mqtt://:1883 is no broker; write mqtt://host or mqtt://host:port"},
		{"port 0", inCloud("broker: mqtt://b:0"), "c.yaml:2: cloud.broker: 0 is no port; use 1 to 65535"},
		{"port 65536", inCloud("broker: mqtt://b:65536"), "c.yaml:2: cloud.broker: 65536 is no port; use 1 to 65535"},
		{"path", inCloud("broker: mqtt://b/mqtt"), "c.yaml:2: cloud.broker: mqtt://b/mqtt names a path, which mqtt has not; write mqtt://b"},
		{"userinfo", inCloud("broker: mqtt://user:hunter2@b"), "c.yaml:2: cloud.broker: a user or a password does not belong into the URL; use cloud.username and cloud.password"},
		{"list in one word", inCloud(`broker: "mqtt://b,mqtt://c"`), `c.yaml:2: cloud.broker: several brokers are a list, such as ["mqtt://one.example", "mqtt://two.example"]`},
		{"host", inCloud(`broker: "mqtt://b c"`), `c.yaml:2: cloud.broker: "mqtt://b c" is no broker; write mqtt://host or mqtt://host:port`},
		{"second of a list", inCloud("broker: [mqtt://b, tcp://c]"), "c.yaml:2: cloud.broker[1]: tcp://c is no broker; write mqtt://host, mqtts://host or with a port mqtt://host:1883"},
		{"ws through a modem", inCloud("broker: ws://b"), "c.yaml:2: cloud.broker: ws works on path.mode host only; use mqtt or mqtts"},
		{"keepalive without unit", inCloud("broker: mqtt://b, keepalive: 120"), "c.yaml:2: cloud.keepalive: 120 has no unit; write 120s"},
		{"keepalive no duration", inCloud("broker: mqtt://b, keepalive: 2 minutes"), `c.yaml:2: cloud.keepalive: "2 minutes" is not a duration; write a number and its unit, such as 500ms, 120s or 24h`},
		{"keepalive too long", inCloud("broker: mqtt://b, keepalive: 18h12m16s"), "c.yaml:2: cloud.keepalive: 18h12m16s is too long; use 0s (never) to 18h12m15s"},
		{"keepalive negative", inCloud("broker: mqtt://b, keepalive: -1s"), "c.yaml:2: cloud.keepalive: -1s is negative; write 0s or more"},
		{"keepalive in fractions", inCloud("broker: mqtt://b, keepalive: 1500ms"), "c.yaml:2: cloud.keepalive: 1.5s is not in whole seconds"},
		{"password alone", inCloud("broker: mqtt://b, password: hunter2"), "c.yaml:2: cloud.password: needs cloud.username"},
		{"password twice", inCloud("broker: mqtt://b, username: u, password: hunter2, password_file: /x"), "c.yaml:2: cloud.password_file: cloud.password is given too; keep one of the two"},
		{"password file missing", inCloud("broker: mqtt://b, username: u, password_file: /no/such"), "c.yaml:2: cloud.password_file: cannot be read: open /no/such: no such file or directory"},
		{"password file of two lines", inCloud("broker: mqtt://b, username: u, password_file: " + secret), "c.yaml:2: cloud.password_file: " + secret + " holds more than one line of text"},
		{"variable not set", inCloud(`broker: mqtt://b, username: u, password: "a${NOPE}b"`), "c.yaml:2: cloud.password: the variable NOPE is not set; set it, or write $${NOPE} for the characters themselves"},
		{"variable not closed", inCloud(`broker: mqtt://b, username: u, password: "hunter2${"`), "c.yaml:2: cloud.password: ${ begins the name of a variable, as in ${NAME}; write $${ for the characters themselves"},
		{"placeholder", inCloud(`broker: mqtt://b, client_id: "site-{imsi}"`), "c.yaml:2: cloud.client_id: {imsi} is not known; use {imei}, {iccid}, {serial}, {hostname}"},
		{"imei without modem", "path: {mode: host}\ncloud: {broker: mqtt://b, client_id: \"{imei}\"}", "c.yaml:2: cloud.client_id: {imei} and {iccid} come from a modem, and none is configured; use {serial} or {hostname}"},
		{"tls without mqtts", inCloud("broker: mqtt://b, tls: {server_name: b}"), "c.yaml:2: cloud.tls: is of no use with mqtt://; write mqtts:// or remove it"},
		{"ca file missing", inCloud("broker: mqtts://b, tls: {ca_file: /no/such}"), "c.yaml:2: cloud.tls.ca_file: cannot be read: open /no/such: no such file or directory"},
		{"certificate without key", inCloud("broker: mqtts://b, tls: {cert_file: /dev/null}"), "c.yaml:2: cloud.tls: cert_file and key_file belong together; give both or none"},
		{"broker and platform", inCloud("broker: mqtt://b, huawei: {device_id: a, secret: hunter2, host: h}"), "c.yaml:2: cloud.huawei: stands beside cloud.broker; keep one of the two"},
		{"two platforms", inCloud("huawei: {device_id: a, secret: hunter2, host: h}, baidu: {core: c, device_key: k, device_secret: hunter2, region: gz}"), "c.yaml:2: cloud.baidu: stands beside cloud.huawei; keep one platform"},
		{"platform incomplete", inCloud("huawei: {device_id: a, host: h}"), "c.yaml:2: cloud.huawei.secret: is missing; the platform's console shows it"},
		{"aliyun keepalive", inCloud("keepalive: 20s, aliyun: {product_key: a, device_name: b, device_secret: hunter2}"), "c.yaml:2: cloud.keepalive: 20s is refused by Aliyun; use 30s to 20m"},
		{"aliyun to be registered", inCloud("aliyun: {product_key: a, device_name: b, register: unregistered}"), "c.yaml:2: cloud.aliyun.product_secret: is missing; the platform's console shows it"},
		{"aliyun timestamp", inCloud("aliyun: {product_key: a, device_name: b, device_secret: hunter2, timestamp: now}"), "c.yaml:2: cloud.aliyun.timestamp: now is no number of milliseconds; leave it empty if the platform has set none"},
		{"tencent psk", inCloud("tencent: {product_id: a, device_name: b, psk: hunter2}"), "c.yaml:2: cloud.tencent.psk: is not base64; copy it whole, with the = at its end"},
		{"onenet expires", inCloud("onenet: {product_id: a, device_name: b, key: aHVudGVyMg==, expires: -1}"), "c.yaml:2: cloud.onenet.expires: -1 is too small; use 0 or more"},

		{"open without password", sound + `local: {listen: ":1883"}`, "c.yaml:3: local.listen: :1883 can be reached from other machines; set local.username and local.password, or listen on 127.0.0.1"},
		{"websocket open", sound + `local: {websocket: "192.0.2.1:80"}`, "c.yaml:3: local.websocket: 192.0.2.1:80 can be reached from other machines; set local.username and local.password, or listen on 127.0.0.1"},
		{"listen", sound + `local: {listen: 127.0.0.1}`, "c.yaml:3: local.listen: 127.0.0.1 is no address to listen on; use host:port, such as 127.0.0.1:1883"},
		{"nobody could publish", sound + `local: {listen: ""}`, "c.yaml:3: local.listen: is empty, and so are local.websocket and local.broker: nobody could publish; name one of them"},
		{"two local brokers", sound + `local: {listen: 127.0.0.1:1883, broker: mqtt://127.0.0.1}`, "c.yaml:3: local.broker: is instead of the embedded broker; remove local.listen and local.websocket, or local.broker"},
		{"local mqtts", sound + `local: {broker: mqtts://127.0.0.1}`, "c.yaml:3: local.broker: mqtts is not possible here; use mqtt://"},
		{"local url with a password", sound + `local: {broker: "mqtt://u:hunter2@127.0.0.1"}`, "c.yaml:3: local.broker: a user or a password does not belong into the URL; use local.username and local.password"},
		{"one broker on both sides", "path: {mode: host}\ncloud: {broker: mqtt://localhost}\nlocal: {broker: \"mqtt://127.0.0.1:1883\"}\nroutes: {up: [{from: \"#\", to: \"site/#\"}]}", "c.yaml:4: routes: local.broker and cloud.broker are one and the same: the up route from \"#\" to \"site/#\" feeds itself: the down route from \"#\" to \"#\" brings its messages back"},
		{"local password alone", sound + `local: {password: hunter2}`, "c.yaml:3: local.password: needs local.username"},
		{"local user alone", sound + `local: {username: u}`, "c.yaml:3: local.username: needs local.password"},

		{"route without to", sound + "routes: {up: [{from: a}]}", `c.yaml:3: routes.up[0].from: is missing, or to is; a route has both, such as {from: "sensors/#", to: "site7/sensors/#"}`},
		{"route wildcards", sound + `routes: {up: [{from: "a/+", to: "b/#"}]}`, `c.yaml:3: routes.up[0]: route from "a/+" to "b/#": both need the same wildcards in the same order, because + and # carry over by position`},
		{"route qos", sound + "routes: {up: [{from: a, to: b, qos: 2}]}", "c.yaml:3: routes.up[0].qos: 2 is out of range; use 0 to 1"},
		{"route priority", sound + "routes: {up: [{from: a, to: b, priority: low}]}", "c.yaml:3: routes.up[0].priority: low is not known; use normal, high"},
		{"route wrap", sound + "routes: {up: [{from: a, to: b, wrap: alink}]}", "c.yaml:3: routes.up[0].wrap: alink is a frame of cloud.aliyun; remove it, or configure that platform"},
		{"route placeholder", sound + `routes: {up: [{from: a, to: "{id}/b"}]}`, "c.yaml:3: routes.up[0].to: {id} is not known; use {imei}, {iccid}, {serial}, {hostname}"},
		{"route round", sound + `routes: {up: [{from: "a/#", to: "a/#"}], down: [{from: "a/#", to: "a/#"}]}`, "c.yaml:3: routes: " + loop},
		{"window", sound + "path: {window: -1}", "c.yaml:3: path.window: -1 is out of range; use 0 to 65535"},
		{"mode", sound + "path: {mode: lte}", "c.yaml:3: path.mode: lte is not known; use auto, native, tcp, host"},
		{"size", sound + "queue: {max_bytes: 64Mb}", "c.yaml:3: queue.max_bytes: 64Mb is not a size; write bytes, or a number with kB, MB, GB, KiB, MiB or GiB, such as 64MiB"},
		{"octal size", sound + "queue: {max_bytes: 064MiB}", "c.yaml:3: queue.max_bytes: 064MiB is not a size; write bytes, or a number with kB, MB, GB, KiB, MiB or GiB, such as 64MiB"},
		{"huge size", sound + "queue: {max_bytes: 9999999999GiB}", "c.yaml:3: queue.max_bytes: 9999999999GiB is not a size; write bytes, or a number with kB, MB, GB, KiB, MiB or GiB, such as 64MiB"},
		{"no size", sound + "queue: {max_bytes: 0}", "c.yaml:3: queue.max_bytes: 0 is not a size; write bytes, or a number with kB, MB, GB, KiB, MiB or GiB, such as 64MiB"},
		{"sync", sound + "queue: {sync: never}", "c.yaml:3: queue.sync: never is neither always nor an interval up to 1m; write always, or for example 20ms"},
		{"full", sound + "queue: {full: drop}", "c.yaml:3: queue.full: drop is not known; use reject, drop-oldest"},
		{"no dir", sound + `queue: {dir: ""}`, "c.yaml:3: queue.dir: is empty; name a directory on a disk that survives a power cut"},
		{"socket", sound + "status: {socket: /" + strings.Repeat("s", 107) + "}", "c.yaml:3: status.socket: a socket's path has 1 to 107 characters"},
		{"status port", sound + "status: {listen: 127.0.0.1:http}", "c.yaml:3: status.listen: 127.0.0.1:http is no address to listen on; use host:port, such as 127.0.0.1:1883"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.text)
			if err == nil {
				t.Fatalf("accepted:\n%s", tt.text)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if exitCode(err) != exitUsage {
				t.Errorf("exit code %d, want %d", exitCode(err), exitUsage)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Error("the error holds a secret")
			}
		})
	}
}

// loop is what package bridge says of a route that feeds itself.
var loop = bridge.Loop(bridge.Routes{{From: "a/#", To: "a/#"}}, bridge.Routes{{From: "a/#", To: "a/#"}}).Error()

func modem(line string) string   { return "modem: {" + line + "}\ncloud: {broker: mqtt://b}" }
func inCloud(line string) string { return "modem: {port: /dev/ttyUSB2}\ncloud: {" + line + "}" }

// Every problem is reported in one run, in the order of the lines.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := parse("modem:\n  baud: 1\n  prot: x\ncloud:\n  broker: http://b\n  keepalive: 1\nlocal: {listen: ':1'}\n")
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		lines = append(lines, line[:strings.Index(line, ": ")])
	}
	if want := []string{"c.yaml:2", "c.yaml:3", "c.yaml:5", "c.yaml:6", "c.yaml:7"}; !reflect.DeepEqual(lines, want) {
		t.Errorf("problems on %v, want %v:\n%v", lines, want, err)
	}
}

// The contract's own example lists every key, and says what the defaults are.
func TestContractExample(t *testing.T) {
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(string(data))
	if err != nil {
		t.Fatal(err)
	}
	if want := "auto on /dev/ttyUSB2 -> mqtt://broker.example:1883, 1 route up, 1 down"; c.summary() != want {
		t.Errorf("summary %q, want %q", c.summary(), want)
	}
	d, err := parse("modem: {port: /dev/ttyUSB2}\ncloud: {broker: mqtt://broker.example, client_id: site7}\n" +
		`routes: {up: [{from: "sensors/#", to: "site7/sensors/#"}], down: [{from: "site7/commands/#", to: "commands/#"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	c.Cloud.Broker, d.Cloud.Broker = nil, nil // the example names the default port
	if !reflect.DeepEqual(c, d) {
		t.Errorf("the example's values are not the defaults:\n%#v\n%#v", c, d)
	}
}

func TestSecretsFromElsewhere(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "c.yaml"), "", 0o600)
	write(t, filepath.Join(dir, "pw"), "from file\r\n", 0o644)
	write(t, filepath.Join(dir, "local.password"), "from systemd\n", 0o600)
	c, err := parseConfig(source{
		file:   filepath.Join(dir, "c.yaml"),
		data:   []byte(sound + "local: {username: u}\nmodem: {port: /x, pin: \"${PIN}\"}\ncloud: {broker: mqtt://b, username: $u$$, password_file: pw}\nroutes: {up: [{from: a, to: a}]}")[len(sound):],
		getenv: env("PIN", "0123", "CREDENTIALS_DIRECTORY", dir),
		need:   needAll,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]string{
		"file": {c.Cloud.Password.Reveal(), "from file"}, "systemd": {c.Local.Password.Reveal(), "from systemd"},
		"variable": {c.Modem.PIN.Reveal(), "0123"}, "dollar": {c.Cloud.Username, "$u$"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, want %q", name, pair[0], pair[1])
		}
	}
	if want := []string{"cloud.password_file: " + dir + "/pw can be read by everyone; run chmod 600 " + dir + "/pw"}; !reflect.DeepEqual(c.Warnings, want) {
		t.Errorf("warnings %q, want %q", c.Warnings, want)
	}
}

func TestSecretIsMasked(t *testing.T) {
	s := struct{ Password Secret }{"hunter2"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s.Password, "struct", s)
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s), fmt.Sprint(&s), log.String()} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, "68756e") {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
}

func TestMQTTConfig(t *testing.T) {
	c, err := parse(`modem: {port: /dev/ttyUSB2}
cloud:
  broker: ["mqtts://{imei}.example", "mqtt://[2001:db8::1]:2883"]
  client_id: "site-{imei}"
  username: u
  password: p
  keepalive: 0s
  clean_session: true
  tls: {server_name: broker.example}
path: {window: 3}`)
	if err != nil {
		t.Fatal(err)
	}
	vals := map[string]string{"imei": "866000000000001"}
	want := []modems.MQTTConfig{
		{Host: "866000000000001.example", Port: 8883, TLS: &modems.TLSConfig{ServerName: "broker.example", TicketFile: "/var/lib/atbridge/tls-session"}},
		{Host: "2001:db8::1", Port: 2883},
	}
	for i, b := range c.Brokers() {
		w := want[i]
		w.ClientID, w.Username, w.Password, w.CleanSession, w.Window = "site-866000000000001", "u", "p", true, 3
		if got, err := c.MQTT(b, vals); err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("broker %d: %+v, %v; want %+v", i, got, err, w)
		}
	}
	if _, err := c.MQTT(c.Brokers()[0], nil); err == nil || err.Error() != "cloud.broker: {imei} is not known on this machine or modem; write the name out" {
		t.Errorf("without an IMEI: %v", err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"1": 1, "1048576": 1 << 20, "64MiB": 64 << 20, "1GB": 1e9, "2 kB": 2000, "3KiB": 3072, "5B": 5} {
		var got Size
		if err := got.parse(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// A list of routes has an end, so that reading it has one.
func TestTooManyRoutes(t *testing.T) {
	for n, want := range map[int]string{1000: "", 1001: "c.yaml:3: routes: there are 1001, and 1000 is the most; carry whole branches of topics with + and #"} {
		text := sound + "routes:\n  up:\n"
		for i := range n {
			text += fmt.Sprintf("  - {from: a/%d, to: b/%d}\n", i, i)
			if i == n/2 {
				text += "  down:\n"
			}
		}
		if _, err := parse(text); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%d routes: %v, want %s", n, err, want)
		}
	}
}
