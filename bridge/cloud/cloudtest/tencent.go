package cloudtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TencentDevice is one device of Tencent's IoT Hub. The psk is in base64.
type TencentDevice struct {
	noREST
	Product, Name, PSK string
}

func (d *TencentDevice) hosts() map[string]string {
	host := d.Product + ".iotcloud.tencentdevices.com"
	return map[string]string{host + ":1883": "plain", host + ":8883": "secure"}
}

var tencentUser = regexp.MustCompile(`^([^;]+);(12010126|21010406);[0-9A-Za-z]{5};([0-9]+)$`)

func (d *TencentDevice) login(c connect, now time.Time) (device, *refusal) {
	m := tencentUser.FindStringSubmatch(c.username)
	if m == nil || m[1] != d.Product+d.Name || c.clientID != m[1] {
		return device{}, refuse(4, "client id %q, user name %q", c.clientID, c.username)
	}
	if c.keepalive > 900 || c.will {
		return device{}, refuse(5, "a keepalive of %d s, will %v", c.keepalive, c.will)
	}
	if ends, err := strconv.ParseInt(m[3], 10, 64); err != nil || ends <= now.Unix() {
		return device{}, refuse(4, "the login has ended at %s", m[3])
	}
	sign, method, _ := strings.Cut(c.password, ";")
	algorithm := map[string]func() hash.Hash{"hmacsha1": sha1.New, "hmacsha256": sha256.New}[method]
	key, err := base64.StdEncoding.DecodeString(d.PSK)
	if err != nil || algorithm == nil || hex.EncodeToString(sum(algorithm, key, c.username)) != sign {
		return device{}, refuse(4, "a wrong signature (%s)", method)
	}
	return device{name: m[1], strict: true}, nil
}

// TencentProduct is one product, whose devices are given their keys by registration.
type TencentProduct struct {
	ID, Secret string
	Register   bool // dynamic registration is on
	Create     bool // also for devices that are not on the list

	mu            sync.Mutex
	keys          map[string]string // device -> psk; "": none has been handed out
	registrations int
}

// Device puts a device on the product's list.
func (p *TencentProduct) Device(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(name)
}

func (p *TencentProduct) add(name string) {
	if p.keys == nil {
		p.keys = map[string]string{}
	}
	p.keys[name] = ""
}

// Registrations is how many keys have been handed out.
func (p *TencentProduct) Registrations() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.registrations
}

func (p *TencentProduct) hosts() map[string]string {
	hosts := (&TencentDevice{Product: p.ID}).hosts()
	hosts["ap-guangzhou.gateway.tencentdevices.com:443"] = "https"
	hosts["gateway.tencentdevices.com:443"] = "https"
	return hosts
}

func (p *TencentProduct) login(c connect, now time.Time) (device, *refusal) {
	name := strings.TrimPrefix(c.clientID, p.ID)
	p.mu.Lock()
	psk := p.keys[name]
	p.mu.Unlock()
	if psk == "" {
		return device{}, refuse(4, "no key for device %q", name)
	}
	return (&TencentDevice{Product: p.ID, Name: name, PSK: psk}).login(c, now)
}

// handOut is the identity of a device, sealed, or why there is none. Whoever asks again is told the same.
func (p *TencentProduct) handOut(product, name string) (payload string, length, state int, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	psk, listed := p.keys[name]
	switch {
	case product != p.ID:
		return "", 0, 0, "no such product"
	case !p.Register:
		return "", 0, 0, "dynamic registration is off"
	case !listed && !p.Create:
		return "", 0, 0, "no such device"
	case !listed:
		p.add(name)
	default:
		state = 1
	}
	if psk == "" {
		b := make([]byte, 16)
		rand.Read(b) // it never fails
		psk = base64.StdEncoding.EncodeToString(b)
		p.keys[name] = psk
	}
	p.registrations++
	plain := fmt.Sprintf(`{"encryptionType":2,"psk":"%s"}`, psk)
	return seal(p.Secret, plain), len(plain), state, ""
}

// seal encrypts plain, filled up with zeros.
func seal(secret, plain string) string {
	b := []byte(plain)
	for len(b)%aes.BlockSize != 0 {
		b = append(b, 0)
	}
	block, err := aes.NewCipher([]byte(secret)[:16])
	if err != nil {
		return ""
	}
	cipher.NewCBCEncrypter(block, bytes.Repeat([]byte("0"), 16)).CryptBlocks(b, b)
	return base64.StdEncoding.EncodeToString(b)
}

// ServeHTTP is the registration, by the present interface and by the one before it.
func (p *TencentProduct) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.Host + r.URL.Path {
	case "ap-guangzhou.gateway.tencentdevices.com/device/register":
		json.NewEncoder(w).Encode(map[string]any{"Response": p.registered(r, body)})
	case "gateway.tencentdevices.com/register/dev":
		json.NewEncoder(w).Encode(p.registeredOld(body))
	default:
		http.NotFound(w, r)
	}
}

func (p *TencentProduct) registered(r *http.Request, body []byte) map[string]any {
	var asked struct {
		Product string `json:"ProductId"`
		Device  string `json:"DeviceName"`
	}
	fail := func(code, why string) map[string]any {
		return map[string]any{"Error": map[string]string{"Code": code, "Message": why}, "RequestId": "1"}
	}
	if json.Unmarshal(body, &asked) != nil || asked.Device == "" || !strings.EqualFold(r.Header.Get("X-TC-Algorithm"), "hmacsha256") {
		return fail("InvalidParameter", "a parameter is missing")
	}
	if sign := tencentSign(p.Secret, r.Host, r.Header.Get("X-TC-Timestamp"), r.Header.Get("X-TC-Nonce"), body); sign != r.Header.Get("X-TC-Signature") {
		return fail("AuthFailure", "the signature is wrong")
	}
	payload, length, state, why := p.handOut(asked.Product, asked.Device)
	if why != "" {
		return fail("ResourceNotFound", why)
	}
	return map[string]any{"Len": length, "Payload": payload, "RequestId": "1", "State": state}
}

func tencentSign(secret, host, timestamp, nonce string, body []byte) string {
	text := strings.Join([]string{"POST", host, "/device/register", "", "hmacsha256", timestamp, nonce, hexOf(sha256.New(), string(body))}, "\n")
	return base64.StdEncoding.EncodeToString(sum(sha256.New, []byte(secret), text))
}

func (p *TencentProduct) registeredOld(body []byte) map[string]any {
	var asked struct {
		DeviceName, ProductId, Signature string
		Nonce, Timestamp                 json.Number
	}
	if json.Unmarshal(body, &asked) != nil || asked.DeviceName == "" {
		return map[string]any{"code": 1001, "message": "a parameter is missing"}
	}
	if asked.Signature != tencentSignOld(p.Secret, asked.DeviceName, asked.Nonce.String(), asked.ProductId, asked.Timestamp.String()) {
		return map[string]any{"code": 1021, "message": "the signature is wrong"}
	}
	payload, length, _, why := p.handOut(asked.ProductId, asked.DeviceName)
	if why != "" {
		return map[string]any{"code": 1011, "message": why}
	}
	return map[string]any{"code": 0, "message": "", "len": length, "payload": payload}
}

func tencentSignOld(secret, device, nonce, product, timestamp string) string {
	text := "deviceName=" + device + "&nonce=" + nonce + "&productId=" + product + "&timestamp=" + timestamp
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum(sha1.New, []byte(secret), text))))
}
