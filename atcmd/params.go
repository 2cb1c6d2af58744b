package atcmd

import (
	"fmt"
	"strconv"
	"strings"
)

// Param is one field of an information response.
type Param struct {
	Text   string // without its quotes
	Quoted bool
}

// Params are the fields behind the colon of an information response.
type Params []Param

// ParseParams splits `+CREG: 2,1,"D509","80D413D",7` into its name and its fields (27.007 4.1: fields are separated
// by commas, strings stand in quotes). Blanks around the colon and the commas are dropped: several modules print
// them. It fails on a line without a colon and on an unpaired quote; it never panics.
func ParseParams(line string) (name string, p Params, err error) {
	name, rest, ok := strings.Cut(line, ":")
	if !ok {
		return "", nil, fmt.Errorf("%q: no colon", line)
	}
	name = strings.TrimSpace(name)
	for rest = strings.TrimSpace(rest); ; {
		var f Param
		if strings.HasPrefix(rest, `"`) {
			text, after, ok := strings.Cut(rest[1:], `"`)
			if !ok {
				return name, nil, fmt.Errorf("%q: an unpaired quote", line)
			}
			f, rest = Param{text, true}, strings.TrimLeft(after, " ")
			if rest != "" && rest[0] != ',' {
				return name, nil, fmt.Errorf("%q: text behind a closing quote", line)
			}
		} else {
			i := strings.IndexByte(rest, ',')
			if i < 0 {
				i = len(rest)
			}
			f, rest = Param{strings.TrimSpace(rest[:i]), false}, rest[i:]
		}
		p = append(p, f)
		if rest == "" {
			return name, p, nil
		}
		rest = strings.TrimLeft(rest[1:], " ")
	}
}

// Int is field i as a decimal integer, which may be negative.
func (p Params) Int(i int) (int, error) {
	if i >= len(p) {
		return 0, fmt.Errorf("field %d is missing", i+1)
	}
	n, err := strconv.Atoi(p[i].Text)
	if err != nil {
		return 0, fmt.Errorf("field %d is %q, not a number", i+1, p[i].Text)
	}
	return n, nil
}

// Text is field i without its quotes; empty if there is none.
func (p Params) Text(i int) string {
	if i >= len(p) {
		return ""
	}
	return p[i].Text
}
