package modemsim

import (
	"fmt"
	"slices"
	"strings"
)

// socketKey is a key of AT+QICFG (TCP/IP AN V1.2): a write gives it one number for each range.
type socketKey struct {
	name   string
	ranges [][2]int
	values []int
}

// socketKeys are what the manual of the EC600S has; the EC200U knows more. Those without effect here are only
// remembered: transparent mode, keep-alive, and how UDP is cut.
var socketKeys = []socketKey{
	{"transpktsize", [][2]int{{1, 1460}}, []int{1024}},
	{"transwaittm", [][2]int{{0, 20}}, []int{2}},
	{"dataformat", [][2]int{{0, 1}, {0, 1}}, []int{0, 0}},
	{"viewmode", [][2]int{{0, 1}}, []int{0}},
	{"passiveclosed", [][2]int{{0, 1}}, []int{0}},
	{"udp/readmode", [][2]int{{0, 1}}, []int{0}},
	{"udp/sendmode", [][2]int{{0, 1}}, []int{0}},
	{"tcp/accept", [][2]int{{0, 1}}, []int{1}},
	{"recvind", [][2]int{{0, 1}}, []int{0}},
	{"tcp/keepalive", [][2]int{{0, 1}, {1, 1800}, {25, 100}, {3, 10}}, []int{0}},
}

// qicfg is AT+QICFG. It takes effect at once and is not saved.
func (s *sockets) qicfg(a *args) reply {
	name := a.key()
	i := slices.IndexFunc(socketKeys, func(k socketKey) bool { return k.name == name })
	switch {
	case a.bad || i < 0:
		return s.tcp(tcpInvalid)
	case a.end():
		s.info(`+QICFG: "%s",%s`, name, strings.Trim(strings.ReplaceAll(fmt.Sprint(s.cfg[name]), " ", ","), "[]"))
		return s.tcp(tcpOK)
	}
	var values []int
	for _, r := range socketKeys[i].ranges {
		values = append(values, a.num(r[0], r[1]))
		if name == "tcp/keepalive" && values[0] == 0 && !a.more() {
			break // switched off, it needs no times
		}
	}
	if !a.end() {
		return s.tcp(tcpInvalid)
	}
	s.cfg[name] = values
	return s.tcp(tcpOK)
}
