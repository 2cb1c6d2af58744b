package modemsim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// lierda is the one MQTT client of the L firmware. Its states are those of AT+LMQTTCONN? (2.1): 1 initial, 2
// connecting, 3 connected.
type lierda struct {
	*general
	cfg      map[string][]string // AT+LMQTTCFG; gone after every close
	state    int
	host     string
	port     int
	link     *link
	waiting  *timer
	inFlight map[uint16]*exchange
	pinging  *timer
	hole     bool
	seen     map[uint16]bool
	kept     map[uint16]*packets.PublishPacket // cache mode

	asked, verdicts int
}

// The documented window is unknown; this many are accepted.
const lierdaWindow = 16

// lierdaKeys are the keys of AT+LMQTTCFG, with their values before anything is set, and the numeric ranges where they
// are known (those of the ECMT ancestor).
var lierdaKeys = map[string]struct {
	values []string
	ranges [][2]int
}{
	"cloud":      {[]string{"0", "0"}, [][2]int{{0, 255}, {0, 6}}},
	"aliauth":    {nil, nil},
	"version":    {[]string{"4"}, [][2]int{{3, 4}}},
	"session":    {[]string{"1"}, [][2]int{{0, 1}}},
	"keepalive":  {[]string{"120"}, [][2]int{{0, 3600}}},
	"timeout":    {[]string{"10", "3", "0"}, [][2]int{{1, 60}, {0, 10}, {0, 1}}},
	"will":       {[]string{"0"}, nil},
	"cache":      {[]string{"0"}, [][2]int{{0, 1}}},
	"recv/mode":  {[]string{"0", "0"}, [][2]int{{0, 2}, {0, 1}}},
	"send/mode":  {[]string{"0"}, [][2]int{{0, 2}}},
	"dataformat": {[]string{"0", "0"}, [][2]int{{0, 2}, {0, 2}}},
	"urc":        {[]string{"1"}, [][2]int{{0, 1}}},
	"sslenable":  {[]string{"0", "0"}, [][2]int{{0, 1}, {0, 5}}},
	"raimode":    {[]string{"0"}, [][2]int{{0, 2}}},
}

func newLierda(g *general) *lierda {
	l := &lierda{general: g}
	l.unlink()
	g.onLoss = func() { l.lost(11) }
	return l
}

func (l *lierda) commands() map[string]command {
	return map[string]command{
		"+LMQTTCFG":      {set: l.configure},
		"+LMQTTOPEN":     {set: l.open, read: l.openRead},
		"+LMQTTCLOSE":    {set: l.close},
		"+LMQTTCONN":     {set: l.conn, read: l.connRead},
		"+LMQTTDISC":     {set: l.disc},
		"+LMQTTSUBUNSUB": {set: l.subUnsub},
		"+LMQTTPUB":      {set: l.pub},
		"+LMQTTREAD":     {set: l.readKept},
		"+CGACT":         {read: l.activeRead, set: l.cgact},
	}
}

func (l *lierda) cgact(a *args) reply {
	if l.f.qiactError {
		return failed
	}
	return l.activate(a)
}

// say prints a result URC, unless URCs are off.
func (l *lierda) say(format string, a ...any) {
	line := fmt.Sprintf(format, a...)
	if l.cfg["urc"][0] == "0" {
		l.released(line)
		return
	}
	l.result(line)
}

func (l *lierda) number(key string, i int) int {
	n, err := strconv.Atoi(l.cfg[key][i])
	if err != nil {
		return 0
	}
	return n
}

// configure is AT+LMQTTCFG="<key>",<id>[,...]; without values it shows what is set.
func (l *lierda) configure(a *args) reply {
	key, id := a.key(), a.num(0, 4)
	k, known := lierdaKeys[key]
	if a.bad || !known || id != 0 || key == l.f.noKey || key == "recv/mode" && l.f.noRecvMode {
		return failed
	}
	if a.end() {
		l.info(`+LMQTTCFG: "%s"%s`, key, strings.Join(append([]string{""}, l.cfg[key]...), ","))
		return okay
	}
	var values []string
	for i := 0; a.more(); i++ {
		p := a.next()
		n, err := strconv.Atoi(p.text)
		if k.ranges != nil && (i >= len(k.ranges) || err != nil || p.quoted || n < k.ranges[i][0] || n > k.ranges[i][1]) {
			return failed
		}
		values = append(values, p.text)
	}
	switch {
	case a.bad,
		key == "aliauth" && len(values) != 3,
		key == "will" && values[0] != "0" && (len(values) != 5 || len(values[3]) > 256 || len(values[4]) > 256):
		return failed
	}
	for i := len(values); i < len(k.values); i++ {
		values = append(values, l.cfg[key][i])
	}
	l.cfg[key] = values
	return okay
}

func (l *lierda) open(a *args) reply {
	id, host, port := a.num(0, 4), a.str(1, 100), a.num(1, 65535)
	if !a.end() || id != 0 {
		return failed
	}
	return l.async("+LMQTTOPEN: 0,", func() {
		if l.link != nil {
			l.opened(2)
			return
		}
		l.host, l.port = host, port
		l.after(l.lat.open, l.dial)
	})
}

// async shadows dce's for a stack that may hang: it accepts, and does nothing.
func (l *lierda) async(prefix string, start func()) reply {
	if l.stuck {
		return okay
	}
	return l.dce.async(prefix, start)
}

func (l *lierda) dial() {
	switch {
	case l.link != nil:
		return
	case l.f.open.take():
		l.opened(max(1, l.f.open.n[0]))
		return
	case !l.registered() || !l.contextActive(1):
		l.opened(3)
		return
	case l.stale:
		l.opened(1)
		return
	}
	var config *tls.Config
	if l.cfg["sslenable"][0] == "1" { // which commands upload certificates is not known: nothing is verified
		config = &tls.Config{InsecureSkipVerify: true, ServerName: l.host}
	}
	k := newLink(l.sim)
	l.link, l.state = k, 1
	l.inFlight, l.seen, l.kept = map[uint16]*exchange{}, map[uint16]bool{}, map[uint16]*packets.PublishPacket{}
	k.dial(l.host, l.port, config, func(err error) {
		if l.link != k { // AT+LMQTTCLOSE was faster
			if err == nil {
				k.conn.Close()
			}
			return
		}
		if err != nil {
			l.unlink()
			l.opened(lierdaOpenCode(err))
			return
		}
		l.opened(0)
		k.start(func(p packets.ControlPacket) { l.arrived(k, p) }, func(error) {
			if l.link == k && !l.hole {
				l.lost(1)
			}
		})
	})
}

func lierdaOpenCode(err error) int {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return 4
	case errors.Is(err, context.DeadlineExceeded):
		return 5
	}
	return 1
}

func (l *lierda) opened(extend int) {
	switch {
	case extend == 0:
		l.say("+LMQTTOPEN: 0,0")
	case l.f.openBare:
		l.say("+LMQTTOPEN: 0,%d", extend)
	default:
		l.say("+LMQTTOPEN: 0,-1,%d", extend)
	}
}

func (l *lierda) openRead() reply {
	if l.link != nil {
		l.info(`+LMQTTOPEN: 0,"%s",%d`, l.host, l.port)
	}
	return okay
}

func (l *lierda) close(a *args) reply {
	if a.num(0, 4) != 0 || !a.end() || l.link == nil {
		return failed
	}
	return l.async("+LMQTTCLOSE: 0,", func() {
		l.say("+LMQTTCLOSE: 0,0")
		l.unlink()
	})
}

func (l *lierda) disc(a *args) reply {
	if a.num(0, 4) != 0 || !a.end() || l.state != 3 {
		return failed
	}
	return l.async("+LMQTTDISC: 0,", func() {
		l.send(packets.NewControlPacket(packets.Disconnect))
		l.say("+LMQTTDISC: 0,0")
		l.unlink()
	})
}

func (l *lierda) connRead() reply {
	if l.link != nil {
		l.info("+LMQTTCONN: 0,%d", l.state)
	}
	return okay
}

func (l *lierda) conn(a *args) reply {
	if a.num(0, 4) != 0 || l.link == nil || l.state != 1 {
		return failed
	}
	var texts []string
	for a.more() {
		texts = append(texts, a.str(0, 256))
	}
	if !a.end() || len(texts) > 3 {
		return failed
	}
	l.state = 2
	return l.async("+LMQTTCONN: 0,", func() { l.after(l.lat.conn, func() { l.connect(texts) }) })
}

func (l *lierda) connect(texts []string) {
	if l.state != 2 {
		return
	}
	if l.f.conn.take() {
		l.refused(l.f.conn.n[0], l.f.conn.n[1])
		return
	}
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	if l.cfg["version"][0] == "3" {
		p.ProtocolName, p.ProtocolVersion = "MQIsdp", 3
	}
	p.CleanSession = l.cfg["session"][0] == "1"
	p.Keepalive = uint16(l.number("keepalive", 0))
	if len(texts) > 0 {
		p.ClientIdentifier = texts[0]
	}
	if ali := l.cfg["aliauth"]; ali != nil && len(texts) < 2 {
		var user, pass *string
		p.ClientIdentifier, user, pass = aliyun(p.ClientIdentifier, ali, l.cfg["sslenable"][0] == "1")
		texts = []string{"", *user, *pass}
	}
	if len(texts) > 1 {
		p.UsernameFlag, p.Username = true, texts[1]
	}
	if len(texts) > 2 {
		p.PasswordFlag, p.Password = true, []byte(texts[2])
	}
	if w := l.cfg["will"]; w[0] == "1" {
		p.WillFlag, p.WillQos, p.WillRetain = true, w[1][0]-'0', w[2] == "1"
		p.WillTopic, p.WillMessage = w[3], []byte(w[4])
	}
	l.send(p)
	l.waiting = l.after(l.patience(), func() { l.refused(2, 0); l.lost(8) })
}

func (l *lierda) patience() time.Duration { return time.Duration(l.number("timeout", 0)) * time.Second }

// refused ends an AT+LMQTTCONN that did not succeed.
func (l *lierda) refused(result, code int) {
	l.cancel(l.waiting)
	l.state = 1
	if l.f.connRet != "" && result == 0 {
		result = 1
	}
	l.say("+LMQTTCONN: 0,%d,%d", result, code)
}

// lost ends a connection that the host did not want to end.
func (l *lierda) lost(stats int) {
	if l.link == nil || l.stuck {
		return
	}
	if l.f.failInflight {
		for _, x := range l.sorted() {
			l.settle(x, 2)
		}
	}
	l.unlink()
	l.urc(fmt.Sprintf("+LMQTTURC: STATS,0,%d", stats))
	if l.early != "" { // the result that an OK waits for will not come
		l.early = ""
		l.finish(okay)
	}
}

// unlink lets go of the connection, and of all that AT+LMQTTCFG has set.
func (l *lierda) unlink() {
	if l.link != nil {
		l.link.close()
	}
	for _, t := range []*timer{l.waiting, l.pinging} {
		l.cancel(t)
	}
	for _, x := range l.inFlight {
		l.cancel(x.timer)
	}
	l.link, l.waiting, l.pinging, l.inFlight, l.state, l.hole = nil, nil, nil, nil, 0, false
	l.cfg = map[string][]string{}
	for key, k := range lierdaKeys {
		l.cfg[key] = slices.Clone(k.values)
	}
	if l.f.silent {
		l.cfg["urc"] = []string{"0"}
	}
}

// send writes a packet and puts the next PINGREQ off.
func (l *lierda) send(p packets.ControlPacket) {
	if l.link == nil {
		return
	}
	if !l.hole && !l.link.send(p) {
		l.after(0, func() { l.lost(9) })
		return
	}
	every := time.Duration(l.number("keepalive", 0)) * time.Second
	if every == 0 {
		return
	}
	l.cancel(l.pinging)
	l.pinging = l.after(every, func() { l.send(packets.NewControlPacket(packets.Pingreq)) })
}
