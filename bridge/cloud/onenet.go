package cloud

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// OneNET is a device of China Mobile's platform, by its new MQTT access.
type OneNET struct {
	ProductID  string
	DeviceName string // empty: the token is the product's
	Key        string // base64; a secret
	Method     string // md5, sha1, sha256, signed as it is written
	Version    string
	Expires    int64 // Unix seconds; 0: a day from now
	TLS        bool
}

// Params hold a token that ends.
func (o OneNET) Params(now time.Time) (Params, error) {
	p := Params{Host: "mqtts.heclouds.com", Port: 1883, TLS: o.TLS, ClientID: o.DeviceName, Username: o.ProductID}
	if o.TLS { // mqtts is the plain one
		p.Host, p.Port = "mqttstls.heclouds.com", 8883
	}
	end := o.Expires
	if end == 0 {
		p.Clocked, p.Expires = true, now.Add(tokenLife)
		end = p.Expires.Unix()
	}
	key, err := base64.StdEncoding.DecodeString(o.Key)
	if err != nil {
		return p, fmt.Errorf("cloud.onenet.key is not base64")
	}
	resource := "products/" + o.ProductID
	if o.DeviceName != "" {
		resource += "/devices/" + o.DeviceName
	}
	ends := strconv.FormatInt(end, 10)
	sign, err := mac(o.Method, key, ends+"\n"+o.Method+"\n"+resource+"\n"+o.Version)
	if err != nil {
		return p, fmt.Errorf("cloud.onenet.method: %w", err)
	}
	p.Password = "version=" + o.Version + "&res=" + url.QueryEscape(resource) + "&et=" + ends +
		"&method=" + o.Method + "&sign=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sign))
	return p, nil
}

// Rules of the new MQTT access.
func (o OneNET) Rules() Rules {
	return Rules{
		Name: "OneNET", KeepAliveMin: 10 * time.Second, KeepAliveMax: 1800 * time.Second,
		Keys: "cloud.onenet.key, product_id and device_name, and the clock",
	}
}
