package modemsim

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The contexts of AT+SSLCFG: 0 to 5 are those of the sockets.
const (
	sslFTP  = 34
	sslMQTT = 88
	sslHTTP = 153
)

// sslKeys is what AT+SSLCFG knows, with what is in force before it was told anything. Without a
// word of AT+SSLCFG a link is encrypted and nobody is authenticated.
var sslKeys = map[string]string{
	"sslversion": "4", "ciphersuite": "0XFFFF", "cacert": "", "clientcert": "", "clientkey": "", "seclevel": "0",
	"hostname": "", "ignorelocaltime": "1", "negotiatetimeout": "300", "clientrandom": "", "premaster": "", "verifymode": "0",
}

func (l *luat) security() map[string]command {
	return map[string]command{
		"+SSLCFG":   {set: l.sslcfg, test: noText},
		"+FSCREATE": {set: l.fscreate, test: noText},
		"+FSWRITE":  {set: l.fswrite, test: noText},
	}
}

// sslcfg sets a key of a context; without a value it tells it, and with an empty one it forgets it.
func (l *luat) sslcfg(a *args) reply {
	key, n := a.key(), a.num(0, sslHTTP)
	usual, known := sslKeys[key]
	if a.bad || !known || n > 5 && !slices.Contains([]int{sslFTP, sslMQTT, sslHTTP}, n) {
		return failed
	}
	ctx := l.ssl[n]
	if a.end() {
		value, set := ctx[key]
		if !set {
			value = usual
		}
		if strings.HasPrefix(key, "client") || key == "cacert" || key == "hostname" {
			value = `"` + value + `"`
		}
		l.info(`+SSLCFG: "%s",%d,%s`, key, n, value)
		return okay
	}
	value := a.str(0, 256)
	if !a.end() {
		return failed
	}
	if ctx == nil {
		ctx = map[string]string{}
		l.ssl[n] = ctx
	}
	if value == "" {
		delete(ctx, key)
	} else {
		ctx[key] = value
	}
	return okay
}

// rsaCiphers is the manual's list: nothing but RSA key exchange. FFFF is all there is.
var rsaCiphers = map[string]uint16{
	"0X0035": tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	"0X002F": tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	"0X0005": tls.TLS_RSA_WITH_RC4_128_SHA,
	"0X000A": tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
}

// tlsOf is what the keys of a context make of a link to host. Level 1 checks the server, its name
// included, level 2 shows a certificate as well.
func (l *luat) tlsOf(n int, host string) (*tls.Config, error) {
	ctx := l.ssl[n]
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12}
	if name := ctx["hostname"]; name != "" {
		config.ServerName = name
	}
	if v, err := strconv.Atoi(ctx["sslversion"]); err == nil && v >= 1 && v <= 3 {
		config.MinVersion = tls.VersionTLS10 + uint16(v-1)
		config.MaxVersion = config.MinVersion
	}
	if suite, chosen := rsaCiphers[strings.ToUpper(ctx["ciphersuite"])]; chosen {
		config.CipherSuites = []uint16{suite}
	}
	level := ctx["seclevel"]
	config.InsecureSkipVerify = level == "" || level == "0"
	if config.InsecureSkipVerify {
		return config, nil
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(l.nvm.files[ctx["cacert"]]) {
		return nil, fmt.Errorf("seclevel %s without a CA certificate", level)
	}
	if level == "2" {
		own, err := tls.X509KeyPair(l.nvm.files[ctx["clientcert"]], l.nvm.files[ctx["clientkey"]])
		if err != nil {
			return nil, errors.Join(errors.New("seclevel 2 without a client certificate"), err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

func (l *luat) fscreate(a *args) reply {
	name := a.str(1, 64)
	if _, exists := l.nvm.files[name]; !a.end() || exists {
		return failed
	}
	l.nvm.files[name] = nil
	return okay
}

// fswrite takes so many bytes at a prompt, and says TimeOut if they do not come. Mode 0 begins the
// file anew, 1 goes on at its end.
func (l *luat) fswrite(a *args) reply {
	name, mode, size, seconds := a.str(1, 64), a.num(0, 1), a.num(1, 10240), a.num(1, 3600)
	old, exists := l.nvm.files[name]
	if !a.end() || !exists {
		return failed
	}
	return l.prompted(&phase{
		want: size, echo: l.profile.echo || l.f.viewMode, quiet: time.Duration(seconds) * time.Second,
		lapse: func([]byte) reply { return reply{code: "TimeOut"} },
		done: func(p []byte) reply {
			if mode == 1 {
				p = append(slices.Clone(old), p...)
			}
			l.nvm.files[name] = p
			return okay
		},
	})
}
