package modemsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority signs what these tests need.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true}
	der := a.sign(a.cert, a.key, time.Now())
	a.pem = encode("CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// sign makes a certificate that is valid for an hour around at. The authority's own is valid for two years.
func (a *authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey, at time.Time) []byte {
	a.t.Helper()
	span := time.Hour
	if c == a.cert {
		span = 365 * 24 * time.Hour
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(at.UnixNano()), at.Add(-span), at.Add(span)
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func (a *authority) issue(name string) tls.Certificate { return a.issueAt(name, time.Now()) }

func (a *authority) issueAt(name string, at time.Time) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}
	return tls.Certificate{Certificate: [][]byte{a.sign(c, key, at)}, PrivateKey: key}
}

const openTLS = `AT+QMTOPEN=0,"broker",8883`

// secure starts a module whose client 0 uses context 2, and a broker behind TLS. The broker asks for a certificate of
// clients, if that is not nil; seen is whom each handshake that it finished was with.
func (a *authority) secure(t *testing.T, faults []string, cert tls.Certificate, clients *authority) (h *host, seen chan string) {
	t.Helper()
	seen = make(chan string, 10)
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, VerifyConnection: func(cs tls.ConnectionState) error {
		who := "nobody"
		if len(cs.PeerCertificates) > 0 {
			who = cs.PeerCertificates[0].Subject.CommonName
		}
		seen <- who
		return nil
	}}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.parsed())
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	b := serve(t, l)
	h = start(t, Config{Map: map[string]string{"broker:8883": b.addr}, Faults: append([]string{"echo=off"}, faults...)})
	h.ask(`AT+QMTCFG="SSL",0,1,2`, isOK)
	return h, seen
}

func (a *authority) parsed() *x509.Certificate {
	a.t.Helper()
	block, _ := pem.Decode([]byte(a.pem))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// opens demands a result of AT+QMTOPEN after some settings of context 2.
func (h *host) opens(result int, settings ...string) {
	h.t.Helper()
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		h.ask(fmt.Sprintf(`AT+QSSLCFG="%s",2,%s`, key, value), isOK)
	}
	h.ask(openTLS, isOK+urc("+QMTOPEN: 0,%d", result))
	if result == 0 {
		h.ask("AT+QMTCLOSE=0", isOK+urc("+QMTCLOSE: 0,0"))
	}
}

// Level 1 looks at the server's authority and name, and says -1 whatever is wrong with it.
func TestServerVerification(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	h, _ := ours.secure(t, nil, ours.issue("broker"), nil)
	h.opens(0)
	h.opens(-1, "seclevel=1")
	h.opens(-1, `cacert="UFS:ours.pem"`) // not there yet
	h.upload("theirs.pem", theirs.pem)
	h.upload("UFS:ours.pem", ours.pem)
	h.upload("junk.pem", "no PEM at all")
	h.opens(-1, `cacert="theirs.pem"`)
	h.opens(-1, `cacert="junk.pem"`)
	h.opens(0, `cacert="ours.pem"`)
	h.opens(0, `cacert="UFS:ours.pem"`)
	h.ask(`AT+QMTOPEN=0,"broker",8883`, isOK+urc("+QMTOPEN: 0,0"))
	h.ask(`AT+QMTCONN=0,"secure"`, isOK+urc("+QMTCONN: 0,0,0"))
	h.publish(1, 1, "t", "x")
	h.ask("AT+QMTDISC=0", isOK+urc("+QMTDISC: 0,0"))
	h.ask(`AT+QMTCFG="ssl",0,1,3`, isOK) // contexts are apart: this one trusts anybody
	h.ask(openTLS, isOK+urc("+QMTOPEN: 0,0"))
	h.ask("AT+CFUN=1,1", isOK+banner)
	h.ask(`AT+QMTCFG="ssl",0,1,2`, isOK)
	h.opens(-1, "seclevel=1") // files survive, settings do not
	h.opens(0, `cacert="UFS:ours.pem"`)

	h, _ = ours.secure(t, nil, ours.issue("elsewhere"), nil)
	h.upload("ours.pem", ours.pem)
	h.opens(-1, "seclevel=1", `cacert="UFS:ours.pem"`)
	h.opens(0, "seclevel=0")
}

// A certificate that is out of date matters only to a module that is told to look at its clock.
func TestDates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	past := time.Now().Add(-48 * time.Hour).UTC()
	h, _ := a.secure(t, nil, a.issueAt("broker", past), nil)
	h.upload("ca.pem", a.pem)
	h.opens(0, "seclevel=1", `cacert="UFS:ca.pem"`)
	h.opens(-1, "ignorelocaltime=0")
	h.ask(`AT+CCLK="`+past.Format("06/01/02,15:04:05")+`+00"`, isOK)
	h.opens(0)
	h.ask(`AT+CCLK="`+past.Add(-24*time.Hour).Format("06/01/02,15:04:05")+`+00"`, isOK)
	h.opens(-1)
	h.opens(0, "ignorelocaltime=1")
}

// Level 2 shows the module's own certificate.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	h, seen := ours.secure(t, nil, ours.issue("broker"), ours)
	h.upload("ca.pem", ours.pem)
	h.opens(-1) // the broker refuses nobody in particular
	mine, strange := ours.issue("site7"), theirs.issue("stranger")
	for name, c := range map[string]tls.Certificate{"mine": mine, "strange": strange} {
		key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		h.upload(name+".pem", encode("CERTIFICATE", c.Certificate[0]))
		h.upload(name+".key", encode("PRIVATE KEY", key))
	}
	h.opens(-1, "seclevel=1", `cacert="UFS:ca.pem"`, `clientcert="UFS:mine.pem"`, `clientkey="UFS:mine.key"`)
	h.opens(0, "seclevel=2")
	if who := <-seen; who != "site7" {
		t.Errorf("the broker met %s", who)
	}
	h.opens(-1, `clientkey="UFS:strange.key"`) // of another certificate
	h.opens(-1, `clientcert="UFS:strange.pem"`)
	h.opens(-1, `clientcert="UFS:nosuch.pem"`)
	h.opens(-1, `clientcert="UFS:mine.pem"`, `clientkey="UFS:mine.key"`, `cacert=""`)
	h.opens(0, `cacert="UFS:ca.pem"`)
}

func TestVersionAndSuite(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	h, _ := a.secure(t, nil, a.issue("broker"), nil)
	for value, result := range map[string]int{"0": -1, "1": -1, "2": -1, "3": 0, "4": 0} { // the broker wants TLS 1.2
		h.opens(result, "sslversion="+value)
	}
	h.opens(-1, "sslversion=4", "ciphersuite=0x0035") // RSA key exchange, which the broker has no key for
	h.opens(0, "ciphersuite=0xffff")
}

// A server that takes the connection and says nothing holds the module up for as long as negotiatetime says.
func TestNegotiationTime(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := start(t, Config{Map: map[string]string{"broker:8883": l.Addr().String()}, Faults: []string{"echo=off"}})
	h.ask(`AT+QMTCFG="ssl",0,1,2`, isOK)
	begin := time.Now()
	h.opens(-1, "negotiatetime=1")
	if took := time.Since(begin); took < 900*time.Millisecond {
		t.Errorf("ended after %v", took)
	}
}

func TestSSLSettings(t *testing.T) {
	t.Parallel()
	h := bare(t)
	for key, v := range map[string]struct{ usual, set, shown string }{
		"sslversion":      {"4", "3", "3"},
		"ciphersuite":     {"0XFFFF", "0x0035", "0X0035"},
		"seclevel":        {"0", "2", "2"},
		"cacert":          {`""`, `"UFS:a b.pem"`, `"UFS:a b.pem"`},
		"clientcert":      {`""`, `"b.pem"`, `"b.pem"`},
		"clientkey":       {`""`, `"C.key"`, `"C.key"`},
		"ignorelocaltime": {"1", "0", "0"},
		"sni":             {"0", "1", "1"},
		"negotiatetime":   {"300", "30", "30"},
		"closetimemode":   {"0", "1", "1"},
		"session_cache":   {"0", "1", "1"},
		"alpn":            {`""`, `"mqtt"`, `"mqtt"`},

		"ignoreinvalidcertsign":      {"0", "1", "1"},
		"ignoremulticertchainverify": {"0", "1", "1"},
	} {
		h.ask(fmt.Sprintf(`AT+QSSLCFG="%s",5`, key), urc(`+QSSLCFG: "%s",5,%s`, key, v.usual)+isOK)
		h.ask(fmt.Sprintf(`AT+QSSLCFG="%s",5,%s`, strings.ToUpper(key), v.set), isOK)
		h.ask(fmt.Sprintf(`AT+QSSLCFG="%s",5`, key), urc(`+QSSLCFG: "%s",5,%s`, key, v.shown)+isOK)
		h.ask(fmt.Sprintf(`AT+QSSLCFG="%s",4`, key), urc(`+QSSLCFG: "%s",4,%s`, key, v.usual)+isOK)
	}
	if tested := 14; len(qsslKeys) != tested {
		t.Errorf("%d keys, and %d tested", len(qsslKeys), tested)
	}
	for _, bad := range []string{
		`"sslversion",0,5`, `"seclevel",0,3`, `"seclevel",0,`, `"ciphersuite",0,35`, `"ciphersuite",0,0x12345`, `"sni",0,2`,
		`"negotiatetime",0,0`, `"negotiatetime",0,301`, `"seclevel",6,1`, `"seclevel"`, `"nosuch",0,1`, `"seclevel",0,1,1`,
	} {
		h.ask("AT+QSSLCFG="+bad, isError)
	}
	h.ask("AT+QSSLCFG=?", isOK)
}
