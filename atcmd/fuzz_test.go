package atcmd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/atbridge/atbridge/atcmd"
)

var markers = regexp.MustCompile(`(AT\+CMEE\?\r|AT\+CSQ\r|AT\+CCLK\?\r|AT\+CGATT\?\r)+$`)

// Whatever a modem answers, the host sends its command line, then the payload at most once and only after a '>', and
// else nothing but the engine's own markers; and every call comes back.
func FuzzDialogue(f *testing.F) {
	for _, seed := range []string{
		"\r\n> \r\nOK\r\n", "AT+P=5\r\r\n> \r\nOK\r\n\r\n+QMTPUBEX: 0,1,0\r\n", "\r\nERROR\r\n> ", "x>\r\n>\r\n", "\r\n+CME ERROR: 3\r\n",
		"\r\n+QMTRECV: 0,0,\"t\",3,\">ab\"\r\n> ", "^boot.rom", "\r\n+QIRD: 99999999999999999999\r\n", "> > > \r\nRDY\r\n", "\r\n+CREG: 1\r\n\r\nOK\r\n\x00\xff",
	} {
		f.Add([]byte(seed), []byte("hello"))
	}
	f.Fuzz(func(t *testing.T, said, payload []byte) {
		host, modem := net.Pipe()
		e := atcmd.New(host, atcmd.WithGrammar(dialect))
		go func() {
			for range e.URCs() {
			}
		}()
		c := atcmd.Set("+P", 5)
		c.Payload = append([]byte{}, payload...)
		line := []byte("AT+P=5\r")
		asked, heard := make(chan struct{}), make(chan []byte)
		go func() {
			got := make([]byte, len(line))
			io.ReadFull(modem, got) // the engine writes its line whole
			close(asked)
			rest, _ := io.ReadAll(modem) // ends when the host's end is closed
			heard <- append(got, rest...)
		}()
		done := make(chan error)
		go func() { _, err := e.Do(context.Background(), c); done <- err }()
		<-asked
		modem.Write(said) // it may fail half-way, when the engine has given up
		modem.Close()
		<-done
		<-e.Done()
		got := <-heard
		rest, ok := bytes.CutPrefix(got, line)
		rest = markers.ReplaceAll(rest, nil)
		if !ok || !bytes.HasPrefix(c.Payload, rest) || len(rest) > 0 && bytes.IndexByte(said, '>') < 0 {
			t.Errorf("the modem said %q and heard %q", said, got)
		}
	})
}

// Whatever stands in the arguments, a command is one line with as many fields as it was given, or nothing is sent.
func FuzzBuilders(f *testing.F) {
	f.Add("topic", "payload", "apn")
	f.Add("a\",1,\"b", "\r\nAT+CFUN=0\r", "\x1a")
	f.Add("", "\x00", "中文;+CSQ")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		host, modem := net.Pipe()
		e := atcmd.New(host)
		heard := make(chan string)
		go func() {
			b, _ := io.ReadAll(modem)
			heard <- string(b)
		}()
		ctx, cancel := context.WithCancel(context.Background())
		cmd := atcmd.Set("+X", a, 7, b, c)
		returned := make(chan error)
		go func() { _, err := e.Do(ctx, cmd); returned <- err }()
		var got string
		if bad := strings.ContainsAny(a+b+c, "\"\r\n\x00\x1a\x1b"); bad {
			if err := <-returned; !errors.Is(err, atcmd.ErrArgument) {
				t.Errorf("%q %q %q: %v", a, b, c, err)
			}
			e.Close()
			got = <-heard
		} else {
			modem.Write([]byte("\r\nOK\r\n"))
			cancel()
			<-returned
			e.Close()
			got = <-heard
		}
		cancel()
		if got != "" && got != `AT+X="`+a+`",7,"`+b+`","`+c+`"`+"\r" {
			t.Errorf("%q went out", got)
		}
		if strings.Count(got, "\r") > 1 {
			t.Errorf("more than one line: %q", got)
		}
	})
}
