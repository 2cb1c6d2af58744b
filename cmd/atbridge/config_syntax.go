package main

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	// What yaml's parser says, other than its scanner, stands a line too early.
	yamlParser = regexp.MustCompile(`^did not find expected (',' or .|key|'-' indicator|node content|<.*>)`)
	yamlFlow   = regexp.MustCompile(`^did not find expected ',' or '[]}]'`)
	yamlReader = regexp.MustCompile(`^(control characters|incomplete|invalid (leading|trailing|length|Unicode)) `)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntax says what yaml could not read, and on which line. An alias is not quoted, because it may be a password that begins
// with *.
func (d *decoder) syntax(data []byte, err error) {
	d.unread = true
	text, line := err.Error(), 0
	if m := yamlError.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	advice := "mind the indentation (spaces, no tabs) and put special characters into quotes"
	switch m := yamlAnchor.FindStringSubmatch(text); {
	case m != nil:
		line = lineOf(data, anchored(data, m[1]))
		text = "a value begins with *"
	case yamlReader.MatchString(text):
		line = lineOf(data, unreadable(data))
	case line == 0:
		line = 1 // of which yaml says nothing
	case yamlParser.MatchString(text):
		line++
	}
	if yamlFlow.MatchString(text) && variableIn(data, line) {
		advice = `inside { } and [ ] a variable stands in quotes: "${NAME}"`
	}
	d.fail(place{d.file, line}, "", "not YAML: %s; %s", text, advice)
}

func lineOf(data []byte, offset int) int {
	return 1 + strings.Count(string(data[:offset]), "\n")
}

// anchored is where a value begins that yaml takes for an alias of that name.
func anchored(data []byte, name string) int {
	alias := regexp.MustCompile(`(?m)^[^#\n]*?(\*` + regexp.QuoteMeta(name) + `)(?:[\s,\]}]|$)`)
	if at := alias.FindSubmatchIndex(data); at != nil {
		return at[2]
	}
	return 0
}

// unreadable is where data is no text.
func unreadable(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\u0085", r) {
			return i
		}
		i += n
	}
	return 0
}

// variableIn reports whether the { or [ that begins on that line breaks off at the brace of a variable.
func variableIn(data []byte, line int) bool {
	lines := strings.SplitAfterN(string(data), "\n", line)
	flow, _, _ := strings.Cut(lines[len(lines)-1], "}")
	return strings.Contains(flow, "${")
}
