package cloudtest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// registerLimit is AliyunProduct.Stay of the platform itself.
const registerLimit = 15 * time.Second

// maxTokens is how many devices may share a name that is not on the list.
const maxTokens = 5

// registering answers a CONNECT that is for registration. The caller holds the mutex.
func (p *AliyunProduct) registering(c connect, name string, list map[string]string) (device, *refusal) {
	if !c.secure {
		return device{}, refuse(2, "registration without TLS")
	}
	if mode := list["securemode"]; mode != "2" && mode != "-2" || list["random"] == "" || list["signmethod"] == "" || name == "" {
		return device{}, refuse(2, "registration lacks a parameter: %v", list)
	}
	if p.Instance != "" && list["instanceId"] != p.Instance {
		return device{}, refuse(2, "registration for instance %q", list["instanceId"])
	}
	want, known := aliyunHMAC(list["signmethod"], p.Secret, map[string]string{"deviceName": name, "productKey": p.Key, "random": list["random"]})
	if !known || !strings.EqualFold(want, c.password) {
		return device{}, refuse(4, "a registration with a wrong signature")
	}
	answer := map[string]string{"productKey": p.Key, "deviceName": name}
	topic := "/ext/register"
	if list["authType"] == "regnwl" {
		topic = "/ext/regnwl"
		d := p.device(name)
		if !p.Register || len(d.tokens) >= maxTokens {
			return device{}, refuse(5, "registration is off, or %d devices use the name", len(d.tokens))
		}
		id, token := rand.Text()[:16], rand.Text()
		d.tokens[id] = token
		p.registrations++
		answer["clientId"], answer["deviceToken"] = id, token
	} else {
		secret, code := p.handOut(name)
		if code != 200 {
			return device{}, refuse(5, "registration: code %d", code)
		}
		answer["deviceSecret"] = secret
	}
	payload, err := json.Marshal(answer)
	if err != nil {
		return device{}, refuse(3, "%v", err)
	}
	return device{name: name, push: &push{topic, payload}, pushEnd: cmp.Or(p.Stay, registerLimit)}, nil
}

// handOut makes a secret for a device on the list that is not active yet, another one each time: the last one counts.
func (p *AliyunProduct) handOut(name string) (secret string, code int) {
	d := p.devices[name]
	switch {
	case !p.Register:
		return "", 6288
	case d == nil:
		return "", 6100
	case d.active:
		return "", 6289
	}
	b := make([]byte, 16)
	rand.Read(b) // it never fails
	d.secret = fmt.Sprintf("%x", b)
	p.registrations++
	return d.secret, 200
}

// ServeHTTP is the registration by HTTPS.
func (p *AliyunProduct) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/auth/register/device" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		http.NotFound(w, r)
		return
	}
	data, code := p.registerByForm(r)
	message := "success"
	if code != 200 {
		message = fmt.Sprintf("error %d", code)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"code": code, "data": data, "message": message})
}

func (p *AliyunProduct) registerByForm(r *http.Request) (data map[string]string, code int) {
	form := r.PostFormValue
	for _, name := range []string{"productKey", "deviceName", "random", "sign", "signMethod"} {
		if form(name) == "" {
			return nil, 460
		}
	}
	if form("productKey") != p.Key {
		return nil, 6250
	}
	want, known := aliyunHMAC(form("signMethod"), p.Secret,
		map[string]string{"deviceName": form("deviceName"), "productKey": p.Key, "random": form("random")})
	if !known {
		return nil, 6292
	}
	if !strings.EqualFold(want, form("sign")) {
		return nil, 6600
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	secret, code := p.handOut(form("deviceName"))
	if code != 200 {
		return nil, code
	}
	return map[string]string{"deviceName": cmp.Or(p.Answers, form("deviceName")), "deviceSecret": secret, "productKey": p.Key}, 200
}
