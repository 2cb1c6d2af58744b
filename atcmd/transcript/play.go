package transcript

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Option of Play.
type Option func(*player)

// Timed keeps the pauses before what the modem sends, as far as they are known. Without it all comes at once.
func Timed() Option { return func(p *player) { p.timed = true } }

// player is the modem's side of one performance.
type player struct {
	line  io.ReadWriter
	timed bool
	got   []byte // what the host has sent and no entry has taken

	want, took string // the last entry of the host with a masked place, and what the host has sent for it
}

// Play is the modem of the transcript on line, until all has been said: it sends what the modem sent, in the recorded
// order, and takes what the host sends. It objects to the first byte that differs, and to an end before the end. Only
// the pauses heed ctx: close the line to end a wait for the host.
func (t *Transcript) Play(ctx context.Context, line io.ReadWriter, options ...Option) error {
	p := &player{line: line}
	for _, o := range options {
		o(p)
	}
	last := time.Duration(0)
	for _, e := range t.Entries {
		err := p.play(ctx, e, last)
		if errors.Is(err, io.EOF) {
			err = errors.New("the host has closed the line")
		}
		if err != nil {
			return fmt.Errorf("line %d, %s: %w", e.Line, strings.TrimSpace(e.String()), err)
		}
		if e.At >= 0 {
			last = e.At
		}
	}
	if len(p.got) > 0 {
		return fmt.Errorf("after the end the host sent %q", p.got)
	}
	return nil
}

func (p *player) play(ctx context.Context, e Entry, last time.Duration) error {
	if e.Sent {
		return p.expect(e.Text)
	}
	if p.timed && e.At > last {
		pause := time.NewTimer(e.At - last)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	text := e.Text
	if p.want != "" { // the echo of a command shows what was sent now
		text = strings.Replace(text, p.want, p.took, 1)
	}
	_, err := io.WriteString(p.line, text)
	return err
}

// expect takes text from the host.
func (p *player) expect(text string) error {
	chunk := make([]byte, 4096)
	for {
		n, possible := match(text, string(p.got))
		switch {
		case n > 0:
			if strings.Contains(text, masked) {
				p.want, p.took = strings.TrimRight(text, "\r\n"), strings.TrimRight(string(p.got[:n]), "\r\n")
			}
			p.got = p.got[n:]
			return nil
		case !possible:
			return fmt.Errorf("the host sent %q", p.got)
		}
		read, err := p.line.Read(chunk)
		p.got = append(p.got, chunk[:read]...)
		if err != nil && read == 0 {
			if len(p.got) > 0 {
				return fmt.Errorf("the host sent %q, and then: %w", p.got, err)
			}
			return err
		}
	}
}

// match reports how many bytes of got text takes, 0 if it takes more than there are, and whether it still can. A masked
// place takes at least one byte and no line end, as little as it can; at the end of a text it takes all there is.
func match(text, got string) (n int, possible bool) {
	literals := strings.Split(text, masked)
	first := literals[0]
	if len(got) < len(first) {
		return 0, strings.HasPrefix(first, got)
	}
	if !strings.HasPrefix(got, first) {
		return 0, false
	}
	n = len(first)
	for i, literal := range literals[1:] {
		rest := got[n:]
		if rest == "" {
			return 0, true
		}
		if literal == "" && i == len(literals)-2 {
			return len(got), true
		}
		at, end := strings.Index(rest[1:], literal)+1, lineEnd(rest)
		if at == 0 || at > end {
			return 0, mayBegin(literal, rest, end)
		}
		n += at + len(literal)
	}
	return n, true
}

// lineEnd is where the first line of s ends.
func lineEnd(s string) int {
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return i
	}
	return len(s)
}

// mayBegin reports whether the end of s may be the beginning of literal, from at most the byte end on.
func mayBegin(literal, s string, end int) bool {
	for i := 1; i <= end; i++ {
		if len(s)-i < len(literal) && strings.HasPrefix(literal, s[i:]) {
			return true
		}
	}
	return false
}
