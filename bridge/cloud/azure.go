package cloud

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Azure is a device of an Azure IoT Hub, with a key of its own or a policy's.
type Azure struct {
	Hub      string // of HUB.azure-devices.net
	DeviceID string
	Key      string // base64; a secret
	Policy   string // whose key it is; empty: the device's own
	Expires  int64  // Unix seconds; 0: a day from now
}

// azureVersion is that of the interface, which a user name has to tell.
const azureVersion = "2021-04-12"

// Params hold a token that ends, and need TLS: the platform offers nothing else.
func (a Azure) Params(now time.Time) (Params, error) {
	p := Params{Host: a.Hub + ".azure-devices.net", Port: 8883, TLS: true, ClientID: a.DeviceID}
	p.Username = fmt.Sprintf("%s/%s/?api-version=%s", p.Host, a.DeviceID, azureVersion)
	end := a.Expires
	if end == 0 {
		p.Clocked, p.Expires = true, now.Add(tokenLife)
		end = p.Expires.Unix()
	}
	key, err := base64.StdEncoding.DecodeString(a.Key)
	if err != nil {
		return p, errors.New("cloud.azure.key is not base64")
	}
	resource := url.QueryEscape(p.Host + "/devices/" + a.DeviceID) // signed as it is sent: escaped
	sum, err := mac("sha256", key, fmt.Sprintf("%s\n%d", resource, end))
	p.Password = fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d", resource, url.QueryEscape(base64.StdEncoding.EncodeToString(sum)), end)
	if a.Policy != "" {
		p.Password += "&skn=" + url.QueryEscape(a.Policy)
	}
	return p, err
}

// Rules of the hub.
func (a Azure) Rules() Rules {
	return Rules{Name: "Azure", Payload: 256 << 10, Keys: "cloud.azure.key, hub and device_id, and the clock"}
}
