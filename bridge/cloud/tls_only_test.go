package cloud

import (
	"fmt"
	"testing"
	"time"
)

// Tuya's logins, as others have published them.
func TestTuyaParams(t *testing.T) {
	const id, secret = "6c95875d0f5ba69607nzfl", "fb803786602df760"
	for at, want := range map[int64]string{
		7258089600: "d4e2d498e4195db3ed213b33d662e3b7bf434dc3d5a1f2e63b602ac9248ba72c",
		1700000000: "1560ae9a5d22067b47f6e98347c6e408fd9e9b63cd6c1f354fedbe452b0375db",
	} {
		p, err := Tuya{DeviceID: id, DeviceSecret: secret, Timestamp: at}.Params(time.Unix(0, 0))
		user := fmt.Sprintf("%s|signMethod=hmacSha256,timestamp=%d,secureMode=1,accessType=1", id, at)
		if err != nil || p != (Params{Host: "m1.tuyacn.com", Port: 8883, TLS: true, ClientID: "tuyalink_" + id, Username: user, Password: want}) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	p, err := Tuya{DeviceID: id, DeviceSecret: secret, Host: "h"}.Params(time.Unix(7258089600, 0))
	if err != nil || p.Host != "h" || p.Password != "d4e2d498e4195db3ed213b33d662e3b7bf434dc3d5a1f2e63b602ac9248ba72c" {
		t.Errorf("%+v, %v", p, err)
	}
	checkClocked(t, Tuya{DeviceID: id, DeviceSecret: secret})
}

// No login of Azure is published; this one follows from its rule.
func TestAzureParams(t *testing.T) {
	a := Azure{Hub: "myhub", DeviceID: "device1", Key: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", Expires: 1700000000}
	const token = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdevice1&sig=DiOcLA0WkatmUGpn5KPGuDWDJ9sARBqXkXWqy8Ow0QI%3D&se=1700000000"
	for policy, want := range map[string]string{"": token, "iothub owner": token + "&skn=iothub+owner"} {
		a.Policy = policy
		p, err := a.Params(time.Unix(0, 0))
		if err != nil || p != (Params{
			Host: "myhub.azure-devices.net", Port: 8883, TLS: true, ClientID: "device1",
			Username: "myhub.azure-devices.net/device1/?api-version=2021-04-12", Password: want,
		}) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	now := time.Unix(1800000000, 0)
	a.Expires = 0
	if p, err := a.Params(now); err != nil || !p.Expires.Equal(now.Add(24*time.Hour)) {
		t.Errorf("%+v, %v", p, err)
	}
	checkClocked(t, a)
}
