package modemsim

import (
	"crypto/tls"
	"slices"
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

// tlsOf is what the keys of a context make of a link to host. Level 1 checks the server, its name
// included, level 2 shows a certificate as well.
func (l *luat) tlsOf(n int, host string) (*tls.Config, error) {
	ctx, files := l.ssl[n], l.nvm.files
	s := security{
		version: ctx["sslversion"], suite: ctx["ciphersuite"], level: ctx["seclevel"],
		ca: files[ctx["cacert"]], cert: files[ctx["clientcert"]], key: files[ctx["clientkey"]],
		name: host, sni: true,
	}
	if name := ctx["hostname"]; name != "" {
		s.name = name
	}
	if ctx["ignorelocaltime"] == "0" {
		s.clock = l.clock()
	}
	return s.config()
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
