package cloud_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
)

// The platform has handed out an identity, and it does not get to the disk: that is told, and a device that has never logged
// in registers once more. What it is given then is good, whatever is left of the first attempt.
func TestRegisterLostIdentity(t *testing.T) {
	for name, v := range map[string]struct {
		how, instance string
	}{"by HTTPS": {"preregistered", ""}, "by MQTT": {"preregistered", "iot-06z00x"}, "not on the list": {"unregistered", ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &cloudtest.AliyunProduct{Key: "pk", Secret: "ps", Register: true, Instance: v.instance}
			if v.how == "preregistered" {
				p.Device("dn", "")
			}
			c := start(t, p)
			device := cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", Region: "cn-shanghai", SignMethod: "hmacsha256", InstanceID: v.instance}
			r, file := registration(t, c, device, v.how, "ps")
			if err := os.RemoveAll(filepath.Dir(file)); err != nil { // what is written now has no name that lasts
				t.Fatal(err)
			}
			first, err := r.Register(t.Context())
			if err == nil || !strings.Contains(err.Error(), "storing the identity") {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file+".new", []byte(`{"product_key":"pk","devi`), 0o600); err != nil {
				t.Fatal(err)
			}
			if stored, err := cloud.LoadIdentity(file); stored != nil || err != nil {
				t.Fatalf("%v, %v", stored, err)
			}
			if r.Place, err = cloud.Reserve(file); err != nil {
				t.Fatal(err)
			}
			second, err := r.Register(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if second.DeviceSecret == first.DeviceSecret && second.Token == first.Token {
				t.Error("nothing new was handed out")
			}
			stored, err := cloud.LoadIdentity(file)
			if err != nil || stored == nil {
				t.Fatalf("%v, %v", stored, err)
			}
			if _, err := login(t, c, device.With(*stored), time.Minute); err != nil {
				t.Errorf("%v; %v", err, c.Refusals())
			}
			if n := p.Registrations(); n != 2 {
				t.Errorf("%d registrations", n)
			}
		})
	}
}

// A session for registration may stay for 15 s after the answer: the device is gone long before, also where it could not store
// what it was given.
func TestRegisterLeavesInTime(t *testing.T) {
	for name, spoil := range map[string]bool{"stored": false, "not stored": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &cloudtest.AliyunProduct{Key: "pk", Secret: "ps", Register: true}
			c := start(t, p)
			device := cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", Region: "cn-shanghai", SignMethod: "hmacsha256"}
			r, file := registration(t, c, device, "unregistered", "ps")
			if spoil {
				if err := os.RemoveAll(filepath.Dir(file)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.Register(t.Context()); (err != nil) != spoil {
				t.Fatal(err)
			}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for began := time.Now(); c.Online() > 0; <-tick.C {
				if time.Since(began) > 10*time.Second {
					t.Fatal("it is still there")
				}
			}
			for _, why := range c.Refusals() {
				t.Error(why)
			}
		})
	}
}

// The dates of certificates are checked by the clock that is given, in each of the ways to a platform; and without a time
// nobody is dialled.
func TestCertificatesByTheClock(t *testing.T) {
	p := &cloudtest.AliyunProduct{Key: "pk", Secret: "ps", Register: true}
	p.Device("dn", "")
	aliyun, easemob := start(t, p), start(t, &cloudtest.EasemobApp{ID: "aitbj0", ClientID: "c", ClientSecret: "s"})
	register := func(how string) func(cloud.Clock, cloud.Dial) error {
		return func(clock cloud.Clock, dial cloud.Dial) error {
			r, _ := registration(t, aliyun, cloud.Aliyun{ProductKey: "pk", DeviceName: "dn", Region: "cn-shanghai", SignMethod: "hmacsha256"}, how, "ps")
			if r.Clock = clock; dial != nil {
				r.Dial = dial
			}
			_, err := r.Register(t.Context())
			return err
		}
	}
	dialled := errors.New("dialled")
	unknown := errors.New("unknown")
	for name, ask := range map[string]func(cloud.Clock, cloud.Dial) error{
		"registration by HTTPS": register("preregistered"),
		"registration by MQTT":  register("unregistered"),
		"tokens": func(clock cloud.Clock, dial cloud.Dial) error {
			tokens := cloud.EasemobTokens{AppID: "aitbj0", ClientID: "c", ClientSecret: "s", Dial: to(easemob), CAFile: easemob.CAFile, Clock: clock}
			if dial != nil {
				tokens.Dial = dial
			}
			_, _, err := tokens.Fetch(t.Context(), cloud.Easemob{AppID: "aitbj0", DeviceID: "d", Username: "u"})
			return err
		},
	} {
		at := func(ahead time.Duration) cloud.Clock {
			return func() (time.Time, error) { return time.Now().Add(ahead), nil }
		}
		for _, ahead := range []time.Duration{-48 * time.Hour, 48 * time.Hour} { // the certificates are good for a day
			var invalid x509.CertificateInvalidError
			if err := ask(at(ahead), nil); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
				t.Errorf("%s, %v off: %v", name, ahead, err)
			}
		}
		err := ask(func() (time.Time, error) { return time.Time{}, unknown }, func(context.Context, string, string) (net.Conn, error) { return nil, dialled })
		if !errors.Is(err, unknown) || errors.Is(err, dialled) {
			t.Errorf("%s, without a time: %v", name, err)
		}
		if err := ask(at(time.Minute), nil); err != nil {
			t.Errorf("%s, at the right time: %v", name, err)
		}
	}
}

// Tencent's registration by both interfaces, for a device on the list and for one that it creates; what is stored logs in, and
// what is refused says what to look at.
func TestTencentRegister(t *testing.T) {
	for _, how := range []string{"dynamic", "dynamic-old"} {
		for _, listed := range []bool{true, false} {
			t.Run(fmt.Sprint(how, ", on the list: ", listed), func(t *testing.T) {
				t.Parallel()
				p := &cloudtest.TencentProduct{ID: "PRODUCT001", Secret: "pr0duct-s3cr3t-of-24-bytes", Register: true, Create: !listed}
				if listed {
					p.Device("dn")
				}
				c := start(t, p)
				device := cloud.Tencent{ProductID: "PRODUCT001", DeviceName: "dn", SignMethod: "hmacsha256"}
				r, file := registration(t, c, device, how, p.Secret)
				given, err := r.Register(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				stored, err := cloud.LoadIdentity(file)
				if err != nil || !stored.Of(device) || *stored != given {
					t.Fatalf("%+v, %v", stored, err)
				}
				if _, err := login(t, c, device.With(*stored), time.Minute); err != nil {
					t.Errorf("%v; %v", err, c.Refusals())
				}
				if again, err := elsewhere(t, c, device, how, p.Secret).Register(t.Context()); err != nil || again != given {
					t.Errorf("the second time %v, %v", again == given, err)
				}
				const check = "check cloud.tencent.product_secret, product_id and device_name"
				if _, err := elsewhere(t, c, device, how, "wrong-secret-of-24-bytes").Register(t.Context()); !errors.Is(err, cloud.ErrRegistration) ||
					!strings.Contains(err.Error(), check) || strings.Contains(err.Error(), "wrong-secret") {
					t.Errorf("with a wrong secret: %v", err)
				}
				p.Register = false
				if _, err := elsewhere(t, c, device, how, p.Secret).Register(t.Context()); err == nil || !strings.Contains(err.Error(), "dynamic registration is off") {
					t.Error(err)
				}
			})
		}
	}
}

// elsewhere is a registration that stores what it is given in a place of its own.
func elsewhere(t *testing.T, c *cloudtest.Cloud, device cloud.Registrable, how, secret string) cloud.Registration {
	r, _ := registration(t, c, device, how, secret)
	return r
}
