package cloud

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Baidu is a device of Baidu's IoT Core.
type Baidu struct {
	Core         string
	DeviceKey    string
	DeviceSecret string
	Region       string // gz, bj
	Algorithm    string // MD5, SHA256
	Timestamp    int64  // Unix seconds; 0: the platform does not look at it
	ClientID     string // empty: the device's key
	TLS          bool
}

// Params of Baidu hold a plain hash, no HMAC.
func (b Baidu) Params(time.Time) (Params, error) {
	p := Params{Host: b.Core + ".iot." + b.Region + ".baidubce.com", Port: 1883, TLS: b.TLS, ClientID: b.ClientID}
	if b.TLS {
		p.Port = 1884
	}
	if p.ClientID == "" {
		p.ClientID = b.DeviceKey
	}
	h, ok := hashes[strings.ToLower(b.Algorithm)]
	if !ok {
		return p, fmt.Errorf("cloud.baidu.algorithm: %q is not known", b.Algorithm)
	}
	p.Username = fmt.Sprintf("thingidp@%s|%s|%d|%s", b.Core, b.DeviceKey, b.Timestamp, b.Algorithm)
	sum := h()
	fmt.Fprintf(sum, "%s&%d&%s%s", b.DeviceKey, b.Timestamp, b.Algorithm, b.DeviceSecret)
	p.Password = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

// Rules of the platform's table of limits.
func (b Baidu) Rules() Rules {
	return Rules{
		Name: "Baidu", KeepAliveMin: 30 * time.Second, KeepAliveMax: 1200 * time.Second,
		ClientID: 128, ClientIDMarks: "_-", Payload: 32 << 10, Subscriptions: 100,
		Keys: "cloud.baidu.device_secret, device_key and core",
	}
}
