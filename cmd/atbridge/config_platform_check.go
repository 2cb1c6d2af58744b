package main

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/atbridge/atbridge/bridge/cloud"
)

// platforms are the keys of cloud that name one, with the keys that each cannot do without, and what it forbids.
var platforms = []struct {
	name     string
	required []string
	rules    cloud.Rules
}{
	{"aliyun", []string{"product_key", "device_name"}, cloud.Aliyun{}.Rules()},
	{"easemob", []string{"app_id", "device_id"}, cloud.Easemob{}.Rules()},
	{"onenet", []string{"product_id", "device_name", "key"}, cloud.OneNET{}.Rules()},
	{"tencent", []string{"product_id", "device_name"}, cloud.Tencent{}.Rules()},
	{"huawei", []string{"device_id", "secret", "host"}, cloud.Huawei{}.Rules()},
	{"baidu", []string{"core", "device_key", "device_secret", "region"}, cloud.Baidu{}.Rules()},
}

func platformNames() []string {
	var names []string
	for _, p := range platforms {
		names = append(names, p.name)
	}
	return names
}

// platforms checks the platforms that are configured and returns their names. A section that says nothing beyond
// the defaults, as in a file that lists every key, is none.
func (k *checker) platforms() []string {
	var used []string
	for _, p := range platforms {
		key := "cloud." + p.name
		section, _ := lookup(k.c, key)
		if section.IsNil() {
			continue
		}
		blank := reflect.New(section.Type().Elem())
		if s, ok := blank.Interface().(defaulter); ok {
			s.setDefaults()
		}
		if section.Elem().Equal(blank.Elem()) {
			section.SetZero()
			continue
		}
		used = append(used, p.name)
		for _, name := range p.required {
			k.require(join(key, name))
		}
		k.names(key, section.Elem())
		k.rules(p.name, p.rules)
	}
	k.aliyun()
	k.easemob()
	if p := k.c.Cloud.OneNET; p != nil {
		k.base64("cloud.onenet.key", p.Key)
		k.future("cloud.onenet.expires", p.Expires)
	}
	if p := k.c.Cloud.Tencent; p != nil {
		k.secretOr("psk", "tencent")
		if n := len(p.ProductSecret); n > 0 && n < 16 {
			k.wrong("cloud.tencent.product_secret", "has %d characters, and Tencent's have 16 or more; copy it whole", n)
		}
		k.base64("cloud.tencent.psk", p.PSK)
		k.future("cloud.tencent.expires", p.Expires)
		if p.ConnectionID != "" && !connectionID.MatchString(p.ConnectionID) {
			k.wrong("cloud.tencent.connection_id", "%s is not five letters or digits; leave it empty for any", shown(p.ConnectionID))
		}
	}
	return used
}

var connectionID = regexp.MustCompile(`^[0-9A-Za-z]{5}$`)

func (k *checker) require(key string) {
	if v, _ := lookup(k.c, key); v.IsZero() {
		k.missing(key, "is missing; the platform's console shows it")
	}
}

// secretOr requires the device's own secret, or the product's where devices register.
func (k *checker) secretOr(own, platform string) {
	if k.c.register().how == "none" {
		k.require("cloud." + platform + "." + own)
	} else if !k.c.anyIdentity() { // once registered, the device can do without
		k.require("cloud." + platform + ".product_secret")
	}
}

// rules checks what a session is told against what the platform forbids.
func (k *checker) rules(name string, r cloud.Rules) {
	alive := time.Duration(k.c.Cloud.KeepAlive)
	if alive < r.KeepAliveMin || r.KeepAliveMax > 0 && alive > r.KeepAliveMax {
		k.wrong("cloud.keepalive", "%v is refused by %s; use %v to %v", k.c.Cloud.KeepAlive, r.Name, Duration(r.KeepAliveMin), Duration(r.KeepAliveMax))
	}
	own := map[string]string{"client_id": "baidu", "password": "easemob"}
	for _, key := range []string{"client_id", "username", "password"} {
		if v, _ := lookup(k.c, "cloud."+key); !v.IsZero() && own[key] != name {
			k.c.warn("cloud.%s: is not used; %s is told what cloud.%s says", key, r.Name, name)
		}
	}
	if r.Topic == 0 {
		return
	}
	for i, route := range k.c.Routes.Up {
		if len(route.To) > r.Topic && !strings.Contains(route.To, "{") {
			k.wrong(fmt.Sprintf("routes.up[%d].to", i), "has %d characters, and %s takes topics of %d", len(route.To), r.Name, r.Topic)
		}
	}
}

// future warns of a login that has ended already.
func (k *checker) future(key string, expires int) {
	if expires > 0 && cloud.Plausible(time.Now()) && time.Unix(int64(expires), 0).Before(time.Now()) {
		k.c.warn("%s: %s is past, so the platform will refuse the login; remove it for a day from now", key, time.Unix(int64(expires), 0).UTC().Format(time.RFC3339))
	}
}

var digits = regexp.MustCompile(`^[0-9]*$`)

func (k *checker) aliyun() {
	a := k.c.Cloud.Aliyun
	if a == nil {
		return
	}
	k.secretOr("device_secret", "aliyun")
	if a.Region == "" && (a.InstanceID == "" || a.Register == "preregistered") {
		k.wrong("cloud.aliyun.region", "is empty; use a region such as cn-shanghai, or name instance_id")
	}
	if !digits.MatchString(a.Timestamp) {
		k.wrong("cloud.aliyun.timestamp", "%s is no number of milliseconds; leave it empty if the platform has set none", shown(a.Timestamp))
	}
	device := cloud.Aliyun{ProductKey: a.ProductKey, DeviceName: a.DeviceName, ClientID: a.ClientID}
	if err := device.CheckName(); err != nil && !strings.Contains(device.Name(), "{") {
		k.wrong("cloud.aliyun.client_id", "%v", err)
	}
	k.aliyunTopics(device)
}

// aliyunTopics warns of topics that are not the device's own: nobody has written down what the platform does with them.
func (k *checker) aliyunTopics(device cloud.Aliyun) {
	foreign := func(key, topic string) {
		if topic != "" && !device.MayUse(topic) {
			k.c.warn("%s: %s is none of this device's topics, which begin with /%s/%s/ or /sys/%s/%s/; Aliyun will not pass it",
				key, topic, device.ProductKey, device.DeviceName, device.ProductKey, device.DeviceName)
		}
	}
	for i, r := range k.c.Routes.Up {
		foreign(fmt.Sprintf("routes.up[%d].to", i), r.To)
	}
	for i, r := range k.c.Routes.Down {
		foreign(fmt.Sprintf("routes.down[%d].from", i), r.From)
	}
}

func (k *checker) easemob() {
	e := k.c.Cloud.Easemob
	if e == nil {
		return
	}
	if k.c.Cloud.Password == "" { // a user's token that was fetched elsewhere
		k.require("cloud.easemob.client_id")
		k.require("cloud.easemob.client_secret")
	}
	if id := e.DeviceID + "@" + e.AppID; !strings.Contains(id, "{") {
		r := cloud.Easemob{}.Rules()
		bad := strings.IndexFunc(id, func(c rune) bool { return !r.ClientIDBytes(c) }) >= 0
		if len(id) > r.ClientID || bad {
			k.wrong("cloud.easemob.device_id", "makes the client id %s, and Easemob takes %d letters, digits, -, _ and @", shown(id), r.ClientID)
		}
	}
	if e.APIURL == "" {
		return
	}
	if u, err := url.Parse(e.APIURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		k.wrong("cloud.easemob.api_url", "is no address; the console shows it, such as https://api.cn1.mqtt.chat/app/%s", e.AppID)
	} else if u.Scheme == "http" && !loopback(u.Hostname()) {
		k.wrong("cloud.easemob.api_url", "sends client_secret readable to everyone on the way; use https")
	}
}

func (k *checker) base64(key string, s Secret) {
	if _, err := base64.StdEncoding.DecodeString(s.Reveal()); err != nil {
		k.wrong(key, "is not base64; copy it whole, with the = at its end")
	}
}
