package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems"
)

// checker looks at values that are each sound for what is missing and what does not fit together.
type checker struct {
	*decoder
	c    *Config
	said configErrors // what decoding has found: no second problem is reported of the same key
}

func (k *checker) all(n need) {
	k.modem(n)
	if n&needPath != 0 {
		k.path()
	}
	if n&needCloud != 0 {
		k.cloud()
	}
	if n&needLocal != 0 {
		k.local()
		k.routes()
		k.queue()
		k.status()
	}
}

// wrong reports a problem at the place where key, or the section that should hold it, was given.
func (k *checker) wrong(key, format string, args ...any) {
	for _, p := range k.said {
		if p.key != "" && (p.key == key || strings.HasPrefix(key, p.key+".") || strings.HasPrefix(key, p.key+"[")) {
			return
		}
	}
	k.fail(k.where(key), key, format, args...)
}

// missing reports a key that lacks, or that lacks another one, unless its section holds a mistyped key.
func (k *checker) missing(key, format string, args ...any) {
	section := key[:strings.LastIndex("."+key, ".")]
	for _, p := range k.said {
		if parent := p.key[:strings.LastIndex("."+p.key, ".")]; parent == section {
			return
		}
	}
	k.wrong(key, format, args...)
}

// drivers are the accepted values of modem.driver; a driver's file registers it.
func drivers() []string { return append([]string{"auto"}, modems.Drivers()...) }

var (
	usbPort  = regexp.MustCompile(`^usb:[0-9a-fA-F]{4}:[0-9a-fA-F]{4}(:if[0-9a-fA-F]{2})?$`)
	resetWay = regexp.MustCompile(`^(none|dtr|rts|gpio:[A-Za-z0-9_.-]+/[0-9]{1,4}|exec:\s*\S.*)$`)
	powerWay = regexp.MustCompile(`^(none|gpio:[A-Za-z0-9_.-]+/[0-9]{1,4})$`)
	simPIN   = regexp.MustCompile(`^[0-9]{4,8}$`)
)

func (k *checker) modem(n need) {
	m := k.c.Modem
	if m == nil {
		if n&needPort != 0 {
			k.missing("modem", "no serial port is named; give --port DEVICE, set ATBRIDGE_PORT or write modem: {port: /dev/ttyUSB2}")
		}
		return
	}
	if m.Port != "auto" && !strings.Contains(m.Port, "/") && !usbPort.MatchString(m.Port) {
		k.wrong("modem.port", "%s is no port; use a device such as /dev/ttyUSB2, usb:2c7c:6002, usb:2c7c:0901:if02 or auto", shown(m.Port))
	}
	k.word("modem.driver", m.Driver, drivers())
	if !resetWay.MatchString(m.Reset) {
		k.wrong("modem.reset", "%s is not known; use none, dtr, rts, a line such as gpio:gpiochip0/17, or a command such as exec:/usr/sbin/uhubctl -l 1-1 -a cycle", shown(m.Reset))
	}
	if !powerWay.MatchString(m.Power) {
		k.wrong("modem.power", "%s is not known; use none, or the line of the power key, such as gpio:gpiochip0/18", shown(m.Power))
	}
	if m.PIN != "" && !simPIN.MatchString(m.PIN.Reveal()) {
		k.wrong("modem.pin", "is not a PIN of 4 to 8 digits")
	}
	if m.APNAuth != "none" && m.APNUser == "" {
		k.missing("modem.apn_auth", "%s needs modem.apn_user", m.APNAuth)
	}
	if m.APNAuth == "none" && (m.APNUser != "" || m.APNPassword != "") {
		k.wrong("modem.apn_user", "is never sent while modem.apn_auth is none; use pap or chap")
	}
}

func (k *checker) word(key, text string, words []string) {
	for _, w := range words {
		if text == w {
			return
		}
	}
	k.wrong(key, "%s is not known; use %s", shown(text), strings.Join(words, ", "))
}

func (k *checker) path() {
	switch mode := k.c.Path.Mode; {
	case k.c.Modem != nil || mode == "host":
	case mode == "auto":
		k.missing("modem", "no modem is named; write modem: {port: /dev/ttyUSB2}, or path: {mode: host} for this machine's own network")
	default:
		k.wrong("path.mode", "%s goes through a modem; write modem: {port: /dev/ttyUSB2}, or use host", mode)
	}
}

func (k *checker) local() {
	l := &k.c.Local
	if l.Broker != "" {
		if l.Listen != "" || l.WebSocket != "" {
			k.wrong("local.broker", "is instead of the embedded broker; remove local.listen and local.websocket, or local.broker")
		}
		if strings.Contains(l.Broker, "@") {
			k.wrong("local.broker", "a user or a password does not belong into the URL; use local.username and local.password")
		} else if b, err := parseBroker(l.Broker); err != nil {
			k.wrong("local.broker", "%v", err)
		} else if b.Scheme != "mqtt" {
			k.wrong("local.broker", "%s is not possible here; use mqtt://", b.Scheme)
		}
	} else if _, given := k.places["local.listen"]; !given {
		l.Listen = "127.0.0.1:1883"
	}
	if l.Listen == "" && l.WebSocket == "" && l.Broker == "" {
		k.wrong("local.listen", "is empty, and so are local.websocket and local.broker: nobody could publish; name one of them")
	}
	k.guarded("local.listen", l.Listen, l.Password)
	k.guarded("local.websocket", l.WebSocket, l.Password)
	switch {
	case l.Password != "" && l.Username == "":
		k.missing("local.password", "needs local.username")
	case l.Username != "" && l.Password == "" && l.Broker == "":
		k.missing("local.username", "needs local.password")
	}
}

// guarded checks an address of the embedded broker, which other machines may reach with a password only.
func (k *checker) guarded(key, addr string, password Secret) {
	if k.listen(key, addr) && password == "" {
		k.wrong(key, "%s can be reached from other machines; set local.username and local.password, or listen on 127.0.0.1", shown(addr))
	}
}

// listen checks an address to listen on and says whether other machines reach it.
func (k *checker) listen(key, addr string) (open bool) {
	if addr == "" {
		return false
	}
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = parsePort(port, 0)
	}
	if err != nil {
		k.wrong(key, "%s is no address to listen on; use host:port, such as 127.0.0.1:1883", shown(addr))
		return false
	}
	return !loopback(host)
}

// loopback reports whether host is this machine, as nobody else sees it.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// parsePort reads a port number that is at least low.
func parsePort(s string, low int) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || octal(s) || int(n) < low {
		return 0, fmt.Errorf("%s is no port; use %d to 65535", shown(s), low)
	}
	return int(n), nil
}

// maxRoutes is where a list of routes is a mistake of whoever generates it: each is compared with each for loops, and every
// message with all of them.
const maxRoutes = 1000

func (k *checker) routes() {
	if n := len(k.c.Routes.Up) + len(k.c.Routes.Down); n > maxRoutes {
		k.wrong("routes", "there are %d, and %d is the most; carry whole branches of topics with + and #", n, maxRoutes)
		return
	}
	before := len(k.problems)
	up := k.list("routes.up", k.c.Routes.Up)
	down := k.list("routes.down", k.c.Routes.Down)
	if len(up)+len(down) == 0 && len(k.problems) == before {
		k.c.warn("routes: there are none, so no message is carried")
	}
	if len(k.problems) > before {
		return
	}
	err := bridge.CheckLoops(up, down, k.c.oneBroker())
	if err == nil {
		err = k.c.checkLoops(modems.Identity{})
	}
	var unknown unknownName
	switch {
	case errors.As(err, &unknown): // this may be another machine than the one that it is for
		k.c.warn("routes: %v", unknown)
	case err != nil:
		k.wrong("routes", "%v", err)
	}
}

// list checks the routes of one direction, and returns those that package bridge takes.
func (k *checker) list(key string, list []Route) (sound bridge.Routes) {
	for i, r := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if r.From == "" || r.To == "" {
			k.missing(at+".from", "is missing, or to is; a route has both, such as {from: \"sensors/#\", to: \"site7/sensors/#\"}")
			continue
		}
		if err := r.bridge().Validate(); err != nil {
			k.wrong(at, "%v", err)
		} else {
			sound = append(sound, r.bridge())
		}
		if r.Wrap != "" && k.c.Cloud.Aliyun == nil {
			k.wrong(at+".wrap", "alink is a frame of cloud.aliyun; remove it, or configure that platform")
		} else if far := map[string]string{"routes.up": r.To, "routes.down": r.From}[key]; r.Wrap != "" && !cloud.IsAlink(far) {
			k.wrong(at+".wrap", "alink frames have topics such as /sys/PRODUCT_KEY/DEVICE_NAME/thing/event/property/post, and %s is none", shown(far))
		}
		k.placeholders(at+".from", r.From)
		k.placeholders(at+".to", r.To)
	}
	return sound
}

func (k *checker) queue() {
	if k.c.Queue.Dir == "" {
		k.wrong("queue.dir", "is empty; name a directory on a disk that survives a power cut")
	}
	dir := k.c.Queue.Dir
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o022 != 0 {
		k.c.warn("queue.dir: %s can be written by other users, who could put messages and identities into it; run chmod go-w %s", dir, dir)
	}
}

// maxSocketPath is what a Unix socket's address holds.
const maxSocketPath = 107

func (k *checker) status() {
	s := k.c.Status
	if k.listen("status.listen", s.Listen) {
		k.c.warn("status.listen: %s shows the state of this device to other machines without a password", s.Listen)
	}
	if s.Socket == "" || len(s.Socket) > maxSocketPath {
		k.wrong("status.socket", "a socket's path has 1 to %d characters", maxSocketPath)
	}
}

// placeholders checks one name.
func (k *checker) placeholders(key, s string) {
	if err := checkPlaceholders(s); err != nil {
		k.wrong(key, "%v", err)
	}
	if k.c.Modem == nil && (strings.Contains(s, "{imei}") || strings.Contains(s, "{iccid}")) {
		k.wrong(key, "{imei} and {iccid} come from a modem, and none is configured; use {serial} or {hostname}")
	}
}

// names checks the placeholders of every name in the section v: whatever is text and no secret.
func (k *checker) names(key string, v reflect.Value) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if f := v.Field(i); name != "" && f.Kind() == reflect.String && f.Type() != secretType {
			k.placeholders(join(key, name), f.String())
		}
	}
}

// readable reports a file that is named but cannot be read.
func (k *checker) readable(key, name string) {
	if name == "" || strings.Contains(name, "{") {
		return
	}
	f, err := openInput(k.c.beside(name))
	if err != nil {
		k.wrong(key, "cannot be read: %v", err)
		return
	}
	f.Close()
}
