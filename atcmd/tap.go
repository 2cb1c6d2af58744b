package atcmd

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Tap is told what passes on the wire, every byte of it, secrets masked: whole command lines and payloads on the way
// out, whole lines with the line ends before them on the way in. It is called from the engine's loop and must not block.
type Tap func(sent bool, text []byte)

// longSecret is from which length on a secret is masked wherever it comes back, not only in its command's echo; a
// shorter one, such as a PIN of four digits, would blot out unrelated numbers.
const longSecret = 5

// tapper collects what comes in until a line end, so that a secret cut by two reads is still seen whole.
type tapper struct {
	tap     Tap
	secrets []string
	in      []byte
	text    int // how many bytes of in are no line ends
}

func (t *tapper) learn(secrets []string) {
	for _, s := range secrets {
		if len(s) >= longSecret && !slices.Contains(t.secrets, s) {
			t.secrets = append(t.secrets, s)
		}
	}
}

// sent comes before the bytes are written. What has come of a line by then stays where it is: a secret in it may be half
// there.
func (t *tapper) sent(p []byte, secrets []string, cmd *Command) {
	if t.tap == nil {
		return
	}
	if b := t.pending(); b == ">" || strings.HasSuffix(b, "\r") {
		t.flush(cmd)
	}
	t.tap(true, []byte(mask(mask(string(p), secrets), t.secrets)))
}

func (t *tapper) received(p []byte, cmd *Command) {
	if t.tap == nil {
		return
	}
	for _, b := range p {
		if t.add(b) {
			t.flush(cmd)
		}
	}
}

// add reports whether b completes a line or a prompt.
func (t *tapper) add(b byte) bool {
	t.in = append(t.in, b)
	if b != '\r' && b != '\n' {
		t.text++
	}
	return b == '\n' && t.text > 0 || len(t.in) >= maxLine || t.text == 2 && bytes.HasSuffix(t.in, []byte("> "))
}

// pending is what has come of a line or a prompt that is not yet complete.
func (t *tapper) pending() string { return strings.TrimLeft(string(t.in), "\r\n") }

func (t *tapper) flush(cmd *Command) {
	if t.tap == nil || len(t.in) == 0 {
		return
	}
	s := mask(string(t.in), t.secrets)
	own, _ := cmd.owns(strings.TrimSpace(s))
	switch {
	case own && cmd.Private:
		s = s[:strings.IndexAny(s+":", ":")] + ": " + masked + "\r\n"
	case strings.Contains(s, "AT"): // an echo shows the secrets of its command, short ones too
		s = mask(s, cmd.Secret)
	}
	for _, sec := range cmd.Secret { // and so may an answer, as a whole field
		s = strings.ReplaceAll(s, `"`+sec+`"`, `"`+masked+`"`)
	}
	t.tap(false, []byte(s))
	t.in, t.text = t.in[:0], 0
}

// Printable shows every byte of p on one line: control characters and what is not UTF-8 as Go escapes.
func Printable(p []byte) string {
	s := strconv.Quote(string(p))
	return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
}
