package cloud

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Tencent is a device of Tencent Cloud's IoT Hub.
type Tencent struct {
	ProductID    string
	DeviceName   string
	PSK          string // base64; a secret
	SignMethod   string // hmacsha1, hmacsha256
	ConnectionID string // five letters or digits; empty: some
	Expires      int64  // Unix seconds; 0: a day from now
	TLS          bool
}

// tencentApp is the number that the platform's documentation gives to all.
const tencentApp = "12010126"

// Params hold a user name that ends.
func (t Tencent) Params(now time.Time) (Params, error) {
	p := Params{Host: t.ProductID + ".iotcloud.tencentdevices.com", Port: 1883, TLS: t.TLS, ClientID: t.ProductID + t.DeviceName}
	if t.TLS {
		p.Port = 8883
	}
	end := t.Expires
	if end == 0 {
		p.Clocked, p.Expires = true, now.Add(tokenLife)
		end = p.Expires.Unix()
	}
	key, err := base64.StdEncoding.DecodeString(t.PSK)
	if err != nil {
		return p, fmt.Errorf("cloud.tencent.psk is not base64")
	}
	connection := t.ConnectionID
	if connection == "" {
		connection = someID(fmt.Sprint(p.ClientID, now.UnixNano()))
	}
	p.Username = fmt.Sprintf("%s;%s;%s;%d", p.ClientID, tencentApp, connection, end)
	sum, err := mac(strings.TrimPrefix(t.SignMethod, "hmac"), key, p.Username)
	if err != nil {
		return p, fmt.Errorf("cloud.tencent.sign_method: %w", err)
	}
	p.Password = hex.EncodeToString(sum) + ";" + t.SignMethod
	return p, nil
}

// someID is five letters or digits that seed decides.
func someID(seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return hex.EncodeToString(sum[:])[:5]
}

// Rules of the platform's table of limits.
func (t Tencent) Rules() Rules {
	return Rules{
		Name: "Tencent", KeepAliveMax: 900 * time.Second, Topic: 255, Levels: 10, Payload: 16 << 10, NoRetain: true,
		Keys: "cloud.tencent.psk, product_id and device_name, and the clock",
	}
}
