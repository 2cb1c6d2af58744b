package modems

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// luatSockets drives the CIP commands with AT+CIPMUX=1, where each connection has a number (TCPIP).
type luatSockets struct{}

const (
	luatLinks     = 6    // 0 to 5
	luatSend      = 1460 // bytes of one AT+CIPSEND
	luatStart     = 75 * time.Second
	luatSendTime  = 10 * time.Second // not documented; with AT+CIPQSEND=1 the module only copies
	luatCloseTime = 20 * time.Second
)

// Sockets of AT+CIPSTART.
func (luatSockets) Sockets() int { return luatLinks }

// DialSocket opens one connection. One that an earlier run has left under the same number is closed first.
func (luatSockets) DialSocket(ctx context.Context, m *Modem, host string, port int) (net.Conn, error) {
	if err := luatMultiply(ctx, m); err != nil {
		return nil, fmt.Errorf("preparing for several connections: %w", err)
	}
	n, free, err := m.takeSocket(luatLinks)
	if err != nil {
		return nil, err
	}
	c := newConn(m, host, port)
	s := &luatSocket{m: m, c: c, n: n}
	stop := m.router.on(s.handle, "")
	if err := s.open(ctx, host, port); err != nil {
		stop()
		defer free()
		cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), luatCloseTime)
		defer cancel()
		if errClose := s.close(cleanCtx, true); errClose != nil && !atcmd.Refused(errClose) {
			err = errors.Join(err, errClose)
		}
		return nil, err
	}
	c.begin(s, m.opts.PullSockets, func() { stop(); free() })
	return c, nil
}

// luatMultiply turns to several numbered connections, and to sends that do not wait for the other side. Both can be
// set only before the bearer is up, so it is brought up anew.
func luatMultiply(ctx context.Context, m *Modem) error {
	r, err := m.Do(ctx, atcmd.Read("+CIPMUX"))
	if err != nil {
		return err
	}
	if bare(r, "+CIPMUX") == "1" {
		return luatPulls(ctx, m)
	}
	if err := luatShut(ctx, m); err != nil {
		return err
	}
	if _, err := m.Do(ctx, atcmd.Set("+CIPMUX", 1)); err != nil {
		return err
	}
	if err := m.try(ctx, atcmd.Set("+CIPQSEND", 1)); err != nil {
		return err
	}
	if _, err = luatBearer(ctx, m, m.opts.PDP); err != nil {
		return err
	}
	return luatPulls(ctx, m)
}

// luatPulls says whether data is pushed or waits to be read. Firmware that has no such setting pushes.
func luatPulls(ctx context.Context, m *Modem) error {
	if m.opts.PullSockets {
		_, err := m.Do(ctx, atcmd.Set("+CIPRXGET", 1))
		return err
	}
	return m.try(ctx, atcmd.Set("+CIPRXGET", 0))
}

// luatSocket is one numbered connection.
type luatSocket struct {
	m  *Modem
	c  *conn
	n  int
	up bool // only the router touches it
}

// open connects. ALREADY CONNECT stands for a connection of an earlier run.
func (s *luatSocket) open(ctx context.Context, host string, port int) error {
	start := atcmd.Set("+CIPSTART", s.n, "TCP", host, port)
	for again := true; ; again = false {
		word, err := luatWord(ctx, s.m, s.n, start, luatStart, "CONNECT OK", "ALREADY CONNECT", "CONNECT FAIL", "CLOSED", "+PDP")
		switch {
		case err != nil:
			return err
		case word == "CONNECT OK":
			return nil
		case word == "ALREADY CONNECT" && again:
			if err := s.close(ctx, true); err != nil && !atcmd.Refused(err) {
				return err
			}
			continue
		}
		return fmt.Errorf("the module says %s: it cannot resolve the name, or nobody answers there", word)
	}
}

func (*luatSocket) limit() int { return luatSend }

func (s *luatSocket) send(ctx context.Context, p []byte, secrets []string) error {
	c := atcmd.Set("+CIPSEND", s.n, len(p)).WithTimeout(luatSendTime)
	c.Payload = p
	c = c.WithSecret(secrets...)
	c.Final = func(line string) (bool, error) {
		switch line := luatBare(s.n, line); {
		case line == "SEND OK", strings.HasPrefix(line, "DATA ACCEPT"):
			return true, nil
		case line == "SEND FAIL":
			return true, errFull
		}
		return false, nil
	}
	_, err := s.m.Do(ctx, c)
	return err
}

// pull reads what is buffered: `+CIPRXGET: 2,0,11,0` and a line end stand before the data.
func (s *luatSocket) pull(ctx context.Context) ([]byte, error) {
	r, err := s.m.Do(ctx, atcmd.Set("+CIPRXGET", 2, s.n, luatSend))
	if err != nil {
		return nil, err
	}
	for _, l := range r.Info {
		if l.Block != nil {
			return l.Block, nil
		}
	}
	return nil, nil
}

func (s *luatSocket) close(ctx context.Context, _ bool) error {
	c := atcmd.Set("+CIPCLOSE", s.n).WithTimeout(luatCloseTime)
	c.Final = func(line string) (bool, error) { return luatBare(s.n, line) == "CLOSE OK", nil }
	_, err := s.m.Do(ctx, c)
	return err
}

// handle takes one URC. It runs on the router and never blocks.
func (s *luatSocket) handle(l atcmd.Line) {
	if n, _, ok := receiveHead(l.Head); ok {
		if n == s.n && s.up {
			s.c.arrived(l.Block)
		}
		return
	}
	if s.up && strings.ReplaceAll(l.Head, " ", "") == fmt.Sprintf("+CIPRXGET:1,%d", s.n) {
		s.c.announced()
		return
	}
	switch line := luatBare(s.n, l.Head); {
	case slices.Contains(luatReboot, l.Head):
		s.c.fail(fmt.Errorf("%w (%s)", atcmd.ErrReboot, l.Head))
	case strings.HasPrefix(l.Head, "+PDP"):
		s.c.fail(fmt.Errorf("the network ended the data connection (%s)", l.Head))
	case line == l.Head: // about another connection
	case line == "CONNECT OK":
		s.up = true // here, so that what follows is about this connection
	case line == "CLOSED" && s.m.opts.PullSockets:
		s.c.part()
	case line == "CLOSED":
		s.c.eof()
	}
}

// `+RECEIVE,0,11:` and a line end stand before the data.
var receiveLine = regexp.MustCompile(`^\+RECEIVE,([0-5]), ?([0-9]{1,5}):$`)

// What AT+CIPRXGET=2 reads stands behind its own line.
var pulledLine = regexp.MustCompile(`^\+CIPRXGET: ?2, ?[0-5], ?([0-9]{1,5}), ?[0-9]+\r$`)

func pulledHead(head string) (n int, ok bool) {
	m := pulledLine.FindStringSubmatch(head)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil && n > 0
}

func receiveHead(head string) (link, n int, ok bool) {
	m := receiveLine.FindStringSubmatch(head)
	if m == nil {
		return 0, 0, false
	}
	link, _ = strconv.Atoi(m[1])
	n, _ = strconv.Atoi(m[2])
	return link, n, true
}
