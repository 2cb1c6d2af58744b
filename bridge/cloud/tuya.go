package cloud

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Tuya is a device of Tuya's cloud, by its TuyaLink protocol.
type Tuya struct {
	DeviceID     string
	DeviceSecret string
	Host         string // empty: the one in China
	Timestamp    int64  // Unix seconds; 0: now
}

// Params need TLS: the platform offers nothing else.
func (t Tuya) Params(now time.Time) (Params, error) {
	p := Params{Host: t.Host, Port: 8883, TLS: true, ClientID: "tuyalink_" + t.DeviceID}
	if p.Host == "" {
		p.Host = "m1.tuyacn.com"
	}
	at := t.Timestamp
	if at == 0 {
		p.Clocked, at = true, now.Unix()
	}
	p.Username = fmt.Sprintf("%s|signMethod=hmacSha256,timestamp=%d,secureMode=1,accessType=1", t.DeviceID, at)
	sum, err := mac("sha256", []byte(t.DeviceSecret), fmt.Sprintf("deviceId=%s,timestamp=%d,secureMode=1,accessType=1", t.DeviceID, at))
	p.Password = hex.EncodeToString(sum)
	return p, err
}

// Rules: none are published.
func (t Tuya) Rules() Rules {
	return Rules{Name: "Tuya", Keys: "cloud.tuya.device_secret and device_id, and the clock"}
}
