package main

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// credentialsOf runs the command on a configuration whose cloud section is text.
func credentialsOf(t *testing.T, text string, args ...string) (code int, p printedParams, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.yaml")
	write(t, file, "path: {mode: host}\n"+text+"\n", 0o600)
	code, stdout, stderr = call(append([]string{"credentials", "--json", "--config", file}, args...)...)
	if code == 0 {
		if err := json.Unmarshal([]byte(stdout), &p); err != nil {
			t.Errorf("%v: %s", err, stdout)
		}
	}
	return code, p, stdout, stderr
}

// Each platform's login, as of a given time.
func TestCredentials(t *testing.T) {
	for _, v := range []struct {
		text, at string
		want     printedParams
	}{
		{"cloud: {aliyun: {product_key: pk, device_name: device, device_secret: secret, client_id: '12345', sign_method: hmacsha1, timestamp: '789'}}", "0",
			printedParams{"pk.iot-as-mqtt.cn-shanghai.aliyuncs.com", 1883, false, "12345|securemode=3,signmethod=hmacsha1,timestamp=789|", "device&pk", "fafd82a3d602b37fb0fa8b7892f24a477f851a14"}},
		{"cloud: {transport: tls, aliyun: {product_key: '123456789', device_name: abcdefg, device_secret: Y877Bgo8X5owd3lcB5wWDjryNPoB, timestamp: '32472115200', instance_id: iot-06z00x}}", "0",
			printedParams{"iot-06z00x.mqtt.iothub.aliyuncs.com", 8883, true, "123456789.abcdefg|securemode=2,signmethod=hmacsha256,timestamp=32472115200|", "abcdefg&123456789", "2842dc9f2fba19c671dd3f4d24590d41f91c25fd9bc4e5101951bea88b7deacd"}},
		{"cloud: {onenet: {product_id: Ck2AF9QD2K, device_name: test, key: KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw=, method: sha1}}", "32472028800",
			printedParams{"mqtts.heclouds.com", 1883, false, "test", "Ck2AF9QD2K", "version=2018-10-31&res=products%2FCk2AF9QD2K%2Fdevices%2Ftest&et=32472115200&method=sha1&sign=onzQlILHFFNqIY%2BdOXYM3lthLT8%3D"}},
		{"cloud: {tencent: {product_id: ABCDE12345, device_name: dev1, psk: AAECAwQFBgcICQoLDA0ODw==, connection_id: abcde, expires: 1700000000}}", "1700000000",
			printedParams{"ABCDE12345.iotcloud.tencentdevices.com", 1883, false, "ABCDE12345dev1", "ABCDE12345dev1;12010126;abcde;1700000000", "632e07f7e6b8e5d791b187f78832ecc3207b06c88d4e926329eb5d742de4cb1e;hmacsha256"}},
		{"cloud: {huawei: {device_id: d7, secret: '12345678', host: h}}", "1744592400",
			printedParams{"h", 1883, false, "d7_0_0_2025041401", "d7", "c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a"}},
		{"cloud: {baidu: {core: abcd123, device_key: mydevice, device_secret: ImSeCrEt0I1M2jkl, region: gz, algorithm: MD5}}", "1",
			printedParams{"abcd123.iot.gz.baidubce.com", 1883, false, "mydevice", "thingidp@abcd123|mydevice|0|MD5", "22bc75231495220c7a2202fe15f7d286"}},
		{"cloud: {tuya: {device_id: 6c95875d0f5ba69607nzfl, device_secret: fb803786602df760}}", "7258089600",
			printedParams{"m1.tuyacn.com", 8883, true, "tuyalink_6c95875d0f5ba69607nzfl", "6c95875d0f5ba69607nzfl|signMethod=hmacSha256,timestamp=7258089600,secureMode=1,accessType=1", "d4e2d498e4195db3ed213b33d662e3b7bf434dc3d5a1f2e63b602ac9248ba72c"}},
		{"cloud: {azure: {hub: myhub, device_id: device1, key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=, expires: 1700000000}}", "1",
			printedParams{"myhub.azure-devices.net", 8883, true, "device1", "myhub.azure-devices.net/device1/?api-version=2021-04-12", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdevice1&sig=DiOcLA0WkatmUGpn5KPGuDWDJ9sARBqXkXWqy8Ow0QI%3D&se=1700000000"}},
		{"cloud: {broker: 'mqtts://b', client_id: me, username: u, password: p}", "1",
			printedParams{"b", 8883, true, "me", "u", "p"}},
	} {
		code, got, _, stderr := credentialsOf(t, v.text, "--at", v.at, "--show-secrets")
		if code != 0 || got != v.want {
			t.Errorf("exit %d, %s\n%+v, want\n%+v", code, stderr, got, v.want)
		}
		password := v.want.Password
		v.want.Password = ""
		code, got, stdout, _ := credentialsOf(t, v.text, "--at", v.at)
		if code != 0 || got != v.want || strings.Contains(stdout, `"`+password+`"`) || strings.Contains(stdout, `"password"`) {
			t.Errorf("exit %d, %s, want\n%+v", code, stdout, v.want)
		}
	}
}

// What cannot be computed is a sentence.
func TestNoCredentials(t *testing.T) {
	onenet := "cloud: {onenet: {product_id: p, device_name: d, key: aHVudGVyMg==}}"
	file := filepath.Join(t.TempDir(), "c.yaml")
	write(t, file, "path: {mode: host}\n"+onenet+"\n", 0o600)
	root := newRootCmd(&globals{getenv: env(), now: func() time.Time { return time.Unix(86400, 0) }, stderr: io.Discard})
	root.SetArgs([]string{"credentials", "--config", file})
	if err := root.Execute(); exitCode(err) != exitUsage || !errors.Is(err, cloud.ErrClock) || !strings.HasSuffix(err.Error(), "; or give --at UNIX_SECONDS") {
		t.Errorf("signed in 1970: %v", err)
	}
	code, _, _, stderr := credentialsOf(t, "queue: {dir: /no/such}\ncloud: {aliyun: {product_key: pk, device_name: dn, product_secret: s, register: unregistered}}")
	if want := "atbridge: device dn is not registered yet; run atbridge provision\n"; code != exitUsage || stderr != want {
		t.Errorf("exit %d, %s", code, stderr)
	}
	easemob := "cloud: {easemob: {app_id: aitbj0, device_id: device001, client_id: c, client_secret: s}}"
	code, p, _, stderr := credentialsOf(t, easemob, "--show-secrets")
	if code != 0 || p.ClientID != "device001@aitbj0" || p.Username != "device001" || p.Password != "" ||
		stderr != "atbridge: the password is a token that run fetches from https://api.cn1.mqtt.chat/app/aitbj0\n" {
		t.Errorf("exit %d, %+v, %s", code, p, stderr)
	}
	code, _, _, stderr = credentialsOf(t, "cloud: {huawei: {device_id: '{imei}', secret: s, host: h}}")
	if code != exitUsage || !strings.Contains(stderr, "{imei} and {iccid} come from a modem, and none is configured") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// A name that only the modem can fill is asked of it.
func TestCredentialsAskTheModem(t *testing.T) {
	sim, err := modemsim.Start(modemsim.Config{Model: "ec600", Baud: 460800})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	text := "modem: {port: " + sim.Path() + ", baud: 460800}\nstatus: {socket: /no/such}\ncloud: {huawei: {device_id: 'x-{imei}-{iccid}', secret: s, host: h}}"
	code, p, _, stderr := credentialsOf(t, text)
	part := strings.Split(p.Username, "-")
	if code != 0 || len(part) != 3 || len(part[1]) != 15 || len(part[2]) < 19 || strings.Trim(part[1], "0123456789") != "" {
		t.Errorf("exit %d, %+v, %s", code, p, stderr)
	}
	if code, p, _, stderr := credentialsOf(t, text, "--imei", "1", "--iccid", "2"); code != 0 || p.Username != "x-1-2" {
		t.Errorf("exit %d, %+v, %s", code, p, stderr)
	}
	sim.Close()
	code, _, _, stderr = credentialsOf(t, text)
	if code != exitPort || !strings.Contains(stderr, "{imei} has to be asked of the modem: ") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}
