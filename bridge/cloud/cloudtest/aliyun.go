package cloudtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"sort"
	"strings"
	"sync"
	"time"
)

// AliyunProduct is one product, whose devices have their own secrets.
type AliyunProduct struct {
	Key, Secret string
	Region      string // empty: cn-shanghai
	Instance    string // empty: the old public instance
	Register    bool   // dynamic registration is on
	Strict      bool   // securemode has to fit the transport

	// WrongSign is the CONNACK code of a wrong signature; 0: 4. No document tells it.
	WrongSign byte

	// Stay is how long a session for registration may stay after it has been told the answer; 0: 15 s, as the platform has it.
	Stay time.Duration

	// Answers is for whom the registration by HTTPS answers, whoever asked; empty: for who asked.
	Answers string

	mu            sync.Mutex
	devices       map[string]*aliyunDevice
	registrations int
}

// aliyunDevice is what the console's list knows of one.
type aliyunDevice struct {
	secret string
	active bool
	tokens map[string]string // client id -> token, of registration without the list
}

// Device puts a device on the product's list; an empty secret is one that registration hands out.
func (p *AliyunProduct) Device(name, secret string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.device(name).secret = secret
}

// Reset forgets that a device was active, as the console's button does.
func (p *AliyunProduct) Reset(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.devices, name)
	p.device(name)
}

// Registrations is how many secrets and tokens have been handed out.
func (p *AliyunProduct) Registrations() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.registrations
}

func (p *AliyunProduct) device(name string) *aliyunDevice {
	if p.devices == nil {
		p.devices = map[string]*aliyunDevice{}
	}
	if p.devices[name] == nil {
		p.devices[name] = &aliyunDevice{tokens: map[string]string{}}
	}
	return p.devices[name]
}

func (p *AliyunProduct) hosts() map[string]string {
	region := p.Region
	if region == "" {
		region = "cn-shanghai"
	}
	broker := p.Key + ".iot-as-mqtt." + region + ".aliyuncs.com"
	if p.Instance != "" {
		broker = p.Instance + ".mqtt.iothub.aliyuncs.com"
	}
	return map[string]string{
		broker + ":1883": "plain", broker + ":8883": "secure", broker + ":443": "secure",
		"iot-auth." + region + ".aliyuncs.com:443": "https",
	}
}

// parseAliyun takes a client id apart: up to the first bar it is the device's, up to the last one a list. A value may hold
// a bar itself (one SDK says lan=JS|WX).
func parseAliyun(clientID string) (id string, list map[string]string, ok bool) {
	first, last := strings.Index(clientID, "|"), strings.LastIndex(clientID, "|")
	if first < 1 || last == first {
		return "", nil, false
	}
	list = map[string]string{}
	for _, pair := range strings.Split(clientID[first+1:last], ",") {
		if i := strings.Index(pair, "="); i > 0 {
			list[pair[:i]] = pair[i+1:]
		}
	}
	return clientID[:first], list, first <= 64 && last == len(clientID)-1
}

// aliyunHMAC signs values in the order of their names.
func aliyunHMAC(method, secret string, values map[string]string) (string, bool) {
	algorithm := map[string]func() hash.Hash{"hmacmd5": md5.New, "hmacsha1": sha1.New, "hmacsha256": sha256.New}[strings.ToLower(method)]
	if algorithm == nil {
		return "", false
	}
	var names []string
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	h := hmac.New(algorithm, []byte(secret))
	for _, name := range names {
		fmt.Fprint(h, name, values[name])
	}
	return hex.EncodeToString(h.Sum(nil)), true
}

func (p *AliyunProduct) login(c connect, _ time.Time) (device, *refusal) {
	id, list, ok := parseAliyun(c.clientID)
	if !ok {
		return device{}, refuse(2, "the client id has no list between bars, or more than 64 characters before it")
	}
	name, key, ok := strings.Cut(c.username, "&")
	if !ok || key != p.Key {
		return device{}, refuse(4, "the user name %q is not device&%s", c.username, p.Key)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch list["authType"] {
	case "register", "regnwl":
		return p.registering(c, name, list)
	}
	if c.keepalive < 30 || c.keepalive > 1200 {
		return device{}, refuse(5, "a keepalive of %d s", c.keepalive)
	}
	if c.will {
		return device{}, refuse(5, "a will")
	}
	d := p.devices[name]
	if d == nil {
		return device{}, refuse(p.wrong(), "no device %s", name)
	}
	if list["authType"] == "connwl" {
		if token := d.tokens[id]; token == "" || token != c.password || list["securemode"] != "-2" {
			return device{}, refuse(p.wrong(), "a wrong token, or securemode is not -2")
		}
		return p.in(name+"/"+id, name), nil
	}
	values := map[string]string{"clientId": id, "deviceName": name, "productKey": key}
	if t, given := list["timestamp"]; given {
		values["timestamp"] = t
	}
	method := list["signmethod"]
	if method == "" {
		method = "hmacmd5"
	}
	want, known := aliyunHMAC(method, d.secret, values)
	if !known || d.secret == "" || !strings.EqualFold(want, c.password) {
		return device{}, refuse(p.wrong(), "a wrong signature (%s)", method)
	}
	if fits := list["securemode"] == "3" && !c.secure || list["securemode"] == "2" && c.secure; !fits && p.Strict {
		return device{}, refuse(5, "securemode %q, TLS %v", list["securemode"], c.secure)
	}
	d.active = true
	return p.in(name, name), nil
}

func (p *AliyunProduct) wrong() byte {
	if p.WrongSign != 0 {
		return p.WrongSign
	}
	return 4
}

func (p *AliyunProduct) in(session, name string) device {
	return device{name: session, strict: true, uses: func(topic string) bool {
		level := strings.Split(topic, "/")
		at := func(i int, want ...string) bool {
			if len(level) < i+len(want) || level[0] != "" {
				return false
			}
			for j, w := range want {
				if level[i+j] != w {
					return false
				}
			}
			return true
		}
		switch {
		case at(1, p.Key, name), at(1, "sys", p.Key, name), at(1, "ext", "session", p.Key, name), at(1, "ext", "ntp", p.Key, name):
			return true
		case at(1, "shadow", "update", p.Key, name), at(1, "shadow", "get", p.Key, name), at(1, "ext", "error", p.Key, name):
			return true
		case at(1, "ota", "device") && at(4, p.Key, name), at(1, "ext", "rrpc"), at(1, "broadcast", p.Key), at(1, "ext", "network", "probe"):
			return true
		}
		return false
	}}
}
