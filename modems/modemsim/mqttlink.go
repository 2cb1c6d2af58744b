package modemsim

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// link is a connection to a broker. Its methods are called by the goroutine that owns
// the module; its own goroutines only move packets.
type link struct {
	sim      *Sim
	network  string        // "tcp", or what the owner made of it
	patience time.Duration // the longest that the TLS handshake may take; 0: as long as the rest lets it
	ctx      context.Context
	end      context.CancelFunc
	conn     net.Conn
	path     *pathConn // what conn goes over
	out      chan []byte
}

// maxPacket is the longest packet that the module takes. packets.ReadPacket would allocate
// whatever length the peer claims, up to 256 MB.
const maxPacket = 256 << 10

// openTime is the longest that AT+QMTOPEN may take (MQTT AN V1.0).
const openTime = 120 * time.Second

// farewell is how long a link that is being closed may take to send what is left.
const farewell = time.Second

func newLink(s *Sim) *link {
	l := &link{sim: s, network: "tcp", out: make(chan []byte, 256)}
	l.ctx, l.end = context.WithCancel(s.ctx)
	return l
}

// dial connects and calls done with the outcome.
func (l *link) dial(host string, port int, config *tls.Config, done func(error)) {
	s := l.sim
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, openTime)
		defer cancel()
		conn, err := l.connect(ctx, net.JoinHostPort(host, strconv.Itoa(port)), config)
		s.log.Debug("dialled", "host", host, "port", port, "error", err)
		if !s.post(s.events, func(*dce) { l.conn = conn; done(err) }) && conn != nil {
			conn.Close()
		}
	})
}

// connect dials what the map says, over the simulated air, and with TLS if asked to.
func (l *link) connect(ctx context.Context, address string, config *tls.Config) (net.Conn, error) {
	s := l.sim
	if real, mapped := s.cfg.Map[address]; mapped {
		address = real
	}
	if err := s.reach.wait(ctx); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, l.network, address)
	if err != nil {
		return nil, err
	}
	if s.cfg.RTT > 0 || s.faults.linkRate > 0 {
		if conn, err = s.farAway(ctx, conn); err != nil {
			return nil, err
		}
	}
	l.path = s.reach.over(conn)
	conn = l.path
	if config == nil {
		return conn, nil
	}
	if l.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.patience)
		defer cancel()
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return secure, nil
}

// start moves packets from now on. broken is called once, when the other side is gone.
func (l *link) start(arrived func(packets.ControlPacket), broken func(error)) {
	s := l.sim
	context.AfterFunc(l.ctx, func() { l.conn.SetWriteDeadline(time.Now().Add(farewell)) })
	s.wg.Go(l.write)
	s.wg.Go(func() { // reader
		r := bufio.NewReader(l.conn)
		for {
			p, err := readPacket(r)
			if err != nil {
				s.log.Debug("link", "error", err)
				s.post(s.events, func(*dce) { broken(err) })
				return
			}
			if !s.post(s.events, func(*dce) { arrived(p) }) {
				return
			}
		}
	})
}

// write is the goroutine that writes. It closes the connection, once what was sent before
// close has gone out.
func (l *link) write() {
	defer l.conn.Close()
	for {
		select {
		case p := <-l.out:
			if _, err := l.conn.Write(p); err != nil {
				return
			}
		case <-l.ctx.Done():
			for len(l.out) > 0 {
				if _, err := l.conn.Write(<-l.out); err != nil {
					return
				}
			}
			return
		}
	}
}

// send reports false when the broker takes nothing any more. It encodes at once: the
// packet may be changed and sent again while these bytes wait.
func (l *link) send(p packets.ControlPacket) bool {
	var wire bytes.Buffer
	p.Write(&wire)
	return l.push(wire.Bytes())
}

// push is send for bytes.
func (l *link) push(p []byte) bool {
	select {
	case l.out <- p:
		return true
	default:
		return false
	}
}

// close lets what was sent go out and then closes the connection.
func (l *link) close() { l.end() }

// readPacket reads one packet whose length has been looked at first.
func readPacket(r *bufio.Reader) (packets.ControlPacket, error) {
	head, length := make([]byte, 1, 5), 0
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		head = append(head, b)
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		if shift == 21 {
			return nil, fmt.Errorf("remaining length has more than four bytes")
		}
	}
	if length > maxPacket {
		return nil, fmt.Errorf("a packet of %d bytes", length)
	}
	return packets.ReadPacket(io.MultiReader(bytes.NewReader(head), io.LimitReader(r, int64(length))))
}

// aliyun is what a module makes of "aliauth": the parameters that Aliyun IoT asks for.
func aliyun(id string, auth []string, secure bool) (clientID string, user, pass *string) {
	key, name, secret := auth[0], auth[1], auth[2]
	mode := 3
	if secure {
		mode = 2
	}
	mac := hmac.New(sha1.New, []byte(secret))
	fmt.Fprintf(mac, "clientId%sdeviceName%sproductKey%s", id, name, key)
	u, p := name+"&"+key, hex.EncodeToString(mac.Sum(nil))
	return fmt.Sprintf("%s|securemode=%d,signmethod=hmacsha1|", id, mode), &u, &p
}
