package modemsim

import (
	"bytes"
	"crypto/tls"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// sslKey is a key of AT+QSSLCFG: what is in force before it was told anything, and what it may be told.
type sslKey struct {
	usual string
	text  bool // it prints in quotes
	form  *regexp.Regexp
}

func oneKey(usual, form string) sslKey {
	return sslKey{usual: usual, form: regexp.MustCompile("^(" + form + ")$")}
}

func textKey(form string) sslKey {
	return sslKey{text: true, form: regexp.MustCompile("^" + form + "$")}
}

// qsslKeys are the keys that the manuals' examples set, and those that newer firmware has as well. What stands
// in the second part is remembered and changes nothing here. "psk" is not among them: how it is written is not known.
var qsslKeys = map[string]sslKey{
	"sslversion":      oneKey("4", "[0-4]"),
	"ciphersuite":     oneKey("0XFFFF", "0X[0-9A-F]{4}"),
	"seclevel":        oneKey("0", "[0-2]"),
	"cacert":          textKey(".{0,84}"),
	"clientcert":      textKey(".{0,84}"),
	"clientkey":       textKey(".{0,84}"),
	"ignorelocaltime": oneKey("1", "[01]"), // the factory value of an EG800K, as is that of sni
	"sni":             oneKey("0", "[01]"),
	"negotiatetime":   oneKey("300", "[1-9][0-9]?|[12][0-9][0-9]|300"),

	"closetimemode":              oneKey("0", "[01]"),
	"alpn":                       textKey(".{0,100}"),
	"session_cache":              oneKey("0", "[01]"),
	"ignoreinvalidcertsign":      oneKey("0", "[01]"),
	"ignoremulticertchainverify": oneKey("0", "[01]"),
}

// qsslcfg sets a key of a context, or tells it.
func (q *quectel) qsslcfg(a *args) reply {
	name, n := a.key(), a.num(0, 5)
	key, known := qsslKeys[name]
	if a.bad || !known {
		return failed
	}
	if a.end() {
		value := q.ssl(n, name)
		if key.text {
			value = `"` + value + `"`
		}
		q.info(`+QSSLCFG: "%s",%d,%s`, name, n, value)
		return okay
	}
	value := a.next().text
	if !key.text {
		value = strings.ToUpper(value)
	}
	if !a.end() || !key.form.MatchString(value) {
		return failed
	}
	q.tls[n][name] = value
	return okay
}

func (q *quectel) ssl(n int, name string) string {
	if value, set := q.tls[n][name]; set {
		return value
	}
	return qsslKeys[name].usual
}

// tlsConfig returns what "ssl" of AT+QMTCFG and AT+QSSLCFG ask for, nil for plain TCP. The name in the
// server's certificate is looked at whether it was told that name (sni) or not: that is why a host which
// shares its address with others fails without it.
func (q *quectel) tlsConfig(c *client) (*tls.Config, error) {
	ssl := c.ints["ssl"]
	if ssl[0] == 0 {
		return nil, nil
	}
	get := func(name string) string { return q.ssl(ssl[1], name) }
	s := security{
		version: get("sslversion"), suite: get("ciphersuite"), level: get("seclevel"),
		ca: q.pem(get("cacert")), cert: q.pem(get("clientcert")), key: q.pem(get("clientkey")),
		name: c.host, sni: get("sni") == "1",
	}
	if get("ignorelocaltime") == "0" {
		s.clock = q.clock()
	}
	return s.config()
}

// pem is a file as the module's TLS reads it; the fault pem-crlf makes it insist on CR LF.
func (q *quectel) pem(name string) []byte {
	name, _ = ufsName(name)
	data := q.nvm.files[name]
	if q.f.pemCRLF && bytes.Count(data, []byte("\n")) != bytes.Count(data, []byte("\r\n")) {
		return nil
	}
	return data
}

// negotiation is how long the handshake of a client may take.
func (q *quectel) negotiation(c *client) time.Duration {
	seconds, _ := strconv.Atoi(q.ssl(c.ints["ssl"][1], "negotiatetime"))
	return time.Duration(seconds) * time.Second
}
