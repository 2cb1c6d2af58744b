package modemsim

import (
	"bytes"
	"strconv"
	"strings"
)

// call is one command of a command line.
type call struct {
	name string // in upper case: "+CSQ", "E", "&F"
	form form
	text string // what follows "=", or the digits of a basic command
}

type form int

const (
	execute form = iota // AT+X, ATE0
	read                // AT+X?
	test                // AT+X=?
	set                 // AT+X=...
)

// prefix finds the AT that starts a command line. What comes before it is not for the
// module (V.250, 5.2.1), and without it there is no command line at all.
func prefix(line []byte) (body []byte, found bool) {
	for i := 0; i+1 < len(line); i++ {
		if (line[i] == 'A' || line[i] == 'a') && (line[i+1] == 'T' || line[i+1] == 't') {
			return line[i+2:], true
		}
	}
	return nil, false
}

// split takes a command line apart (V.250, 5.2.4 and 5.4): basic commands follow each
// other directly, extended ones end with a semicolon. It reports false for what is
// no command line, an open quote among it.
func split(body []byte) (calls []call, valid bool) {
	s := strings.TrimSpace(string(body))
	for s != "" {
		switch c := s[0]; {
		case c == ';' || c == ' ':
			s = s[1:]
		case strings.IndexByte("+^$*", c) >= 0:
			end, closed := endOfExtended(s)
			if !closed {
				return nil, false
			}
			calls = append(calls, extended(s[:end]))
			s = s[end:]
		default:
			n := 1
			if c == '&' {
				n = 2
			}
			if len(s) < n {
				return nil, false
			}
			k := call{name: strings.ToUpper(s[:n])}
			if k.name == "S" { // S3=13, S3?
				n += digits(s[n:])
				k.name = "S" + s[1:n]
				if strings.HasPrefix(s[n:], "=") {
					k.form = set
					n++
				} else if strings.HasPrefix(s[n:], "?") {
					k.form = read
					n++
				}
			}
			m := n + digits(s[n:])
			k.text = s[n:m]
			calls = append(calls, k)
			s = s[m:]
		}
	}
	return calls, true
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// verbatim begins the one command whose argument may hold quotes and semicolons of its own: it is alone on its line.
const verbatim = "+LMQTTPUB="

// endOfExtended finds the semicolon that ends an extended command, outside quotes.
func endOfExtended(s string) (end int, closed bool) {
	if len(s) > len(verbatim) && strings.EqualFold(s[:len(verbatim)], verbatim) {
		return len(s), true
	}
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return i, true
		}
	}
	return len(s), !quoted
}

func extended(s string) call {
	i := strings.IndexAny(s, "=?")
	if i < 0 {
		return call{name: strings.ToUpper(strings.TrimSpace(s))}
	}
	c := call{name: strings.ToUpper(strings.TrimSpace(s[:i])), form: set, text: s[i+1:]}
	switch {
	case s[i] == '?' && c.text == "":
		c.form = read
	case s[i] == '?':
		c.name = "" // "AT+CSQ?1" is no form of anything
	case strings.TrimSpace(c.text) == "?":
		c.form = test
	}
	return c
}

// args reads the parameters of a set command one after the other. A parameter that is
// missing or out of range spoils the whole list, which end reports: a handler reads all
// it wants and asks once.
type args struct {
	raw  string
	list []arg
	bad  bool
}

type arg struct {
	text   string
	quoted bool
}

// parseArgs splits at commas outside quotes. A quote that is not closed, or anything but
// blanks between a closing quote and the comma, spoils the list. There is no escape
// character: a quote cannot be part of a parameter.
func parseArgs(s string) *args {
	a := &args{raw: s}
	for rest, more := s, true; more; {
		var p arg
		rest = strings.TrimLeft(rest, " ")
		if strings.HasPrefix(rest, `"`) {
			var closed bool
			p.quoted = true
			p.text, rest, closed = strings.Cut(rest[1:], `"`)
			rest = strings.TrimLeft(rest, " ")
			if !closed || rest != "" && rest[0] != ',' {
				a.bad = true
				return a
			}
			more = rest != ""
			rest = strings.TrimPrefix(rest, ",")
		} else {
			p.text, rest, more = strings.Cut(rest, ",")
			p.text = strings.TrimRight(p.text, " ")
			if strings.Contains(p.text, `"`) {
				a.bad = true
				return a
			}
		}
		a.list = append(a.list, p)
	}
	return a
}

// more reports whether a parameter is left.
func (a *args) more() bool { return !a.bad && len(a.list) > 0 }

// end reports whether every parameter was good and none is left over.
func (a *args) end() bool { return !a.bad && len(a.list) == 0 }

func (a *args) next() (p arg) {
	if !a.more() {
		a.bad = true
		return p
	}
	p, a.list = a.list[0], a.list[1:]
	return p
}

// num reads a number within lo and hi.
func (a *args) num(lo, hi int) int {
	p := a.next()
	n, err := strconv.Atoi(p.text)
	if err != nil || p.quoted || n < lo || n > hi {
		a.bad = true
		return lo
	}
	return n
}

// str reads a string of lo to hi bytes. Modules take it without quotes too: a log of an
// EC800M has AT+QMTCONN=0,0.
func (a *args) str(lo, hi int) string {
	p := a.next()
	if len(p.text) < lo || len(p.text) > hi {
		a.bad = true
	}
	return p.text
}

// key reads a keyword, which is the same in upper and lower case.
func (a *args) key() string { return strings.ToLower(a.str(1, 64)) }

// openQuote reports whether a line that is being typed is inside a quoted string.
func openQuote(line []byte) bool { return bytes.Count(line, []byte{'"'})%2 == 1 }
