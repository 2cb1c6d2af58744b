package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// place is where a value came from: a line of the file, or the flag or variable that bears name.
type place struct {
	name string
	line int // 0: not a line, or not known
}

func (p place) String() string {
	if p.line == 0 {
		return p.name
	}
	return fmt.Sprintf("%s:%d", p.name, p.line)
}

// problem is one thing wrong with the configuration: where, which key, and a sentence that says what to do.
type problem struct {
	place
	key  string
	text string
}

func (p problem) String() string {
	parts := []string{p.place.String(), p.key, p.text}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// configErrors is everything wrong with a configuration, in the order of its lines.
type configErrors []problem

func (e configErrors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (e configErrors) sort() {
	slices.SortStableFunc(e, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.line, b.line))
	})
}
