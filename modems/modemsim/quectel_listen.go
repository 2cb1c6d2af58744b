package modemsim

import (
	"fmt"
	"net"
	"strconv"
)

// listen is a server on the module. Config.Map says where it is really reached, under the module's own address;
// without an entry that is the same port of 127.0.0.1.
func (s *sockets) listen(c *socket, l *link) {
	where := net.JoinHostPort(address, strconv.Itoa(c.lport))
	if real, mapped := s.sim.cfg.Map[where]; mapped {
		where = real
	} else {
		where = net.JoinHostPort("127.0.0.1", strconv.Itoa(c.lport))
	}
	listener, err := net.Listen("tcp", where)
	if err != nil {
		s.opened(c, tcpListen)
		return
	}
	c.ip, c.listener = address, listener
	s.opened(c, tcpOK)
	sim := s.sim
	sim.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			if sim.cfg.RTT > 0 || sim.faults.linkRate > 0 {
				if conn, err = sim.farAway(l.ctx, conn); err != nil {
					return
				}
			}
			if !sim.post(sim.events, func(*dce) { s.incoming(c, l, sim.reach.over(conn)) }) {
				conn.Close()
				return
			}
		}
	})
}

// incoming gives a connection the highest id that is free; when there is none it is turned away.
func (s *sockets) incoming(c *socket, l *link, conn *pathConn) {
	if c.link != l || c.hole {
		conn.Close()
		return
	}
	for id := len(s.all) - 1; id >= 0; id-- {
		n := s.all[id]
		if n.service != "" {
			continue
		}
		n.service, n.ctx, n.server, n.mode, n.state, n.lport = "TCP INCOMING", c.ctx, c.id, c.mode, socketConnected, c.lport
		host, port, _ := net.SplitHostPort(conn.RemoteAddr().String())
		n.ip = host
		n.rport, _ = strconv.Atoi(port)
		n.link = newLink(s.sim)
		n.link.conn, n.link.path = conn, conn
		s.urc(fmt.Sprintf(`+QIURC: "incoming",%d,%d,"%s",%s`, n.id, c.id, host, port))
		s.converse(n, n.link)
		return
	}
	conn.Close()
	s.urc(`+QIURC: "incoming full"`)
}
