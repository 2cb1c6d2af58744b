package cloud

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

// Where Tencent registers devices: its present interface, and the one before it.
const (
	tencentRegister    = "https://ap-guangzhou.gateway.tencentdevices.com/device/register"
	tencentRegisterOld = "https://gateway.tencentdevices.com/register/dev"
)

// Names are the product's and the device's.
func (t Tencent) Names() (product, device string) { return t.ProductID, t.DeviceName }

// With is the device with what it has been given.
func (t Tencent) With(i Identity) Platform {
	t.PSK = i.DeviceSecret
	return t
}

// tencentAnswer is that of either interface.
type tencentAnswer struct {
	Response struct {
		tencentPayload
		Error struct{ Code, Message string }
	}
	tencentPayload
	Code    int
	Message string
}

// tencentPayload is the identity, encrypted. Len is without the zeros at its end.
type tencentPayload struct {
	Payload string
	Len     int
}

func (t Tencent) register(ctx context.Context, r Registration) (Identity, error) {
	nonce, err := rand.Int(rand.Reader, big.NewInt(1<<31))
	if err != nil {
		return Identity{}, err
	}
	ask := t.request
	if r.How == "dynamic-old" {
		ask = t.requestOld
	}
	now, err := r.Clock()
	if err != nil {
		return Identity{}, err
	}
	req, err := ask(ctx, r.ProductSecret, now, nonce.Int64())
	if err != nil {
		return Identity{}, err
	}
	client, err := httpClient(r.Dial, r.TLS.CAFile, r.Clock)
	if err != nil {
		return Identity{}, err
	}
	var answer tencentAnswer
	if err := exchange(client, req, &answer); err != nil {
		return Identity{}, err
	}
	sealed := answer.tencentPayload
	if answer.Response.Payload != "" {
		sealed = answer.Response.tencentPayload
	}
	if sealed.Payload == "" {
		why := cmp.Or(answer.Response.Error.Code, fmt.Sprint("code ", answer.Code))
		return Identity{}, r.refused(" (%.80s): %.200s; check cloud.tencent.product_secret, product_id and device_name, the clock, and whether the console allows dynamic registration",
			why, cmp.Or(answer.Response.Error.Message, answer.Message, "no reason given"))
	}
	psk, err := sealed.open(r.ProductSecret)
	if err != nil {
		return Identity{}, err
	}
	return r.keep(Identity{ProductKey: t.ProductID, DeviceName: t.DeviceName, DeviceSecret: psk})
}

// request is that of the present interface: what is signed stands in the headers, and the body by its hash.
func (t Tencent) request(ctx context.Context, secret string, now time.Time, nonce int64) (*http.Request, error) {
	body, err := json.Marshal(struct{ ProductId, DeviceName string }{t.ProductID, t.DeviceName})
	if err != nil {
		return nil, err
	}
	req, err := postJSON(ctx, tencentRegister, body)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	const algorithm = "hmacsha256"
	signed := fmt.Sprintf("POST\n%s\n%s\n\n%s\n%d\n%d\n%x", req.URL.Host, req.URL.Path, algorithm, now.Unix(), nonce, sum)
	sign, err := mac("sha256", []byte(secret), signed)
	req.Header.Set("X-TC-Algorithm", algorithm)
	req.Header.Set("X-TC-Timestamp", fmt.Sprint(now.Unix()))
	req.Header.Set("X-TC-Nonce", fmt.Sprint(nonce))
	req.Header.Set("X-TC-Signature", base64.StdEncoding.EncodeToString(sign))
	return req, err
}

// requestOld is that of the interface before: the signature stands in the body, in base64 of its hexadecimal digits.
func (t Tencent) requestOld(ctx context.Context, secret string, now time.Time, nonce int64) (*http.Request, error) {
	signed := fmt.Sprintf("deviceName=%s&nonce=%d&productId=%s&timestamp=%d", t.DeviceName, nonce, t.ProductID, now.Unix())
	sign, err := mac("sha1", []byte(secret), signed)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{
		"deviceName": t.DeviceName, "nonce": nonce, "productId": t.ProductID, "timestamp": now.Unix(),
		"signature": base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sign))),
	})
	if err != nil {
		return nil, err
	}
	return postJSON(ctx, tencentRegisterOld, body)
}

// Its key is the head of the product's secret, its initialization vector sixteen digits 0, its padding zeros.
const tencentKey = aes.BlockSize

var (
	tencentIV = bytes.Repeat([]byte{'0'}, aes.BlockSize)
	errSealed = errors.New("its answer cannot be decrypted; check cloud.tencent.product_secret")
)

// open returns the psk in p.
func (p tencentPayload) open(secret string) (psk string, err error) {
	sealed, err := base64.StdEncoding.DecodeString(p.Payload)
	if err != nil || len(sealed)%aes.BlockSize != 0 || p.Len < 0 || p.Len > len(sealed) || len(secret) < tencentKey {
		return "", errSealed
	}
	block, err := aes.NewCipher([]byte(secret[:tencentKey]))
	if err != nil {
		return "", err
	}
	cipher.NewCBCDecrypter(block, tencentIV).CryptBlocks(sealed, sealed)
	var plain struct {
		EncryptionType int    `json:"encryptionType"`
		PSK            string `json:"psk"`
	}
	switch err := json.Unmarshal(sealed[:p.Len], &plain); {
	case err != nil:
		return "", errSealed
	case plain.EncryptionType != 2:
		return "", errors.New("the product's devices log in by certificates; only keys are possible here: change that in the console")
	}
	return plain.PSK, nil
}
