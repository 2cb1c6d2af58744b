package cloud

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The vectors are those that the platforms, their SDKs and others have published, and some that follow from the rules.

func TestAliyunSigns(t *testing.T) {
	for _, v := range []struct{ method, secret, content, want string }{
		{"hmacsha1", "secret", "clientId12345deviceNamedeviceproductKeypktimestamp789", "FAFD82A3D602B37FB0FA8B7892F24A477F851A14"},
		{"hmacmd5", "secret", "clientId12345deviceNamedeviceproductKeypktimestamp789", "14b198324fe55e1d3c88f2e705e201ee"},
		{"hmacsha256", "secret", "clientId12345deviceNamedeviceproductKeypktimestamp789", "6074a46a91b1ebb2cc4ea42790ad0e80202c9843859fc292e57c4eb19fad9e57"},
		{"hmacsha1", "AP4HnuqhNqqArIkH", "deviceNamedevice1productKeya15YDgQGhU0random1234", "3a91b729a46dbc7785427dcd6ac9ad914d71f2ea"},
		{"hmacsha256", "AP4HnuqhNqqArIkH", "deviceNamedevice1productKeya15YDgQGhU0random8Ygb7ULYh53B6OA", "5496e16d3fee5debe93b15b79e04c37162cafba5f54dbb01925d3f7bfd93d1b7"},
		{"hmacmd5", "thinkgos", "thinkgos", "ed9dc7baf84a9740a3ceb6f1f26bfb4f"},
		{"hmacsha1", "thinkgos", "thinkgos", "f9cebe2044ea375cff1a46f4dc05eb15ff9870ee"},
		{"hmacsha256", "thinkgos", "thinkgos", "e9403e3a615fad72d1dd1fe90c225cbec4ba81a03e5474d91a72844d2218954f"},
	} {
		got, err := aliyunSign(v.method, v.secret, v.content)
		if err != nil || !strings.EqualFold(got, v.want) {
			t.Errorf("%s of %s: %s, %v; want %s", v.method, v.content, got, err, v.want)
		}
	}
	if _, err := aliyunSign("hmacsha512", "s", "c"); err == nil {
		t.Error("a method that there is not was taken")
	}
}

func TestAliyunParams(t *testing.T) {
	for _, v := range []struct {
		a                Aliyun
		client, password string
	}{
		{Aliyun{ProductKey: "pk", DeviceName: "device", DeviceSecret: "secret", ClientID: "12345", SignMethod: "hmacsha1", Timestamp: "789"},
			"12345|securemode=3,signmethod=hmacsha1,timestamp=789|", "FAFD82A3D602B37FB0FA8B7892F24A477F851A14"},
		{Aliyun{ProductKey: "a14Xib5kdYd", DeviceName: "light1983432", DeviceSecret: "oLyaKqVxtRvjH284LdhqVgVUx1UPy6zq", ClientID: "SN1928339", SignMethod: "hmacsha1", Timestamp: "1539421321846", TLS: true},
			"SN1928339|securemode=2,signmethod=hmacsha1,timestamp=1539421321846|", "b2488041f64f425016b467ee1c94959ebd592ad1"},
		{Aliyun{ProductKey: "a1BekCto7zj", DeviceName: "Norra_Device_000001", DeviceSecret: "OQzK9z8XoWrnH9LeeO4kIMFHk1WEu5ov", ClientID: "12345", SignMethod: "hmacsha1", Timestamp: "10"},
			"12345|securemode=3,signmethod=hmacsha1,timestamp=10|", "72770e19f50540d4a17b376808630ecd5c9a0fc9"},
		{Aliyun{ProductKey: "a1Ze3BcsQ5x", DeviceName: "XP001", DeviceSecret: "amzS2Q9siGHpSVDVhvDV43661DmfdXtW", ClientID: "XP001", SignMethod: "hmacsha1"},
			"XP001|securemode=3,signmethod=hmacsha1|", "cc4e388e7f1ea1e5bdaf15891b76f2dfcfeffb06"},
		{Aliyun{ProductKey: "1234", DeviceName: "5678", DeviceSecret: "1234567890", ClientID: "abc", SignMethod: "hmacsha1", Timestamp: "120"},
			"abc|securemode=3,signmethod=hmacsha1,timestamp=120|", "222750DEDFE4F774002EE87EED29CFD0638C5F66"},
		{Aliyun{ProductKey: "123456789", DeviceName: "abcdefg", DeviceSecret: "Y877Bgo8X5owd3lcB5wWDjryNPoB", SignMethod: "hmacmd5", Timestamp: "32472115200"},
			"123456789.abcdefg|securemode=3,signmethod=hmacmd5,timestamp=32472115200|", "16CB9B20009795D576E9172CDC820646"},
		{Aliyun{ProductKey: "123456789", DeviceName: "abcdefg", DeviceSecret: "Y877Bgo8X5owd3lcB5wWDjryNPoB", SignMethod: "hmacsha256", Timestamp: "32472115200"},
			"123456789.abcdefg|securemode=3,signmethod=hmacsha256,timestamp=32472115200|", "2842DC9F2FBA19C671DD3F4D24590D41F91C25FD9BC4E5101951BEA88B7DEACD"},
		{Aliyun{ProductKey: "123456789", DeviceName: "abcdefg", DeviceSecret: "Y877Bgo8X5owd3lcB5wWDjryNPoB", SignMethod: "hmacsha1", Timestamp: "1700000000"},
			"123456789.abcdefg|securemode=3,signmethod=hmacsha1,timestamp=1700000000|", "501B3E054A929A0158D8E34826A224C1B9E967E3"},
		{Aliyun{ProductKey: "pk", DeviceName: "dev1", DeviceSecret: "secret", ClientID: "dev1", SignMethod: "hmacmd5", Timestamp: "789"},
			"dev1|securemode=3,signmethod=hmacmd5,timestamp=789|", "53a33584e4aee39332fc823e6282395b"}, // not 5480..., which LuatOS computes
		{Aliyun{ProductKey: "pk", DeviceName: "dn", TLS: true, Token: &AliyunToken{"theirs", "the token"}},
			"theirs|securemode=-2,authType=connwl|", "the token"},
		{Aliyun{ProductKey: "a1Ze3BcsQ5x", DeviceName: "XP001", DeviceSecret: "amzS2Q9siGHpSVDVhvDV43661DmfdXtW", ClientID: "XP001", SignMethod: "hmacsha1", CustomRRPC: true},
			"XP001|securemode=3,signmethod=hmacsha1,ext=1|", "cc4e388e7f1ea1e5bdaf15891b76f2dfcfeffb06"},
	} {
		v.a.Region = "cn-shanghai"
		p, err := v.a.Params(time.Unix(0, 0))
		user := v.a.DeviceName + "&" + v.a.ProductKey
		if err != nil || p.ClientID != v.client || p.Username != user || !strings.EqualFold(p.Password, v.password) {
			t.Errorf("%+v, %v; want %s, %s, %s", p, err, v.client, user, v.password)
		}
		if want := map[bool]int{false: 1883, true: 8883}[v.a.TLS]; p.Port != want || p.TLS != v.a.TLS || p.Host != v.a.ProductKey+".iot-as-mqtt.cn-shanghai.aliyuncs.com" {
			t.Errorf("%s port %d", p.Host, p.Port)
		}
	}
	if host := (Aliyun{ProductKey: "pk", InstanceID: "iot-06z00abcd", Region: "cn-shanghai"}).Host(); host != "iot-06z00abcd.mqtt.iothub.aliyuncs.com" {
		t.Error(host)
	}
}

// Three CONNECT packets that others have sent, byte by byte; the last one is that of an article whose first byte is missing.
func TestAliyunFrames(t *testing.T) {
	for _, v := range []struct {
		a         Aliyun
		flags     byte
		keepalive uint16
		upper     bool
		frame     string
	}{
		{Aliyun{ProductKey: "a1BekCto7zj", DeviceName: "Norra_Device_000001", DeviceSecret: "OQzK9z8XoWrnH9LeeO4kIMFHk1WEu5ov", ClientID: "12345", SignMethod: "hmacsha1", Timestamp: "10"}, 0xC2, 120, false,
			"108b0100044d51545404c20078003431323334357c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861312c74696d657374616d703d31307c001f4e6f7272615f4465766963655f30303030303126613142656b43746f377a6a002837323737306531396635303534306434613137623337363830383633306563643563396130666339"},
		{Aliyun{ProductKey: "a1Ze3BcsQ5x", DeviceName: "XP001", DeviceSecret: "amzS2Q9siGHpSVDVhvDV43661DmfdXtW", ClientID: "XP001", SignMethod: "hmacsha1"}, 0xC2, 100, false,
			"107000044d51545404c20064002758503030317c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861317c001158503030312661315a6533426373513578002863633465333838653766316561316535626461663135383931623736663264666366656666623036"},
		{Aliyun{ProductKey: "1234", DeviceName: "5678", DeviceSecret: "1234567890", ClientID: "abc", SignMethod: "hmacsha1", Timestamp: "120"}, 0xC0, 120, true,
			"107400044d51545404c0007800336162637c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861312c74696d657374616d703d3132307c0009353637382631323334002832323237353044454446453446373734303032454538374545443239434644303633384335463636"},
	} {
		p, err := v.a.Params(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if v.upper {
			p.Password = strings.ToUpper(p.Password)
		}
		body := append([]byte("\x00\x04MQTT\x04"), v.flags)
		body = binary.BigEndian.AppendUint16(body, v.keepalive)
		for _, s := range []string{p.ClientID, p.Username, p.Password} {
			body = append(binary.BigEndian.AppendUint16(body, uint16(len(s))), s...)
		}
		frame := append(binary.AppendUvarint([]byte{0x10}, uint64(len(body))), body...)
		if got := hex.EncodeToString(frame); got != v.frame {
			t.Errorf("got  %s\nwant %s", got, v.frame)
		}
	}
}

func TestOneNETParams(t *testing.T) {
	const key = "KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw="
	for _, v := range []struct {
		o    OneNET
		want string
	}{
		{OneNET{ProductID: "123123", Key: key, Method: "sha1", Version: "2018-10-31", Expires: 1537255523},
			"version=2018-10-31&res=products%2F123123&et=1537255523&method=sha1&sign=lsaPSiiGvEFFjXu5WU7a6IkScqE%3D"},
		{OneNET{ProductID: "Ck2AF9QD2K", DeviceName: "test", Key: key, Method: "sha1", Version: "2018-10-31", Expires: 32472115200},
			"version=2018-10-31&res=products%2FCk2AF9QD2K%2Fdevices%2Ftest&et=32472115200&method=sha1&sign=onzQlILHFFNqIY%2BdOXYM3lthLT8%3D"},
		{OneNET{ProductID: "Ck2AF9QD2K", DeviceName: "test", Key: key, Method: "sha256", Version: "2022-05-01", Expires: 32472115200},
			"version=2022-05-01&res=products%2FCk2AF9QD2K%2Fdevices%2Ftest&et=32472115200&method=sha256&sign=N41Pmx3YpLyOoc9jtyCFPJX1etO8MxfcCr7xHYw40ws%3D"},
		{OneNET{ProductID: "12342334", DeviceName: "test", Key: "adfasdfadsfadsf=", Method: "md5", Version: "2018-10-31", Expires: 32472115200},
			"version=2018-10-31&res=products%2F12342334%2Fdevices%2Ftest&et=32472115200&method=md5&sign=wZWDnoyHugla0wMlcl75xg%3D%3D"},
	} {
		p, err := v.o.Params(time.Unix(0, 0)) // a fixed end needs no clock
		if err != nil || p.Password != v.want || p.ClientID != v.o.DeviceName || p.Username != v.o.ProductID || !p.Expires.IsZero() {
			t.Errorf("%+v, %v\nwant %s", p, err, v.want)
		}
	}
	now := time.Unix(1800000000, 0)
	o := OneNET{ProductID: "p", DeviceName: "d", Key: key, Method: "sha256", Version: "2018-10-31", TLS: true}
	p, err := o.Params(now)
	if err != nil || !strings.Contains(p.Password, "&et=1800086400&") || !p.Expires.Equal(now.Add(24*time.Hour)) || p.Host != "mqttstls.heclouds.com" || p.Port != 8883 {
		t.Errorf("%+v, %v", p, err)
	}
	checkClocked(t, o)
}

// checkClocked: what p signs is of a time, which may be any; whether it is the time is known.
func checkClocked(t *testing.T, p Platform) {
	t.Helper()
	for at, want := range map[int64]error{86400: ErrClock, 1500000000: ErrClock, 1800000000: nil} {
		now := time.Unix(at, 0)
		params, err := p.Params(now)
		if err != nil || params.Password == "" {
			t.Errorf("as of %v: %+v, %v", now, params, err)
		}
		if err := params.CheckClock(now); !errors.Is(err, want) {
			t.Errorf("at %v: %v", now, err)
		}
	}
}

func TestTencentParams(t *testing.T) {
	for method, want := range map[string]string{
		"hmacsha256": "632e07f7e6b8e5d791b187f78832ecc3207b06c88d4e926329eb5d742de4cb1e;hmacsha256",
		"hmacsha1":   "930dbde11a2fb359544926fed41df5d14ea61e10;hmacsha1",
	} {
		x := Tencent{ProductID: "ABCDE12345", DeviceName: "dev1", PSK: "AAECAwQFBgcICQoLDA0ODw==", SignMethod: method, ConnectionID: "abcde", Expires: 1700000000}
		p, err := x.Params(time.Unix(0, 0))
		if err != nil || p.ClientID != "ABCDE12345dev1" || p.Username != "ABCDE12345dev1;12010126;abcde;1700000000" || p.Password != want {
			t.Errorf("%+v, %v", p, err)
		}
		if p.Host != "ABCDE12345.iotcloud.tencentdevices.com" || p.Port != 1883 {
			t.Errorf("%s port %d", p.Host, p.Port)
		}
	}
	x := Tencent{ProductID: "P", DeviceName: "d", PSK: base64.StdEncoding.EncodeToString([]byte("key")), SignMethod: "hmacsha256"}
	p, err := x.Params(time.Unix(1800000000, 0))
	part := strings.Split(p.Username, ";")
	if err != nil || len(part) != 4 || len(part[2]) != 5 || part[3] != "1800086400" {
		t.Errorf("%+v, %v", p, err)
	}
	checkClocked(t, x)
}

func TestHuaweiParams(t *testing.T) {
	for _, v := range []struct{ hour, secret, want string }{
		{"2025041401", "12345678", "c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a"},
		{"2023111506", "123456789", "1c05cd54cb1b9585d40f10581aa2c84bf8c93c418eceff2f55f55dbc396c5b32"},
		{"2023111422", "123456789", "e8bd5664f3a3030ce5b44309d1a2bbd2cb6bea628fd2a9a858aec2cbd4de6a69"},
	} {
		at, err := time.Parse("2006010215", v.hour)
		if err != nil {
			t.Fatal(err)
		}
		h := Huawei{DeviceID: "d7", Secret: v.secret, Host: "x.iotda-device.cn-north-4.myhuaweicloud.com"}
		p, err := h.Params(at.Add(59 * time.Minute).In(time.FixedZone("", 8*3600)))
		if err != nil || p.ClientID != "d7_0_0_"+v.hour || p.Username != "d7" || p.Password != v.want {
			t.Errorf("%+v, %v", p, err)
		}
	}
}

func TestBaiduParams(t *testing.T) {
	for _, v := range []struct {
		at         int64
		algo, want string
	}{
		{1583826857, "MD5", "7f0e63d2c6e122100edde19e34e7df5b"},
		{0, "MD5", "22bc75231495220c7a2202fe15f7d286"},
		{1700000000, "MD5", "c7aa0f9bd88fb5ba4857abc4868921e0"},
		{1700000000, "SHA256", "4b4923db7522a0fe7a50a26003ba4a7647f627921828127e169073b9eafe5a2e"},
		{1583826857, "SHA256", "ad1123c877f84a90e778ce85f8772eb8ef9a09096629d8013952c45e29a47c47"},
	} {
		b := Baidu{Core: "abcd123", DeviceKey: "mydevice", DeviceSecret: "ImSeCrEt0I1M2jkl", Region: "gz", Algorithm: v.algo, Timestamp: v.at}
		p, err := b.Params(time.Time{})
		user := fmt.Sprintf("thingidp@abcd123|mydevice|%d|%s", v.at, v.algo)
		if err != nil || p.Password != v.want || p.Username != user || p.ClientID != "mydevice" || p.Host != "abcd123.iot.gz.baidubce.com" {
			t.Errorf("%+v, %v; want %s", p, err, v.want)
		}
	}
	p, err := Baidu{Core: "abcd123", DeviceKey: "mydevice", DeviceSecret: "s", Region: "bj", Algorithm: "SHA256", TLS: true, ClientID: "me"}.Params(time.Time{})
	if err != nil || p.Username != "thingidp@abcd123|mydevice|0|SHA256" || p.Port != 1884 || p.ClientID != "me" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestEasemobParams(t *testing.T) {
	e := Easemob{AppID: "aitbj0", DeviceID: "device001", Username: "test", Token: "YWMt"}
	p, err := e.Params(time.Time{})
	if err != nil || p.ClientID != "device001@aitbj0" || p.Host != "aitbj0.cn1.mqtt.chat" || p.Username != "test" || p.Password != "YWMt" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAliyunTopics(t *testing.T) {
	a := Aliyun{ProductKey: "pk", DeviceName: "dn"}
	const own, thing = "/pk/dn/user/", "/sys/pk/dn/thing/"
	for _, topic := range []string{
		own + "update", own + "update/error", own + "get", thing + "event/property/post", thing + "event/property/post_reply",
		thing + "event/alarm/post", thing + "event/property/pack/post", thing + "event/property/history/post", thing + "service/property/set",
		thing + "service/property/set_reply", thing + "service/light", thing + "service/light_reply", thing + "model/up_raw", thing + "model/down_raw",
		thing + "deviceinfo/update", thing + "property/desired/get", thing + "config/get", thing + "dsltemplate/get", thing + "topo/add",
		thing + "sub/register", "/ext/session/pk/dn/combine/login", "/sys/pk/dn/rrpc/request/+", "/sys/pk/dn/rrpc/response/7",
		"/ext/rrpc/+/pk/dn/user/get", "/broadcast/pk/all", "/ext/ntp/pk/dn/request", "/ext/ntp/pk/dn/response",
		"/ota/device/inform/pk/dn", "/ota/device/progress/pk/dn", "/ota/device/request/pk/dn", "/ota/device/upgrade/pk/dn",
		thing + "ota/firmware/get", "/shadow/update/pk/dn", "/shadow/get/pk/dn", "/ext/error/pk/dn", "/ext/network/probe/+",
	} {
		if !a.MayUse(topic) {
			t.Errorf("%s is the device's own", topic)
		}
	}
	for _, topic := range []string{"/pk/dn2/user/update", "/sys/post", "pk/dn/user/update", "/ota/device/inform/pk/other", "#", "/+/dn/user/get", "/shadow/update/pk/dn2", "/ext/error/pk/dn2"} {
		if a.MayUse(topic) {
			t.Errorf("%s is not the device's own", topic)
		}
	}
}

// An article's PUBLISH is well-formed MQTT, and what it carries is no topic of a device and no frame.
func TestArticlePublish(t *testing.T) {
	frame, err := hex.DecodeString("301d00092f7379732f706f7374" + hex.EncodeToString([]byte("{params:{temp:10}}")))
	if err != nil || int(frame[1]) != len(frame)-2 || int(binary.BigEndian.Uint16(frame[2:])) != len("/sys/post") {
		t.Fatalf("%x, %v", frame, err)
	}
	topic, payload := string(frame[4:13]), frame[13:]
	if (Aliyun{ProductKey: "1234", DeviceName: "5678"}).MayUse(topic) || IsAlink(topic) {
		t.Error(topic)
	}
	if _, err := NewAlink().Wrap(thing+"event/property/post", 1, payload, false); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
}
