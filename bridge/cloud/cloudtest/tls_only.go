package cloudtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// TuyaDevice is one device of Tuya's.
type TuyaDevice struct {
	noREST
	ID, Secret string
}

func (d *TuyaDevice) hosts() map[string]string {
	return map[string]string{"m1.tuyacn.com:8883": "secure"}
}

var tuyaUser = regexp.MustCompile(`^([^|]+)\|signMethod=hmacSha256,(timestamp=[0-9]+,secureMode=1,accessType=1)$`)

func (d *TuyaDevice) login(c connect, _ time.Time) (device, *refusal) {
	m := tuyaUser.FindStringSubmatch(c.username)
	if m == nil || m[1] != d.ID || c.clientID != "tuyalink_"+d.ID {
		return device{}, refuse(4, "client id %q, user name %q", c.clientID, c.username)
	}
	if hex.EncodeToString(sum(sha256.New, []byte(d.Secret), "deviceId="+d.ID+","+m[2])) != c.password {
		return device{}, refuse(4, "a wrong signature")
	}
	return device{name: d.ID}, nil
}

// AzureDevice is one device of an Azure hub. The key is in base64.
type AzureDevice struct {
	noREST
	Hub, ID, Key string
}

func (d *AzureDevice) host() string { return d.Hub + ".azure-devices.net" }

func (d *AzureDevice) hosts() map[string]string {
	return map[string]string{d.host() + ":8883": "secure"}
}

func (d *AzureDevice) login(c connect, now time.Time) (device, *refusal) {
	if c.clientID != d.ID || !strings.HasPrefix(c.username, d.host()+"/"+d.ID+"/?api-version=20") {
		return device{}, refuse(4, "client id %q, user name %q", c.clientID, c.username)
	}
	text, ok := strings.CutPrefix(c.password, "SharedAccessSignature ")
	token := map[string]string{} // as it stands: what is signed is escaped
	for _, pair := range strings.Split(text, "&") {
		name, value, _ := strings.Cut(pair, "=")
		token[name] = value
	}
	ends, err := strconv.ParseInt(token["se"], 10, 64)
	if !ok || err != nil || !time.Unix(ends, 0).After(now) {
		return device{}, refuse(4, "the token has ended at %s", token["se"])
	}
	if resource, err := url.QueryUnescape(token["sr"]); err != nil || resource != d.host()+"/devices/"+d.ID {
		return device{}, refuse(4, "a token for %s", token["sr"])
	}
	key, errKey := base64.StdEncoding.DecodeString(d.Key)
	sign, err := url.QueryUnescape(token["sig"])
	if want := sum(sha256.New, key, token["sr"]+"\n"+token["se"]); errKey != nil || err != nil || sign != base64.StdEncoding.EncodeToString(want) {
		return device{}, refuse(4, "a wrong signature")
	}
	return device{name: d.ID, ends: time.Unix(ends, 0)}, nil
}
