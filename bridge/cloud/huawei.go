package cloud

import (
	"encoding/hex"
	"time"
)

// Huawei is a device of Huawei Cloud's IoTDA.
type Huawei struct {
	DeviceID string
	Secret   string
	Host     string
	TLS      bool
}

// Params name the hour, in UTC. The 0 before it asks the platform not to compare it with its own: a device without a
// clock can log in.
func (h Huawei) Params(now time.Time) (Params, error) {
	hour := now.UTC().Format("2006010215")
	p := Params{Host: h.Host, Port: 1883, TLS: h.TLS, ClientID: h.DeviceID + "_0_0_" + hour, Username: h.DeviceID}
	if h.TLS {
		p.Port = 8883
	}
	sum, err := mac("sha256", []byte(hour), h.Secret) // the hour is the key, the secret the message
	p.Password = hex.EncodeToString(sum)
	return p, err
}

// Rules of the platform's table of limits.
func (h Huawei) Rules() Rules {
	return Rules{
		Name: "Huawei", KeepAliveMin: 30 * time.Second, KeepAliveMax: 1200 * time.Second, Payload: 1 << 20,
		Subscriptions: 100, NoRetain: true,
		Keys: "cloud.huawei.secret and device_id",
	}
}
