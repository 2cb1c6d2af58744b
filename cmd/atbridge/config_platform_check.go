package main

import (
	"encoding/base64"
	"reflect"
	"regexp"
	"time"
)

// platforms are the keys of cloud that name one, with the keys that each cannot do without.
var platforms = []struct {
	name     string
	required []string
}{
	{"aliyun", []string{"product_key", "device_name"}},
	{"easemob", []string{"host", "app_id", "device_id"}},
	{"onenet", []string{"product_id", "device_name", "key"}},
	{"tencent", []string{"product_id", "device_name", "psk"}},
	{"huawei", []string{"device_id", "secret", "host"}},
	{"baidu", []string{"core", "device_key", "device_secret", "region"}},
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
	}
	k.aliyun()
	if p := k.c.Cloud.OneNET; p != nil {
		k.base64("cloud.onenet.key", p.Key)
	}
	if p := k.c.Cloud.Tencent; p != nil {
		k.base64("cloud.tencent.psk", p.PSK)
	}
	return used
}

func (k *checker) require(key string) {
	if v, _ := lookup(k.c, key); v.IsZero() {
		k.missing(key, "is missing; the platform's console shows it")
	}
}

var digits = regexp.MustCompile(`^[0-9]*$`)

func (k *checker) aliyun() {
	a := k.c.Cloud.Aliyun
	if a == nil {
		return
	}
	if a.Register == "none" {
		k.require("cloud.aliyun.device_secret")
	} else {
		k.require("cloud.aliyun.product_secret")
	}
	if a.Region == "" && a.InstanceID == "" {
		k.wrong("cloud.aliyun.region", "is empty; use a region such as cn-shanghai, or name instance_id")
	}
	if !digits.MatchString(a.Timestamp) {
		k.wrong("cloud.aliyun.timestamp", "%s is no number of milliseconds; leave it empty if the platform has set none", shown(a.Timestamp))
	}
	if alive := time.Duration(k.c.Cloud.KeepAlive); alive < 30*time.Second || alive > 1200*time.Second {
		k.wrong("cloud.keepalive", "%v is refused by Aliyun; use 30s to 20m", k.c.Cloud.KeepAlive)
	}
}

func (k *checker) base64(key string, s Secret) {
	if _, err := base64.StdEncoding.DecodeString(s.Reveal()); err != nil {
		k.wrong(key, "is not base64; copy it whole, with the = at its end")
	}
}
