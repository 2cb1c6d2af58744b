package attest

import (
	"io"
	"net"
	"testing"
)

// DCE is the modem's end of the line. Its methods are called from one goroutine.
type DCE struct {
	t    testing.TB
	conn net.Conn
}

// New returns both ends of a line: the scripted modem, and the port for the engine.
func New(t testing.TB) (*DCE, io.ReadWriteCloser) {
	host, modem := net.Pipe()
	d := &DCE{t: t, conn: modem}
	t.Cleanup(func() { modem.Close() })
	return d, host
}

// Expect reads exactly want from the host. Anything else fails the test, and so does the end of the line.
func (d *DCE) Expect(want string) {
	d.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(d.conn, got)
	if err != nil {
		d.t.Errorf("the host sent %q and then %v, not %q", got[:n], err, want)
		return
	}
	if string(got) != want {
		d.t.Errorf("the host sent %q, not %q", got, want)
	}
}

// Send sends s one byte at a time.
func (d *DCE) Send(s string) {
	d.t.Helper()
	for i := range len(s) {
		d.SendWhole(s[i : i+1])
	}
}

// SendWhole sends s in one write.
func (d *DCE) SendWhole(s string) {
	d.t.Helper()
	if _, err := io.WriteString(d.conn, s); err != nil {
		d.t.Errorf("sending %q: %v", s, err)
	}
}

// Offer sends s in one write; false if the host has closed the line.
func (d *DCE) Offer(s string) bool {
	_, err := io.WriteString(d.conn, s)
	return err == nil
}

// Answer is Expect, then Send.
func (d *DCE) Answer(want, answer string) {
	d.t.Helper()
	d.Expect(want)
	d.Send(answer)
}

// Silent fails the test if the host sends anything before the line is closed.
func (d *DCE) Silent() {
	d.t.Helper()
	if got, _ := io.ReadAll(d.conn); len(got) > 0 {
		d.t.Errorf("the host sent %q where nothing may be sent", got)
	}
}

// HangUp closes the modem's end: the host reads io.EOF.
func (d *DCE) HangUp() { d.conn.Close() }

// Line reads one command line, without its CR; false at the end of the line.
func (d *DCE) Line() (string, bool) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(d.conn, b); err != nil {
			return string(line), false
		}
		if b[0] == '\r' {
			return string(line), true
		}
		line = append(line, b[0])
	}
}
