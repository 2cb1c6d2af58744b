package cloudtest

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Tencent's signatures and the sealing of an identity, by vectors that others have published.
func TestTencentRegistration(t *testing.T) {
	const secret = "X42fPqwHxPiIBwY94cY5sQ1Y"
	body := []byte(`{"ProductId":"JCZDFSOKXS","DeviceName":"dev002"}`)
	if got := tencentSign(secret, "ap-guangzhou.gateway.tencentdevices.com", "1700000000", "5456", body); got != "wlvwRSGfxRpiZ0nRP62nMcITo2ro+6mObmIO1sK6DA8=" {
		t.Error(got)
	}
	if got := tencentSignOld("8XzjN8rfgFVGDTNTUGau4snA", "device_1234", "1439928322", "S3EUVBRJLB", "1568692235"); got != "ZWM4YTEyMWE2ODUxYzk1M2Q0MDc2OWNmN2FhMTg1ZWM1ODgxMWNkNQ==" {
		t.Error(got)
	}
	for psk, want := range map[string][2]string{
		"7WmFA/MEs+Fy+32QwJWtYw==": {"8XzjN8rfgFVGDTNTUGau4snA", "eHGRUBar9LBPI+mcaHnVEZsj05mSdoZLPhd54hDJXv/2va2rXSpfddgRy5XE/FIS835NjUr5Mhw1AJSg4yGC/w=="},
		"xW5seX9c/Pi9/ojXqy+YcA==": {secret, "VquGm1QSJ8LtvTiGq3Zl8gyE5HeIuO2IHtF22EZkyXRiwtwT5beApNUc5HnSl4cEGPtmF+L1stfToazWkcVFuA=="},
	} {
		if got := seal(want[0], `{"encryptionType":2,"psk":"`+psk+`"}`); got != want[1] {
			t.Errorf("%s: %s", psk, got)
		}
	}
}

// connectFrame is a CONNECT packet with a clean session and a keepalive of a minute.
func connectFrame(id, user, password string) []byte {
	body := []byte("\x00\x04MQTT\x04\xc2\x00\x3c")
	for _, s := range []string{id, user, password} {
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(s))), s...)
	}
	return append(binary.AppendUvarint([]byte{0x10}, uint64(len(body))), body...)
}

// registerSign is what device1 of product a15YDgQGhU0 signs with the number 1234: a product of one of the SDKs' tests.
const registerSign = "3a91b729a46dbc7785427dcd6ac9ad914d71f2ea"

// registering opens a session for registration and returns it after the CONNACK, whose code it returns too.
func registering(t *testing.T, c *Cloud, p *AliyunProduct, mode, auth string) (*tls.Conn, byte) {
	t.Helper()
	conn, err := tls.Dial("tcp", c.Secure, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	frame := connectFrame("cid|securemode="+mode+",authType="+auth+",random=1234,signmethod=hmacsha1|", "device1&"+p.Key, registerSign)
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	return conn, answer[3]
}

// A session for registration is told the answer without being asked, and is cut when it does not leave in time: after 15 s, here
// sooner. Who leaves is not spoken of. Both securemodes that the documents name are taken.
func TestAliyunRegistrationEnds(t *testing.T) {
	const stay = 300 * time.Millisecond
	for auth, topic := range map[string]string{"register": "/ext/register", "regnwl": "/ext/regnwl"} {
		for _, mode := range []string{"2", "-2"} {
			p := &AliyunProduct{Key: "a15YDgQGhU0", Secret: "AP4HnuqhNqqArIkH", Register: true, Stay: stay}
			p.Device("device1", "")
			c := start(t, p)
			stays, code := registering(t, c, p, mode, auth)
			began := time.Now()
			if code != 0 {
				t.Fatalf("%s, securemode %s: CONNACK %d, %v", auth, mode, code, c.Refusals())
			}
			pushed, err := io.ReadAll(stays) // until it is cut
			if err != nil || pushed[0]>>4 != 3 || !strings.Contains(string(pushed), topic) {
				t.Errorf("%q, %v", pushed, err)
			}
			if d := time.Since(began); d < stay/2 {
				t.Errorf("cut after %v", d)
			}
			if why := c.Refusals(); len(why) != 1 || !strings.Contains(why[0], "was not ended within 300ms") {
				t.Errorf("%v", why)
			}
			leaves, _ := registering(t, c, p, mode, auth)
			if _, err := leaves.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			if _, err := leaves.Write([]byte{0xe0, 0}); err != nil {
				t.Error(err)
			}
			later, _ := registering(t, c, p, mode, auth)
			if _, err := io.Copy(io.Discard, later); err != nil { // when this one is cut, the time of that one is over
				t.Error(err)
			}
			if why := c.Refusals(); len(why) != 2 {
				t.Errorf("%v", why)
			}
		}
	}
	if d, no := (&AliyunProduct{Key: "a15YDgQGhU0", Secret: "AP4HnuqhNqqArIkH", Register: true}).login(connect{
		clientID: "cid|securemode=2,authType=regnwl,random=1234,signmethod=hmacsha1|", username: "device1&a15YDgQGhU0",
		password: registerSign, secure: true}, time.Now()); no != nil || d.pushEnd != 15*time.Second {
		t.Errorf("%v, %v", d.pushEnd, no)
	}
}

// Five devices may share a name that is not on the list.
func TestAliyunFiveOfOneName(t *testing.T) {
	p := &AliyunProduct{Key: "a15YDgQGhU0", Secret: "AP4HnuqhNqqArIkH", Register: true}
	for n := range 6 {
		_, no := p.login(connect{clientID: "cid|securemode=-2,authType=regnwl,random=1234,signmethod=hmacsha1|", username: "device1&a15YDgQGhU0",
			password: registerSign, secure: true}, time.Now())
		if refused := no != nil; refused != (n == 5) {
			t.Errorf("device %d: %v", n, no)
		}
	}
}

// The method's name is taken in any case, a device that was reset registers again, and the codes are those of the platform.
func TestAliyunForm(t *testing.T) {
	p := &AliyunProduct{Key: "a15YDgQGhU0", Secret: "AP4HnuqhNqqArIkH", Register: true}
	p.Device("device1", "")
	post := func(key, device, method, sign string) int {
		form := url.Values{"productKey": {key}, "deviceName": {device}, "random": {"1234"}, "sign": {sign}, "signMethod": {method}}
		r := httptest.NewRequest("POST", "/auth/register/device", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, code := p.registerByForm(r)
		return code
	}
	for _, v := range []struct {
		key, device, method, sign string
		code                      int
	}{
		{"a15YDgQGhU0", "device1", "hmacsha1", registerSign, 200},
		{"a15YDgQGhU0", "device1", "HmacSHA1", strings.ToUpper(registerSign), 200},
		{"a15YDgQGhU0", "device1", "hmacsha512", registerSign, 6292},
		{"a15YDgQGhU0", "device1", "hmacmd5", registerSign, 6600},
		{"a15YDgQGhU1", "device1", "hmacsha1", registerSign, 6250},
		{"a15YDgQGhU0", "", "hmacsha1", registerSign, 460},
	} {
		if code := post(v.key, v.device, v.method, v.sign); code != v.code {
			t.Errorf("%+v: %d", v, code)
		}
	}
	p.devices["device1"].active = true
	if code := post("a15YDgQGhU0", "device1", "hmacsha1", registerSign); code != 6289 {
		t.Error(code)
	}
	p.Reset("device1")
	if code := post("a15YDgQGhU0", "device1", "hmacsha1", registerSign); code != 200 {
		t.Error(code)
	}
	p.Register = false
	if code := post("a15YDgQGhU0", "device1", "hmacsha1", registerSign); code != 6288 {
		t.Error(code)
	}
}
