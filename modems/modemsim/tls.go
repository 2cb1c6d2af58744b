package modemsim

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errHandshake is in what comes of a link whose TCP connection stood and whose TLS did not.
var errHandshake = errors.New("tls")

// security is what a module's settings for a TLS link come to. Every family has commands of its own for
// it, and the same values.
type security struct {
	version       string    // 0 SSL 3.0, 1 TLS 1.0, 2 TLS 1.1, 3 TLS 1.2, else all of them
	suite         string    // one cipher suite in hex; 0XFFFF or nothing: all
	level         string    // 1: the server is authenticated, 2: and the module; else nobody
	ca, cert, key []byte    // PEM
	name          string    // what the server's certificate is for
	sni           bool      // the server is told that name
	clock         time.Time // the module's, to see whether certificates are valid by; zero: that is not looked at
}

// rsaSuites is what modules call cipher suites: nothing but RSA key exchange.
var rsaSuites = map[string]uint16{
	"0X0035": tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	"0X002F": tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	"0X0005": tls.TLS_RSA_WITH_RC4_128_SHA,
	"0X000A": tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
}

// config makes them crypto/tls's. It fails where a file that the level needs is missing or is none.
func (s security) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true} // verify does it
	if s.sni {
		config.ServerName = s.name
	}
	switch v, err := strconv.Atoi(s.version); {
	case err != nil || v > 3:
	case v == 0:
		return nil, errors.New("nobody speaks SSL 3.0 any more")
	default:
		config.MinVersion = tls.VersionTLS10 + uint16(v-1)
		config.MaxVersion = config.MinVersion
	}
	if suite, chosen := rsaSuites[strings.ToUpper(s.suite)]; chosen {
		config.CipherSuites = []uint16{suite}
	}
	if s.level != "1" && s.level != "2" {
		return config, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.ca) {
		return nil, fmt.Errorf("seclevel %s without a CA certificate", s.level)
	}
	config.VerifyConnection = func(cs tls.ConnectionState) error { return s.verify(roots, cs.PeerCertificates) }
	if s.level == "2" {
		own, err := tls.X509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, errors.Join(errors.New("seclevel 2 without a client certificate"), err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// verify looks at the server's chain and name, and at its dates where the module has a clock that it trusts.
func (s security) verify(roots *x509.CertPool, chain []*x509.Certificate) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), DNSName: s.name, CurrentTime: s.clock}
	if s.clock.IsZero() {
		o.CurrentTime = chain[0].NotBefore
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(o)
	return err
}
