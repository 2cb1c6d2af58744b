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
	{"tuya", []string{"device_id", "device_secret"}, cloud.Tuya{}.Rules()},
	{"azure", []string{"hub", "device_id", "key"}, cloud.Azure{}.Rules()},
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
			k.wrong("cloud.tencent.product_secret", "is too short: Tencent's have 16 characters or more; copy it whole")
		}
		k.base64("cloud.tencent.psk", p.PSK)
		k.future("cloud.tencent.expires", p.Expires)
		if p.ConnectionID != "" && !connectionID.MatchString(p.ConnectionID) {
			k.wrong("cloud.tencent.connection_id", "%s is not five letters or digits; leave it empty for any", shown(p.ConnectionID))
		}
	}
	if p := k.c.Cloud.Azure; p != nil {
		k.base64("cloud.azure.key", p.Key)
		k.future("cloud.azure.expires", p.Expires)
	}
	if c := k.c.Cloud; (c.Azure != nil || c.Tuya != nil) && c.Transport == "tcp" {
		k.wrong("cloud.transport", "tcp is not possible: the platform takes TLS only")
	}
	if p := k.c.Cloud.Baidu; p != nil {
		key, id := "cloud.baidu.device_key", p.DeviceKey
		if k.c.Cloud.ClientID != "" {
			key, id = "cloud.client_id", k.c.Cloud.ClientID
		}
		k.clientID(key, id, cloud.Baidu{}.Rules())
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
	filters := map[string]bool{}
	for i, route := range k.c.Routes.Up {
		k.topic(fmt.Sprintf("routes.up[%d].to", i), route.To, r)
	}
	for i, route := range k.c.Routes.Down {
		k.topic(fmt.Sprintf("routes.down[%d].from", i), route.From, r)
		filters[route.From] = true
	}
	if r.Subscriptions > 0 && len(filters) > r.Subscriptions {
		k.wrong("routes.down", "are %d subscriptions, and %s takes %d; join some with + or #", len(filters), r.Name, r.Subscriptions)
	}
}

// topic checks one that the platform will see. What is still to be filled in is checked when it is.
func (k *checker) topic(key, topic string, r cloud.Rules) {
	if err := r.CheckTopic(topic); err != nil && !strings.Contains(topic, "{") {
		k.wrong(key, "%v", err)
	}
}

// clientID checks one that key decides.
func (k *checker) clientID(key, id string, r cloud.Rules) {
	if err := r.CheckClientID(id); err != nil && !strings.Contains(id, "{") {
		k.wrong(key, "%v", err)
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

// aliyunTopics looks for topics that are not the device's own. A subscription to one fails, and with it the session; what the
// platform does with a message to one, nobody has written down.
func (k *checker) aliyunTopics(device cloud.Aliyun) {
	own := fmt.Sprintf("/%[1]s/%[2]s/ or /sys/%[1]s/%[2]s/", device.ProductKey, device.DeviceName)
	for i, r := range k.c.Routes.Up {
		if r.To != "" && !device.MayUse(r.To) {
			k.c.warn("routes.up[%d].to: %s is none of this device's topics, which begin with %s; Aliyun will not pass it", i, r.To, own)
		}
	}
	for i, r := range k.c.Routes.Down {
		key := fmt.Sprintf("routes.down[%d].from", i)
		switch {
		case r.From == "" || device.MayUse(r.From):
		case strings.Contains(r.From+own, "{"): // one may name what the other stands for
			k.c.warn("%s: %s is none of this device's topics, which begin with %s; Aliyun will refuse it", key, r.From, own)
		default:
			k.wrong(key, "%s is none of this device's topics, which begin with %s, and Aliyun refuses to subscribe to another", shown(r.From), own)
		}
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
	k.clientID("cloud.easemob.device_id", e.DeviceID+"@"+e.AppID, cloud.Easemob{}.Rules())
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
