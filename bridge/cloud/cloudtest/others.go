package cloudtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// noREST is a platform that nothing is asked of over HTTPS.
type noREST struct{}

func (noREST) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

func sum(algorithm func() hash.Hash, key []byte, text string) []byte {
	h := hmac.New(algorithm, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// OneNETDevice is one device of OneNET. The key is in base64.
type OneNETDevice struct {
	noREST
	Product, Name, Key string
}

func (d *OneNETDevice) hosts() map[string]string {
	return map[string]string{"mqtts.heclouds.com:1883": "plain", "mqttstls.heclouds.com:8883": "secure"}
}

func (d *OneNETDevice) login(c connect, now time.Time) (device, *refusal) {
	if c.clientID != d.Name || c.username != d.Product {
		return device{}, refuse(4, "device %q of product %q", c.clientID, c.username)
	}
	if c.keepalive < 10 || c.keepalive > 1800 {
		return device{}, refuse(5, "a keepalive of %d s", c.keepalive)
	}
	if strings.ContainsAny(strings.NewReplacer("&", "", "=", "").Replace(c.password), "+/ ") {
		return device{}, refuse(4, "a token that is not encoded")
	}
	v, err := url.ParseQuery(c.password)
	if err != nil {
		return device{}, refuse(4, "the token: %v", err)
	}
	ends, err := strconv.ParseInt(v.Get("et"), 10, 64)
	if err != nil || !time.Unix(ends, 0).After(now) {
		return device{}, refuse(4, "the token has ended at %s", v.Get("et"))
	}
	if v.Get("res") != "products/"+d.Product+"/devices/"+d.Name {
		return device{}, refuse(4, "a token for %s", v.Get("res"))
	}
	algorithm := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New}[strings.ToLower(v.Get("method"))]
	key, err := base64.StdEncoding.DecodeString(d.Key)
	if err != nil || algorithm == nil {
		return device{}, refuse(4, "method %q", v.Get("method"))
	}
	text := strings.Join([]string{v.Get("et"), v.Get("method"), v.Get("res"), v.Get("version")}, "\n")
	if base64.StdEncoding.EncodeToString(sum(algorithm, key, text)) != v.Get("sign") {
		return device{}, refuse(4, "a wrong signature")
	}
	return device{name: d.Name, ends: time.Unix(ends, 0)}, nil
}

// HuaweiDevice is one device of Huawei's IoTDA.
type HuaweiDevice struct {
	noREST
	Host, ID, Secret string
}

func (d *HuaweiDevice) hosts() map[string]string {
	return map[string]string{d.Host + ":1883": "plain", d.Host + ":8883": "secure"}
}

var huaweiID = regexp.MustCompile(`^(.+)_0_([01])_([0-9]{10})$`)

func (d *HuaweiDevice) login(c connect, now time.Time) (device, *refusal) {
	m := huaweiID.FindStringSubmatch(c.clientID)
	if m == nil || m[1] != d.ID {
		return device{}, refuse(2, "a client id that is not %s_0_{0|1}_YYYYMMDDHH", d.ID)
	}
	if c.keepalive < 30 || c.keepalive > 1200 {
		return device{}, refuse(2, "a keepalive of %d s", c.keepalive)
	}
	at, err := time.Parse("2006010215", m[3])
	if err != nil || m[2] == "1" && now.Sub(at).Abs() > time.Hour {
		return device{}, refuse(4, "the hour %s", m[3])
	}
	if c.username != d.ID || c.will || hex.EncodeToString(sum(sha256.New, []byte(m[3]), d.Secret)) != c.password {
		return device{}, refuse(4, "a wrong user name or password, or a will")
	}
	return device{name: d.ID, strict: true}, nil
}

// BaiduDevice is one device of Baidu's IoT Core.
type BaiduDevice struct {
	noREST
	Core, Region, Key, Secret string
}

func (d *BaiduDevice) hosts() map[string]string {
	host := d.Core + ".iot." + d.Region + ".baidubce.com"
	return map[string]string{host + ":1883": "plain", host + ":1884": "secure"}
}

var baiduID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,128}$`)

func (d *BaiduDevice) login(c connect, now time.Time) (device, *refusal) {
	part := strings.Split(c.username, "|")
	if len(part) == 3 { // without a time
		part = []string{part[0], part[1], "0", part[2]}
	}
	if !baiduID.MatchString(c.clientID) || len(part) != 4 || part[0] != "thingidp@"+d.Core || part[1] != d.Key {
		return device{}, refuse(4, "client id %q, user name %q", c.clientID, c.username)
	}
	if c.keepalive < 30 || c.keepalive > 1200 {
		return device{}, refuse(5, "a keepalive of %d s", c.keepalive)
	}
	if at, err := strconv.ParseInt(part[2], 10, 64); err != nil || at != 0 && now.Sub(time.Unix(at, 0)).Abs() > 10*time.Minute {
		return device{}, refuse(4, "the time %s", part[2])
	}
	text := part[1] + "&" + part[2] + "&" + part[3] + d.Secret
	var want string
	switch part[3] {
	case "MD5":
		want = hexOf(md5.New(), text)
	case "SHA256":
		want = hexOf(sha256.New(), text)
	}
	if want == "" || want != c.password {
		return device{}, refuse(4, "a wrong password (%s)", part[3])
	}
	return device{name: d.Key}, nil
}

func hexOf(h hash.Hash, text string) string {
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}
