package cloudtest

import (
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, p Platform) *Cloud {
	t.Helper()
	c, err := Start(t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// CONNECT packets that others have published are accepted byte for byte; with one bit of the password changed they are not.
func TestPublishedFrames(t *testing.T) {
	for _, v := range []struct{ key, device, secret, frame string }{
		{"a1BekCto7zj", "Norra_Device_000001", "OQzK9z8XoWrnH9LeeO4kIMFHk1WEu5ov",
			"108b0100044d51545404c20078003431323334357c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861312c74696d657374616d703d31307c001f4e6f7272615f4465766963655f30303030303126613142656b43746f377a6a002837323737306531396635303534306434613137623337363830383633306563643563396130666339"},
		{"a1Ze3BcsQ5x", "XP001", "amzS2Q9siGHpSVDVhvDV43661DmfdXtW",
			"107000044d51545404c20064002758503030317c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861317c001158503030312661315a6533426373513578002863633465333838653766316561316535626461663135383931623736663264666366656666623036"},
		{"1234", "5678", "1234567890",
			"107400044d51545404c0007800336162637c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861312c74696d657374616d703d3132307c0009353637382631323334002832323237353044454446453446373734303032454538374545443239434644303633384335463636"},
	} {
		p := &AliyunProduct{Key: v.key}
		p.Device(v.device, v.secret)
		c := start(t, p)
		frame, err := hex.DecodeString(v.frame)
		if err != nil {
			t.Fatal(err)
		}
		if code := connack(t, c.Plain, frame); code != 0 {
			t.Errorf("%s: CONNACK %d, %v", v.device, code, c.Refusals())
		}
		frame[len(frame)-1] ^= 1
		if code := connack(t, c.Plain, frame); code != 4 {
			t.Errorf("%s with a wrong password: CONNACK %d", v.device, code)
		}
	}
}

// connack sends frame and returns the return code of the answer.
func connack(t *testing.T, addr string, frame []byte) byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 0x20 {
		t.Fatalf("%x, %v", answer, err)
	}
	return answer[3]
}

// The client ids that SDKs really send, and mistakes that others have made.
func TestAliyunLogin(t *testing.T) {
	p := &AliyunProduct{Key: "pk"}
	p.Device("dev1", "secret")
	sign := func(method, secret, content string) string {
		s, _ := aliyunHMAC(method, secret, map[string]string{"": content})
		return s
	}
	all := "clientIdpk.dev1deviceNamedev1productKeypktimestamp2524608000000"
	for _, v := range []struct {
		id, password string
		keepalive    uint16
		code         byte
	}{
		{"pk.dev1|timestamp=2524608000000,_v=sdk-c-3.2.0,securemode=3,signmethod=hmacsha256,lan=C,_ss=1,gw=0,ext=0|", strings.ToUpper(sign("hmacsha256", "secret", all)), 60, 0},
		{"pk&dev1|securemode=2,signmethod=hmacsha1,timestamp=7,lan=JS|WX,_v=1.2.8|", sign("hmacsha1", "secret", "clientIdpk&dev1deviceNamedev1productKeypktimestamp7"), 60, 0},
		{"dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", "53a33584e4aee39332fc823e6282395b", 60, 0},
		{"dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", "5480fca431ff5f8ded6f7852657b4566", 60, 4}, // ClientId with a capital
		{"pk.dev1|securemode=3,signmethod=hmacsha256,timestamp=2524608000000|", sign("hmacsha256", "secret", "clientIdpk.dev1deviceNamedev1productKeypk"), 60, 4},
		{"pk.dev1|securemode=3,signmethod=hmacsha256,timestamp=2524608000000|", sign("hmacsha256", "secret", strings.ToLower(all)), 60, 4},
		{"pk.dev1|securemode=3,signmethod=hmacsha512|", "", 60, 4},
		{"pk.dev1|ext=0,gw=0,lan=Golang,securemode=3,signmethod=hmacsha256,timestamp=2524608000000|", sign("hmacsha256", "secret", all), 60, 0},
		{"pk.dev1|securemode=3,signmethod=hmacmd5,timestamp=2524608000000|", sign("hmacmd5", "secret", all), 60, 0},
		{"pk.dev1|timestamp=2524608000000,securemode=3|", sign("hmacmd5", "secret", all), 60, 0}, // the method that is meant when none is named
		{"x7|securemode=2,signmethod=hmacsha1,timestamp=7,lan=JS|Broswer ,_v=1.2.8|", sign("hmacsha1", "secret", "clientIdx7deviceNamedev1productKeypktimestamp7"), 60, 0},
		{"x7|securemode=3,signmethod=hmacsha1|", sign("hmacsha1", "secret", "clientIdx7deviceNamedev1productKeypk"), 60, 0},
		{strings.Repeat("c", 64) + "|securemode=3,signmethod=hmacsha1|", sign("hmacsha1", "secret", "clientId"+strings.Repeat("c", 64)+"deviceNamedev1productKeypk"), 60, 0},
		{"dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", "53a33584e4aee39332fc823e6282395b", 30, 0},
		{"dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", "53a33584e4aee39332fc823e6282395b", 1200, 0},
		{"pk.dev1", "", 60, 2},
		{strings.Repeat("c", 65) + "|securemode=3,signmethod=hmacsha1|", "", 60, 2},
		{"dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", "53a33584e4aee39332fc823e6282395b", 29, 5},
		{"dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", "53a33584e4aee39332fc823e6282395b", 1201, 5},
		{"dev1|securemode=2,authType=register,random=1,signmethod=hmacmd5|", "", 60, 2}, // without TLS
	} {
		_, no := p.login(connect{clientID: v.id, username: "dev1&pk", password: v.password, keepalive: v.keepalive}, time.Now())
		code := byte(0)
		if no != nil {
			code = no.code
		}
		if code != v.code {
			t.Errorf("%s: %d %v, want %d", v.id, code, no, v.code)
		}
	}
	p.Strict = true
	if _, no := p.login(connect{clientID: "dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", username: "dev1&pk",
		password: "53a33584e4aee39332fc823e6282395b", keepalive: 60, secure: true}, time.Now()); no == nil || no.code != 5 {
		t.Errorf("securemode 3 over TLS: %v", no)
	}
}

// Each other platform's login, from published vectors, and with one thing wrong.
func TestOtherLogins(t *testing.T) {
	at := func(unix int64) time.Time { return time.Unix(unix, 0) }
	onenet := &OneNETDevice{Product: "Ck2AF9QD2K", Name: "test", Key: "KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw="}
	token := "version=2018-10-31&res=products%2FCk2AF9QD2K%2Fdevices%2Ftest&et=32472115200&method=sha1&sign=onzQlILHFFNqIY%2BdOXYM3lthLT8%3D"
	tencent := &TencentDevice{Product: "ABCDE12345", Name: "dev1", PSK: "AAECAwQFBgcICQoLDA0ODw=="}
	psk := "632e07f7e6b8e5d791b187f78832ecc3207b06c88d4e926329eb5d742de4cb1e;hmacsha256"
	huawei := &HuaweiDevice{ID: "d7", Secret: "12345678"}
	hour := "c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a"
	baidu := &BaiduDevice{Core: "abcd123", Region: "gz", Key: "mydevice", Secret: "ImSeCrEt0I1M2jkl"}
	md := "7f0e63d2c6e122100edde19e34e7df5b"
	tuya := &TuyaDevice{ID: "6c95875d0f5ba69607nzfl", Secret: "fb803786602df760"}
	tuyaUser := tuya.ID + "|signMethod=hmacSha256,timestamp=1700000000,secureMode=1,accessType=1"
	tuyaSign := "1560ae9a5d22067b47f6e98347c6e408fd9e9b63cd6c1f354fedbe452b0375db"
	azure := &AzureDevice{Hub: "myhub", ID: "device1", Key: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	azureUser := "myhub.azure-devices.net/device1/?api-version=2021-04-12"
	sas := "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdevice1&sig=DiOcLA0WkatmUGpn5KPGuDWDJ9sARBqXkXWqy8Ow0QI%3D&se=1700000000"
	for _, v := range []struct {
		p                  Platform
		id, user, password string
		keepalive          uint16
		now                time.Time
		code               byte
	}{
		{tuya, "tuyalink_6c95875d0f5ba69607nzfl", tuyaUser, tuyaSign, 60, at(0), 0},
		{tuya, "tuyalink_6c95875d0f5ba69607nzfl", strings.Replace(tuyaUser, "=17", "=18", 1), tuyaSign, 60, at(0), 4},
		{tuya, "6c95875d0f5ba69607nzfl", tuyaUser, tuyaSign, 60, at(0), 4},
		{azure, "device1", azureUser, sas, 60, at(1699999999), 0},
		{azure, "device1", azureUser, sas, 60, at(1700000000), 4},
		{azure, "device2", azureUser, sas, 60, at(1699999999), 4},
		{azure, "device1", azureUser, strings.Replace(sas, "se=17", "se=18", 1), 60, at(1699999999), 4},
		{azure, "device1", azureUser, strings.Replace(sas, "device1", "device2", 1), 60, at(1699999999), 4},
		{onenet, "test", "Ck2AF9QD2K", token, 60, at(1700000000), 0},
		{onenet, "test", "Ck2AF9QD2K", token, 60, at(32472115200), 4},
		{onenet, "test", "Ck2AF9QD2K", token, 9, at(1700000000), 5},
		{onenet, "test", "Ck2AF9QD2K", strings.Replace(token, "method=sha1", "method=SHA1", 1), 60, at(1700000000), 4},
		{onenet, "test", "Ck2AF9QD2K", strings.Replace(token, "%2B", "+", 1), 60, at(1700000000), 4},
		{onenet, "other", "Ck2AF9QD2K", token, 60, at(1700000000), 4},
		{tencent, "ABCDE12345dev1", "ABCDE12345dev1;12010126;abcde;1700000000", psk, 0, at(1699999999), 0},
		{tencent, "ABCDE12345dev1", "ABCDE12345dev1;12010126;abcde;1700000000", psk, 0, at(1700000000), 4},
		{tencent, "ABCDE12345dev1", "ABCDE12345dev1;12010126;abcde;1700000000", psk, 901, at(1699999999), 5},
		{tencent, "dev1", "ABCDE12345dev1;12010126;abcde;1700000000", psk, 60, at(1699999999), 4},
		{tencent, "ABCDE12345dev1", "ABCDE12345dev1;12010126;abcdf;1700000000", psk, 60, at(1699999999), 4},
		{huawei, "d7_0_0_2025041401", "d7", hour, 60, at(1700000000), 0},
		{huawei, "d7_0_1_2025041401", "d7", hour, 60, at(1700000000), 4},
		{huawei, "d7_0_1_2025041401", "d7", hour, 60, at(1744592400), 0},
		{huawei, "d7_0_2_2025041401", "d7", hour, 60, at(1700000000), 2},
		{huawei, "d7_0_0_2025041401", "d7", hour, 29, at(1700000000), 2},
		{baidu, "x", "thingidp@abcd123|mydevice|1583826857|MD5", md, 60, at(1583826857 + 600), 0},
		{baidu, "x", "thingidp@abcd123|mydevice|1583826857|MD5", md, 60, at(1583826857 + 601), 4},
		{baidu, "x.y", "thingidp@abcd123|mydevice|1583826857|MD5", md, 60, at(1583826857), 4},
		{baidu, "x", "thingidp@abcd123|mydevice|0|MD5", "22bc75231495220c7a2202fe15f7d286", 60, at(0), 0},
		{baidu, "x", "thingidp@abcd123|mydevice|MD5", "22bc75231495220c7a2202fe15f7d286", 60, at(0), 0},
		{baidu, "x", "thingidp@abcd123|mydevice|0|SHA256", "22bc75231495220c7a2202fe15f7d286", 60, at(0), 4},
	} {
		_, no := v.p.login(connect{clientID: v.id, username: v.user, password: v.password, keepalive: v.keepalive}, v.now)
		code := byte(0)
		if no != nil {
			code = no.code
		}
		if code != v.code {
			t.Errorf("%s %s %s at %d: %d %v, want %d", v.id, v.user, v.password, v.now.Unix(), code, no, v.code)
		}
	}
}
