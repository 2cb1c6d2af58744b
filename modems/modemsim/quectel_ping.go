package modemsim

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// names lists the hosts that Config.Map knows by name. Their order gives each an address of RFC 5737.
func (s *sockets) names() (names []string) {
	seen := map[string]bool{}
	for _, address := range slices.Sorted(maps.Keys(s.sim.cfg.Map)) {
		host, _, err := net.SplitHostPort(address)
		if err == nil && net.ParseIP(host) == nil && !seen[host] {
			seen[host] = true
			names = append(names, host)
		}
	}
	return names
}

func testAddress(i int) string { return fmt.Sprintf("198.51.100.%d", i+1) }

// addressOf is what a host's name resolves to; nothing if only the real world knows.
func (s *sockets) addressOf(host string) string {
	if net.ParseIP(host) != nil {
		return host
	}
	if i := slices.Index(s.names(), host); i >= 0 {
		return testAddress(i)
	}
	return ""
}

// nameOf undoes addressOf, for a host that resolves a name first and then opens the address.
func (s *sockets) nameOf(host string) string {
	for i, name := range s.names() {
		if testAddress(i) == host {
			return name
		}
	}
	return host
}

// lookup resolves a name and calls done with the addresses.
func (s *sockets) lookup(host string, done func(ips []string)) {
	if ip := s.addressOf(host); ip != "" {
		s.after(s.sim.cfg.RTT, func() { done([]string{ip}) })
		return
	}
	sim := s.sim
	sim.wg.Go(func() {
		ctx, cancel := context.WithTimeout(sim.ctx, time.Minute) // AT+QIDNSGIP may take 60 s
		defer cancel()
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		sim.log.Debug("looked up", "host", host, "error", err)
		sim.post(sim.events, func(*dce) { done(ips) })
	})
}

// qidnsgip is AT+QIDNSGIP: how many addresses there are, and then each of them.
func (s *sockets) qidnsgip(a *args) reply {
	cid, host := a.num(1, 15), a.str(1, 150)
	if !a.end() {
		return s.tcp(tcpInvalid)
	}
	s.lastErr = tcpOK
	return s.async(`+QIURC: "dnsgip",`, func() {
		s.resolve(cid, host, func(ips []string, err int) {
			s.lastErr = err
			for _, line := range gipLines(ips, err) {
				s.urc(line)
			}
			s.released(`+QIURC: "dnsgip",`)
		})
	})
}

// gipLines has a lifetime of 0 for all, as the log of an EC200U has for an address that was none to ask for.
func gipLines(ips []string, err int) []string {
	lines := []string{fmt.Sprintf(`+QIURC: "dnsgip",%d,%d,0`, err, len(ips))}
	if err != tcpOK {
		return []string{fmt.Sprintf(`+QIURC: "dnsgip",%d`, err)}
	}
	for _, ip := range ips {
		lines = append(lines, fmt.Sprintf(`+QIURC: "dnsgip","%s"`, ip))
	}
	return lines
}

// resolve is lookup as far as the context allows it.
func (s *sockets) resolve(cid int, host string, done func(ips []string, err int)) {
	switch {
	case !s.registered() || !s.pdp[cid]:
		done(nil, tcpPDPOpen)
	case s.drifted():
		done(nil, tcpDNS)
	default:
		s.lookup(host, func(ips []string) {
			if len(ips) == 0 {
				done(nil, tcpDNS)
				return
			}
			done(ips, tcpOK)
		})
	}
}

// qping is AT+QPING. Every host that has an address answers, after the round-trip time of the simulated air:
// the real world is not asked, since that needs privileges.
func (s *sockets) qping(a *args) reply {
	cid, host, count := a.num(1, 15), a.str(1, 150), 4
	if a.more() {
		a.num(1, 255) // how long to wait for each
	}
	if a.more() {
		count = a.num(1, 10)
	}
	if !a.end() {
		return s.tcp(tcpInvalid)
	}
	s.lastErr = tcpOK
	return s.async("+QPING: ", func() {
		s.resolve(cid, host, func(ips []string, err int) {
			s.lastErr = err
			if err != tcpOK {
				s.result(fmt.Sprintf("+QPING: %d", err))
				return
			}
			s.ping(ips[0], count, 1)
		})
	})
}

func (s *sockets) ping(ip string, count, i int) {
	ms := s.sim.cfg.RTT.Milliseconds()
	s.after(s.sim.cfg.RTT, func() {
		s.result(fmt.Sprintf(`+QPING: 0,"%s",32,%d,255`, ip, ms))
		if i == count {
			s.urc(fmt.Sprintf("+QPING: 0,%d,%d,0,%d,%d,%d", count, count, ms, ms, ms))
			return
		}
		s.ping(ip, count, i+1)
	})
}
