package main

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// Broker is one parsed URL of cloud.broker.
type Broker struct {
	Scheme string // mqtt, mqtts, ws, wss
	Host   string // without brackets
	Port   int
	Path   string // of ws and wss
}

var defaultPorts = map[string]int{"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}

var hostName = regexp.MustCompile(`^[0-9A-Za-z_.:-]+$`)

// TLS: the broker's side of the connection is encrypted.
func (b Broker) TLS() bool { return b.Scheme == "mqtts" || b.Scheme == "wss" }

func (b Broker) String() string {
	host := b.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s://%s:%d%s", b.Scheme, host, b.Port, b.Path)
}

// parseBroker reads a broker's URL. A URL that may hold a password is not quoted in the error.
func parseBroker(s string) (Broker, error) {
	if strings.Contains(s, "@") {
		return Broker{}, errors.New("a user or a password does not belong into the URL; use cloud.username and cloud.password")
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if _, known := defaultPorts[scheme]; !ok || !known {
		return Broker{}, fmt.Errorf("%s is no broker; write mqtt://host, mqtts://host or with a port mqtt://host:1883", shown(s))
	}
	if strings.Contains(s, ",") {
		return Broker{}, errors.New(`several brokers are a list, such as ["mqtt://one.example", "mqtt://two.example"]`)
	}
	// A placeholder may stand in the host, where a URL allows no braces.
	u, err := url.Parse(scheme + "://" + strings.NewReplacer("{", "-", "}", "-").Replace(rest))
	if err != nil || !hostName.MatchString(u.Hostname()) || u.RawQuery != "" || u.Fragment != "" {
		return Broker{}, fmt.Errorf("%s is no broker; write %s://host or %s://host:port", shown(s), scheme, scheme)
	}
	b := Broker{Scheme: scheme, Port: defaultPorts[scheme], Path: u.Path}
	if u.Port() != "" {
		if b.Port, err = parsePort(u.Port(), 1); err != nil {
			return Broker{}, err
		}
	}
	authority, _, _ := strings.Cut(rest, "/")
	b.Host = strings.Trim(strings.TrimSuffix(authority, ":"+u.Port()), "[]")
	if web := scheme == "ws" || scheme == "wss"; !web && strings.Trim(b.Path, "/") != "" {
		return Broker{}, fmt.Errorf("%s names a path, which %s has not; write %s://%s", shown(s), scheme, scheme, authority)
	} else if !web {
		b.Path = ""
	}
	return b, nil
}

// maxKeepAlive is the largest that fits MQTT 3.1.1, section 3.1.2.10.
const maxKeepAlive = Duration(65535 * time.Second)

func (k *checker) cloud() {
	cloud := &k.c.Cloud
	platforms := k.platforms()
	switch {
	case len(cloud.Broker) == 0 && len(platforms) == 0:
		k.missing("cloud.broker", "is missing; write cloud: {broker: \"mqtt://broker.example\"}, or one platform: %s", strings.Join(platformNames(), ", "))
	case len(cloud.Broker) > 0 && len(platforms) > 0:
		k.wrong("cloud."+platforms[0], "stands beside cloud.broker; keep one of the two")
	case len(platforms) > 1:
		k.wrong("cloud."+platforms[1], "stands beside cloud.%s; keep one platform", platforms[0])
	}
	encrypted := len(platforms) > 0
	for i, text := range cloud.Broker {
		key := "cloud.broker"
		if _, list := k.places["cloud.broker[0]"]; list {
			key = fmt.Sprintf("cloud.broker[%d]", i)
		}
		b, err := parseBroker(text)
		if err != nil {
			k.wrong(key, "%v", err)
			continue
		}
		if (b.Scheme == "ws" || b.Scheme == "wss") && k.c.Path.Mode != "host" {
			k.wrong(key, "%s works on path.mode host only; use mqtt or mqtts", b.Scheme)
		}
		k.placeholders(key, b.Host)
		cloud.brokers = append(cloud.brokers, b)
		encrypted = encrypted || b.TLS()
	}
	if cloud.Transport != "auto" && len(platforms) == 0 {
		k.wrong("cloud.transport", "is for platforms; a broker's URL begins with mqtt:// or mqtts://")
	}
	k.session(cloud)
	k.tls(cloud.TLS, encrypted)
}

// session checks what the CONNECT packet holds.
func (k *checker) session(cloud *Cloud) {
	k.names("cloud", reflect.ValueOf(*cloud))
	switch {
	case cloud.KeepAlive > maxKeepAlive:
		k.wrong("cloud.keepalive", "%v is too long; use 0s (never) to %v", cloud.KeepAlive, maxKeepAlive)
	case cloud.KeepAlive%Duration(time.Second) != 0:
		k.wrong("cloud.keepalive", "%v is not in whole seconds", cloud.KeepAlive)
	}
	if cloud.Password != "" && cloud.Username == "" && len(cloud.Broker) > 0 {
		k.missing("cloud.password", "needs cloud.username")
	}
	if len(cloud.Broker) > 0 && cloud.ClientID == "" {
		cloud.ClientID = "atbridge-{imei}"
		if k.c.Modem == nil || k.c.Path.Mode == "host" {
			cloud.ClientID = "atbridge-{hostname}"
		}
	}
}

func (k *checker) tls(t TLS, encrypted bool) {
	if t == (TLS{}) {
		return
	}
	k.names("cloud.tls", reflect.ValueOf(t))
	if !encrypted {
		k.wrong("cloud.tls", "is of no use with mqtt://; write mqtts:// or remove it")
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		k.wrong("cloud.tls", "cert_file and key_file belong together; give both or none")
	}
	k.readable("cloud.tls.ca_file", t.CAFile)
	k.readable("cloud.tls.cert_file", t.CertFile)
	k.readable("cloud.tls.key_file", t.KeyFile)
	if key := k.c.beside(t.KeyFile); t.KeyFile != "" && worldReadable(key) {
		k.c.warn("cloud.tls.key_file: %s can be read by everyone; run chmod 600 %s", key, key)
	}
}
