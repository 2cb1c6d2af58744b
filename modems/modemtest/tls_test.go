package modemtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// authority signs what the tests need, and leaves it in files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	der := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, a.key)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func (a *authority) write(name, kind string, der []byte) string {
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// issue returns a certificate and its key as files.
func (a *authority) issue(name string) (cert, key string) {
	k := a.newKey()
	der := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, k)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", raw)
}

// The module's own TLS reaches a broker of an authority that it was given, with a client certificate where the broker
// wants one, and no other; its key stands in no log.
func TestTLS(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		excuse(t, name, "TLS")
		ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
		serverCert, serverKey := ours.issue("broker")
		pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
		if err != nil {
			t.Fatal(err)
		}
		clients := x509.NewCertPool()
		clients.AddCert(ours.cert)
		cloud := newTLSBroker(t, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients})
		cert, key := ours.issue("site7")
		secret, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		var wire strings.Builder
		b := newBench(t, name)
		m := b.attach(modems.Options{Tap: func(_ bool, p []byte) { wire.Write(p) }})
		if err := m.Online(b.ctx); err != nil {
			t.Fatal(err)
		}
		cfg := cloud.config()
		for what, files := range map[string]modems.TLSConfig{
			"no authority": {},
			"another name": {CAFile: ours.dir + "/ca.pem", ServerName: "elsewhere"},
			"no PEM":       {CAFile: "tls_test.go"},
		} {
			cfg.TLS = &files
			if _, err := m.DialMQTT(b.ctx, cfg); !errors.Is(err, modems.ErrUnsupported) {
				t.Errorf("%s: %v", what, err)
			}
		}
		cfg.TLS = &modems.TLSConfig{CAFile: theirs.dir + "/ca.pem", CertFile: cert, KeyFile: key}
		if _, err := m.DialMQTT(b.ctx, cfg); err == nil || !strings.Contains(err.Error(), "is cloud.tls.ca_file the broker's authority?") {
			t.Errorf("a broker of another authority: %v", err)
		}
		cfg.TLS.CAFile = ours.dir + "/ca.pem"
		s, err := m.DialMQTT(b.ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		up := modems.Message{Topic: "t", Payload: []byte("sealed"), QoS: 1}
		b.publish(s, up)
		cloud.want(up)
		if err := s.Close(b.ctx); err != nil {
			t.Error(err)
		}
		body := strings.Split(string(secret), "\n")[1]
		if strings.Contains(wire.String(), body) {
			t.Error("the private key is in the log of the wire")
		}
	})
}

// Modules differ in how they take certificates. One that was damaged on its way is said to be, and does not stay.
func TestStoringCertificates(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		ours := newAuthority(t, "ours")
		serverCert, serverKey := ours.issue("broker")
		pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
		if err != nil {
			t.Fatal(err)
		}
		cloud := newTLSBroker(t, &tls.Config{Certificates: []tls.Certificate{pair}})
		cert, key := ours.issue("site7")
		cfg := cloud.config()
		cfg.TLS = &modems.TLSConfig{CAFile: ours.dir + "/ca.pem", CertFile: cert, KeyFile: key}
		for what, tc := range map[string]struct {
			faults []string
			fails  []string // what each dial before the good one says
		}{
			"CR LF wanted":         {faults: []string{"pem-crlf"}},
			"checksums in capital": {faults: []string{"upper-sum"}},
			"every second damaged": {[]string{"bad-sum=2"}, []string{"damaged", "damaged"}},
			"blanks after commas":  {faults: []string{"upper-sum", "spaces"}},
			"no room":              {[]string{"ufs=600"}, []string{"420"}},
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				cfg := cfg
				cfg.ClientID = what
				b := newBench(t, name, tc.faults...)
				m := b.attach(modems.Options{})
				if err := m.Online(b.ctx); err != nil {
					t.Fatal(err)
				}
				for _, why := range tc.fails {
					if _, err := m.DialMQTT(b.ctx, cfg); err == nil || !strings.Contains(err.Error(), why) {
						t.Fatalf("%v; want %q in it", err, why)
					}
				}
				if what == "no room" {
					return
				}
				s, err := m.DialMQTT(b.ctx, cfg)
				if err != nil {
					t.Fatal(err)
				}
				up := modems.Message{Topic: what, Payload: []byte("sealed"), QoS: 1}
				b.publish(s, up)
				if err := s.Close(b.ctx); err != nil {
					t.Error(err)
				}
			})
		}
	})
}
