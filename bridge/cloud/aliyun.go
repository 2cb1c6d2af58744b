package cloud

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Aliyun is a device of the Aliyun IoT Platform.
type Aliyun struct {
	ProductKey, DeviceName string
	DeviceSecret           string // of the console, or of registration
	Region                 string
	InstanceID             string // empty: the old public instance
	ClientID               string // empty: product key and device name
	SignMethod             string // hmacmd5, hmacsha1, hmacsha256
	Timestamp              string // empty: none
	TLS                    bool
	CustomRRPC             bool // topics /ext/rrpc are wanted

	// Token is what registration without a device on the platform's list has handed out, instead of a DeviceSecret: a
	// client id of the platform's choice, and a password for good.
	Token *AliyunToken
}

// AliyunToken is what a device is given that registered itself under a name of its own.
type AliyunToken struct {
	ClientID string `json:"client_id"`
	Token    string `json:"device_token"` // a secret
}

const (
	aliyunPlain = 1883
	aliyunTLS   = 8883 // with Aliyun's own root
)

// Host is where its MQTT broker is.
func (a Aliyun) Host() string {
	if a.InstanceID != "" {
		return a.InstanceID + ".mqtt.iothub.aliyuncs.com"
	}
	return a.ProductKey + ".iot-as-mqtt." + a.Region + ".aliyuncs.com"
}

// Name is the part of the client id that is the device's own.
func (a Aliyun) Name() string {
	switch {
	case a.Token != nil:
		return a.Token.ClientID
	case a.ClientID != "":
		return a.ClientID
	}
	return a.ProductKey + "." + a.DeviceName
}

// Params of Aliyun need no clock: the timestamp is any number that both sides sign.
func (a Aliyun) Params(time.Time) (Params, error) {
	p := Params{Host: a.Host(), Port: aliyunPlain, TLS: a.TLS, Username: a.DeviceName + "&" + a.ProductKey}
	if a.TLS {
		p.Port = aliyunTLS
	}
	if a.Token != nil {
		p.ClientID = a.Name() + "|securemode=-2,authType=connwl" + a.extension() + "|"
		p.Password = a.Token.Token
		return p, nil
	}
	mode := 3
	if a.TLS {
		mode = 2
	}
	p.ClientID = fmt.Sprintf("%s|securemode=%d,signmethod=%s", a.Name(), mode, a.SignMethod)
	signed := "clientId" + a.Name() + "deviceName" + a.DeviceName + "productKey" + a.ProductKey
	if a.Timestamp != "" {
		p.ClientID += ",timestamp=" + a.Timestamp
		signed += "timestamp" + a.Timestamp
	}
	p.ClientID += a.extension() + "|"
	var err error
	p.Password, err = aliyunSign(a.SignMethod, a.DeviceSecret, signed)
	return p, err
}

func (a Aliyun) extension() string {
	if a.CustomRRPC {
		return ",ext=1"
	}
	return ""
}

// aliyunSign is what Aliyun calls a sign: a HMAC in hexadecimal. Content is the parameters in the order of their names, each
// followed by its value, and nothing between them.
func aliyunSign(method, secret, content string) (string, error) {
	sum, err := mac(strings.TrimPrefix(method, "hmac"), []byte(secret), content)
	if err != nil {
		return "", fmt.Errorf("cloud.aliyun.sign_method: %w", err)
	}
	return hex.EncodeToString(sum), nil
}

// Rules of Aliyun's table of protocol support.
func (a Aliyun) Rules() Rules {
	return Rules{
		Name:         "Aliyun",
		KeepAliveMin: 30 * time.Second, KeepAliveMax: 1200 * time.Second,
		NoRetain: true,
		Keys:     "cloud.aliyun.device_secret, product_key and device_name",
	}
}

// aliyunName is the longest part of the client id that is the device's own.
const aliyunName = 64

// CheckName refuses a client id that Aliyun would not read as it was meant.
func (a Aliyun) CheckName() error {
	switch name := a.Name(); {
	case len(name) > aliyunName:
		return fmt.Errorf("the client id %q has %d characters, and Aliyun takes %d; set a shorter one", name, len(name), aliyunName)
	case strings.ContainsRune(name, '|'):
		return fmt.Errorf("the client id %q holds |, which ends it; set another one", name)
	}
	return nil
}

// MayUse reports whether the device may publish or subscribe to topic: those of its own name, and the few that are for all.
func (a Aliyun) MayUse(topic string) bool {
	own := a.ProductKey + "/" + a.DeviceName
	for _, branch := range []string{
		"/" + own, "/sys/" + own, "/ext/session/" + own, "/shadow/update/" + own, "/shadow/get/" + own,
		"/ext/ntp/" + own, "/ext/rrpc", "/ext/error/" + own, "/ext/network", "/broadcast/" + a.ProductKey,
	} {
		if strings.HasPrefix(topic+"/", branch+"/") {
			return true
		}
	}
	return strings.HasPrefix(topic, "/ota/device/") && strings.HasSuffix(topic, "/"+own)
}
