package modems

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// quectelSockets drives the QI commands in direct push mode (TCP 2.2).
type quectelSockets struct{}

const (
	quectelLinks    = 12   // TCP 2.2.5: 0 to 11
	quectelSend     = 1460 // bytes of one AT+QISEND (TCP 2.2.8)
	quectelPull     = 0    // <access_mode>: data is announced, and waits to be read
	quectelPush     = 1    // it comes as it arrives
	quectelRead     = 1500 // bytes of one AT+QIRD (TCP 2.2.9)
	quectelInUse    = 563
	quectelOpened   = 150 * time.Second // TCP 2.2.5
	quectelClosed   = 10 * time.Second  // TCP 2.2.6: FIN and its acknowledgement, by default
	quectelSendTime = 10 * time.Second  // not documented; the module only copies
)

// quectelSocketWords are the error codes of the TCP/IP commands (TCP, chapter 4) that a dial can end with.
var quectelSocketWords = map[int]string{
	550: "unknown error",
	551: "the operation is blocked",
	552: "wrong parameter",
	553: "the module is out of memory",
	554: "no socket could be created",
	561: "the data connection could not be brought up",
	563: "the socket is in use",
	564: "the module is resolving another name",
	565: "the name could not be resolved",
	566: "nobody answers there, or it refuses",
	569: "it took too long",
	570: "the data connection is broken",
	572: "not allowed",
	573: "no APN is set",
	574: "the port is busy",
}

// Sockets of AT+QIOPEN.
func (quectelSockets) Sockets() int { return quectelLinks }

// DialSocket opens one connection. One that an earlier run has left under the same number is closed first.
func (quectelSockets) DialSocket(ctx context.Context, m *Modem, host string, port int) (net.Conn, error) {
	id, free, err := m.takeSocket(quectelLinks)
	if err != nil {
		return nil, err
	}
	c := newConn(m, host, port)
	s := &quectelSocket{m: m, c: c, id: id, opened: make(chan int, 1)}
	stop := m.router.on(s.handle, "")
	if err := s.open(ctx, host, port); err != nil {
		stop()
		defer free()
		cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*quectelClosed)
		defer cancel()
		if errClose := s.close(cleanCtx, true); errClose != nil && !atcmd.Refused(errClose) {
			err = errors.Join(err, errClose)
		}
		return nil, err
	}
	c.begin(s, m.opts.PullSockets, func() { stop(); free() })
	return c, nil
}

// quectelSocket is one connection of the module.
type quectelSocket struct {
	m      *Modem
	c      *conn
	id     int
	opened chan int // the result of AT+QIOPEN
	up     bool     // only the router touches it
}

// open connects. The module keeps a number in use after a failure, and after its host has died: it is closed once.
func (s *quectelSocket) open(ctx context.Context, host string, port int) error {
	mode := quectelPush
	if s.m.opts.PullSockets {
		mode = quectelPull
	}
	open := atcmd.Set("+QIOPEN", quectelContext, s.id, "TCP", host, port, 0, mode)
	for again := true; ; again = false {
		if _, err := s.m.Do(ctx, open); err != nil {
			return err
		}
		code, err := s.result(ctx)
		switch {
		case err != nil:
			return err
		case code == 0:
			return nil
		case code == quectelInUse && again:
			if err := s.close(ctx, true); err != nil && !atcmd.Refused(err) {
				return err
			}
			continue
		}
		return unresolved(code == 565, fmt.Errorf("%s (+QIOPEN: %d)", words(quectelSocketWords, code), code))
	}
}

func (s *quectelSocket) result(ctx context.Context) (int, error) {
	patience := time.NewTimer(quectelOpened)
	defer patience.Stop()
	select {
	case code := <-s.opened:
		return code, nil
	case <-patience.C:
		return 0, fmt.Errorf("the result of AT+QIOPEN did not come: %w", atcmd.ErrTimeout)
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.m.Done():
		return 0, s.m.Err()
	}
}

func (*quectelSocket) limit() int { return quectelSend }

// send returns at SEND OK: the module has the bytes. SEND FAIL says that its buffer is full (TCP 2.2.8).
func (s *quectelSocket) send(ctx context.Context, p []byte, secrets []string) error {
	c := atcmd.Set("+QISEND", s.id, len(p)).WithTimeout(quectelSendTime)
	c.Payload = p
	c = c.WithSecret(secrets...)
	c.Final = func(line string) (bool, error) {
		switch line {
		case "SEND OK":
			return true, nil
		case "SEND FAIL":
			return true, errFull
		}
		return false, nil
	}
	_, err := s.m.Do(ctx, c)
	return err
}

// pull reads what is buffered: `+QIRD: 11` and a line end stand before the data, +QIRD: 0 says that there is none.
func (s *quectelSocket) pull(ctx context.Context) ([]byte, error) {
	r, err := s.m.Do(ctx, atcmd.Set("+QIRD", s.id, quectelRead))
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

// close waits for the other side's farewell, unless it is lost: nothing else can be done on the line meanwhile.
func (s *quectelSocket) close(ctx context.Context, lost bool) error {
	c := atcmd.Set("+QICLOSE", s.id).WithTimeout(2 * quectelClosed)
	if lost {
		c = atcmd.Set("+QICLOSE", s.id, 0).WithTimeout(2 * quectelClosed)
	}
	_, err := s.m.Do(ctx, c)
	return err
}

// handle takes one URC. It runs on the router and never blocks.
func (s *quectelSocket) handle(l atcmd.Line) {
	if slices.Contains(quectelReboot, l.Head) {
		s.c.fail(fmt.Errorf("%w (%s)", atcmd.ErrReboot, l.Head))
		return
	}
	name, p, err := atcmd.ParseParams(l.Head)
	if err != nil || name != "+QIOPEN" && name != "+QIURC" {
		return
	}
	if name == "+QIOPEN" {
		id, errID := p.Int(0)
		code, errCode := p.Int(1)
		if errID == nil && errCode == nil && id == s.id {
			s.up = code == 0 // here, so that what follows is about this connection
			select {
			case s.opened <- code:
			default:
			}
		}
		return
	}
	id, err := p.Int(1)
	switch what := p.Text(0); {
	case err != nil:
	case what == "pdpdeact" && id == quectelContext:
		s.c.fail(errors.New(`the network ended the data connection (+QIURC: "pdpdeact")`))
	case id != s.id || !s.up:
	case what == "recv" && s.m.opts.PullSockets:
		s.c.announced()
	case what == "recv":
		s.c.arrived(l.Block)
	case what == "closed" && s.m.opts.PullSockets:
		s.c.part()
	case what == "closed":
		s.c.eof()
	}
}

// `+QIURC: "recv",0,11` or `+QIRD: 11`, and a line end, stand before the data.
var quectelPushed = regexp.MustCompile(`^(?:\+QIURC: ?"recv", ?[0-9]+, ?|\+QIRD: ?)([0-9]{1,5})\r$`)

// quectelPushBlock recognises the data of sockets.
func quectelPushBlock(head []byte) (skip, n int, ok bool) {
	m := quectelPushed.FindSubmatch(head)
	if m == nil {
		return 0, 0, false
	}
	n, err := strconv.Atoi(string(m[1]))
	return len("\n"), n, err == nil && n > 0 && n <= quectelMaxBlock
}

var quectelURC, quectelQIRD = []byte("+QIURC:"), []byte("+QIRD:")

// quectelBlocks recognises all counted data of the dialect. counted: +QMTRECV carries the length of its payload.
func quectelBlocks(counted bool) func([]byte) (int, int, bool) {
	return func(head []byte) (skip, n int, ok bool) {
		switch {
		case bytes.HasPrefix(head, quectelURC), bytes.HasPrefix(head, quectelQIRD):
			return quectelPushBlock(head)
		case counted:
			return quectelBlock(head)
		}
		return 0, 0, false
	}
}
