package cloud

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/atbridge/atbridge/bridge/mqtt"
	"github.com/atbridge/atbridge/modems"
)

// Dial is a way into the network, such as that of net.Dialer or of a modem.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Registration gets a device its own secret, by the secret of its product.
type Registration struct {
	Aliyun        Aliyun
	ProductSecret string
	Unregistered  bool // the platform does not know the device's name yet
	Dial          Dial
	TLS           modems.TLSConfig
	Clock         Clock
	Place         *Place // where the identity goes as soon as it is here
}

// ErrRegistration: the platform has refused, and would refuse again.
var ErrRegistration = errors.New("Aliyun refused the registration")

const (
	registerTimeout = 60 * time.Second // a cellular handshake takes some
	maxAnswer       = 64 << 10
)

// Register asks the platform once, and stores what it hands out. It asks by HTTPS where that is possible: of the old
// public instance, for a device on its list.
func (r Registration) Register(ctx context.Context) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	nonce := rand.Text()[:16]
	sign, err := aliyunSign(r.Aliyun.SignMethod, r.ProductSecret, "deviceName"+r.Aliyun.DeviceName+"productKey"+r.Aliyun.ProductKey+"random"+nonce)
	if err != nil {
		return Identity{}, err
	}
	if !r.Unregistered && r.Aliyun.InstanceID == "" {
		return r.byHTTPS(ctx, nonce, sign)
	}
	return r.byMQTT(ctx, nonce, sign)
}

// keep stores i, if it is what was asked for.
func (r Registration) keep(i Identity) (Identity, error) {
	switch {
	case !i.Of(r.Aliyun):
		return i, fmt.Errorf("%w: it answered for another device, %s of %s", ErrRegistration, i.DeviceName, i.ProductKey)
	case i.DeviceSecret == "" && (i.Token == nil || i.Token.ClientID == "" || i.Token.Token == ""):
		return i, errors.New("registering with Aliyun: its answer holds no secret")
	}
	return i, r.Place.Store(i)
}

// byHTTPS is for devices on the platform's list.
func (r Registration) byHTTPS(ctx context.Context, nonce, sign string) (Identity, error) {
	form := url.Values{
		"productKey": {r.Aliyun.ProductKey}, "deviceName": {r.Aliyun.DeviceName}, "random": {nonce},
		"sign": {sign}, "signMethod": {r.Aliyun.SignMethod}, // signmethod, in MQTT
	}
	address := "https://iot-auth." + r.Aliyun.Region + ".aliyuncs.com/auth/register/device"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return Identity{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "text/xml,text/javascript,text/html,application/json")
	var answer struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    struct {
			ProductKey   string `json:"productKey"`
			DeviceName   string `json:"deviceName"`
			DeviceSecret string `json:"deviceSecret"`
		} `json:"data"`
	}
	client, err := httpClient(r.Dial, r.TLS.CAFile, r.Clock)
	if err != nil {
		return Identity{}, err
	}
	if err := exchange(client, req, &answer); err != nil {
		return Identity{}, fmt.Errorf("registering with Aliyun: %w", err)
	}
	if answer.Code != 200 {
		return Identity{}, refusedWith(answer.Code, answer.Message)
	}
	d := answer.Data
	return r.keep(Identity{ProductKey: d.ProductKey, DeviceName: d.DeviceName, DeviceSecret: d.DeviceSecret})
}

// refusedWith says what a code of Aliyun means, and which key of the configuration to look at.
func refusedWith(code int, message string) error {
	words := map[int]string{
		460:  "a parameter is wrong; check cloud.aliyun.product_key and device_name",
		6100: "it knows no such device; add it in the console, or check cloud.aliyun.device_name",
		6250: "it knows no such product; check cloud.aliyun.product_key",
		6288: "dynamic registration is off for this product; switch it on in the console",
		6289: "the device is active already, so it was given its secret before; reset it in the console, or set cloud.aliyun.device_secret and register: none",
		6292: "it does not know cloud.aliyun.sign_method",
		6600: "the signature is wrong; check cloud.aliyun.product_secret",
	}
	text := words[code]
	if text == "" {
		text = message
	}
	err := fmt.Errorf("%w (code %d): %s", ErrRegistration, code, text)
	if code == 500 || code == 429 {
		return fmt.Errorf("registering with Aliyun (code %d): %s", code, message)
	}
	return err
}

// byMQTT is a session of its own, over TLS alone: the platform pushes the answer without being asked, and wants to see the
// device go.
func (r Registration) byMQTT(ctx context.Context, nonce, sign string) (Identity, error) {
	a := r.Aliyun
	mode, auth := 2, "register"
	if r.Unregistered {
		auth = "regnwl"
	}
	instance := ""
	if a.InstanceID != "" {
		mode, instance = -2, ",instanceId="+a.InstanceID
	}
	cfg := modems.MQTTConfig{
		Host: a.Host(), Port: aliyunTLS, TLS: &r.TLS, Clock: r.Clock, KeepAlive: time.Minute, CleanSession: true,
		ClientID: fmt.Sprintf("%s|securemode=%d,authType=%s,random=%s,signmethod=%s%s|", a.Name(), mode, auth, nonce, a.SignMethod, instance),
		Username: a.DeviceName + "&" + a.ProductKey,
		Password: sign,
	}
	s, err := mqtt.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return r.Dial(ctx, "tcp", net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)))
	}, cfg)
	var refused modems.ConnackError
	switch {
	case errors.As(err, &refused) && refused != 3: // 3 is a fault of the cloud's own
		return Identity{}, fmt.Errorf("%w: %w; check cloud.aliyun.product_secret, product_key and device_name", ErrRegistration, err)
	case err != nil:
		return Identity{}, fmt.Errorf("registering with Aliyun: %w", err)
	}
	i, err := pushed(ctx, s)
	if err == nil {
		i, err = r.keep(i) // before the goodbye, which takes its time
	}
	if errClose := s.Close(context.WithoutCancel(ctx)); err != nil {
		err = errors.Join(err, errClose) // else the identity is on the disk, and the session of no further use
	}
	return i, err
}

// pushed waits for the message that nobody has subscribed to.
func pushed(ctx context.Context, s modems.Session) (Identity, error) {
	for {
		d, err := s.Receive(ctx)
		if err != nil {
			return Identity{}, fmt.Errorf("registering with Aliyun: it took the connection and sent no identity: %w", err)
		}
		m := d.Message()
		if m.Topic != "/ext/register" && m.Topic != "/ext/regnwl" { // which one is told differently by different documents
			continue
		}
		var p struct{ ProductKey, DeviceName, DeviceSecret, ClientID, DeviceToken string }
		if err := json.Unmarshal(m.Payload, &p); err != nil {
			return Identity{}, fmt.Errorf("registering with Aliyun: the identity is no JSON: %w", err)
		}
		i := Identity{ProductKey: p.ProductKey, DeviceName: p.DeviceName, DeviceSecret: p.DeviceSecret}
		if p.DeviceToken != "" {
			i.Token = &AliyunToken{ClientID: p.ClientID, Token: p.DeviceToken}
		}
		return i, nil
	}
}
