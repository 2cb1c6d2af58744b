package cloud

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// The requests of both interfaces, by a published vector each, or one that follows from the rule.
func TestTencentRequests(t *testing.T) {
	x := Tencent{ProductID: "JCZDFSOKXS", DeviceName: "dev002"}
	req, err := x.request(t.Context(), "X42fPqwHxPiIBwY94cY5sQ1Y", time.Unix(1700000000, 0), 5456)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(req.Body)
	if sum := fmt.Sprintf("%x", sha256.Sum256(body)); err != nil || string(body) != `{"ProductId":"JCZDFSOKXS","DeviceName":"dev002"}` ||
		sum != "770efeee110dca75a929ceab8b94ff1c5b67351e6db8da1a01ad0a275ce22d93" {
		t.Errorf("%s, %s, %v", body, sum, err)
	}
	for name, want := range map[string]string{
		"X-TC-Algorithm": "hmacsha256", "X-TC-Timestamp": "1700000000", "X-TC-Nonce": "5456", "Content-Type": "application/json",
		"X-TC-Signature": "wlvwRSGfxRpiZ0nRP62nMcITo2ro+6mObmIO1sK6DA8=",
	} {
		if got := req.Header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if req.Method != "POST" || req.URL.String() != "https://ap-guangzhou.gateway.tencentdevices.com/device/register" {
		t.Error(req.Method, req.URL)
	}

	x = Tencent{ProductID: "S3EUVBRJLB", DeviceName: "device_1234"}
	req, err = x.requestOld(t.Context(), "8XzjN8rfgFVGDTNTUGau4snA", time.Unix(1568692235, 0), 1439928322)
	if err != nil {
		t.Fatal(err)
	}
	body, err = io.ReadAll(req.Body)
	if want := `{"deviceName":"device_1234","nonce":1439928322,"productId":"S3EUVBRJLB","signature":"ZWM4YTEyMWE2ODUxYzk1M2Q0MDc2OWNmN2FhMTg1ZWM1ODgxMWNkNQ==","timestamp":1568692235}`; err != nil || string(body) != want {
		t.Errorf("%s, %v", body, err)
	}
	if req.Method != "POST" || req.URL.String() != "https://gateway.tencentdevices.com/register/dev" {
		t.Error(req.Method, req.URL)
	}
}

// What registration answers, of two devices that others have published.
func TestTencentPayload(t *testing.T) {
	for _, v := range []struct{ secret, payload, psk string }{
		{"8XzjN8rfgFVGDTNTUGau4snA", "eHGRUBar9LBPI+mcaHnVEZsj05mSdoZLPhd54hDJXv/2va2rXSpfddgRy5XE/FIS835NjUr5Mhw1AJSg4yGC/w==", "7WmFA/MEs+Fy+32QwJWtYw=="},
		{"X42fPqwHxPiIBwY94cY5sQ1Y", "VquGm1QSJ8LtvTiGq3Zl8gyE5HeIuO2IHtF22EZkyXRiwtwT5beApNUc5HnSl4cEGPtmF+L1stfToazWkcVFuA==", "xW5seX9c/Pi9/ojXqy+YcA=="},
	} {
		got, err := tencentPayload{v.payload, 53}.open(v.secret)
		if err != nil || got != v.psk {
			t.Errorf("%s, %v; want %s", got, err, v.psk)
		}
		sealed, err := base64.StdEncoding.DecodeString(v.payload)
		if err != nil {
			t.Fatal(err)
		}
		for what, bad := range map[string]struct {
			p      tencentPayload
			secret string
		}{
			"another secret":    {tencentPayload{v.payload, 53}, "Y" + v.secret[1:]},
			"a short secret":    {tencentPayload{v.payload, 53}, v.secret[:15]},
			"half a block":      {tencentPayload{base64.StdEncoding.EncodeToString(sealed[:40]), 40}, v.secret},
			"too long a length": {tencentPayload{v.payload, 65}, v.secret},
			"less than nothing": {tencentPayload{v.payload, -1}, v.secret},
			"the zeros too":     {tencentPayload{v.payload, 64}, v.secret},
			"no base64":         {tencentPayload{"!", 1}, v.secret},
		} {
			if got, err := bad.p.open(bad.secret); !errors.Is(err, errSealed) || strings.Contains(err.Error(), bad.secret) {
				t.Errorf("%s: %s, %v", what, got, err)
			}
		}
	}
}
