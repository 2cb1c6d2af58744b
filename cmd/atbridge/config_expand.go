package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expandEnv replaces ${NAME} by the environment's value and $$ by $. A $ before anything else stands for itself.
// No error quotes s, which may be a secret.
func (d *decoder) expandEnv(s string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		out.WriteString(before)
		switch {
		case !found:
			return out.String(), nil
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed || !envName.MatchString(name) {
				return "", fmt.Errorf("${ begins the name of a variable, as in ${NAME}; write $${ for the characters themselves")
			}
			value, set := d.getenv(name)
			if !set {
				return "", fmt.Errorf("the variable %s is not set; set it, or write $${%s} for the characters themselves", name, name)
			}
			out.WriteString(value)
			s = after
		default:
			out.WriteByte('$')
			s = rest
		}
	}
}

// placeholders stand in any name of cloud and routes, so that one file serves a thousand devices.
var placeholders = []string{"imei", "iccid", "serial", "hostname"}

var placeholder = regexp.MustCompile(`\{([A-Za-z_]*)\}`)

// checkPlaceholders returns an error if s holds a placeholder that expand could never fill.
func checkPlaceholders(s string) error {
	for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
		if !slices.Contains(placeholders, m[1]) {
			return fmt.Errorf("%s is not known; use {%s}", m[0], strings.Join(placeholders, "}, {"))
		}
	}
	return nil
}

// unknownName is a placeholder that nothing is known for.
type unknownName string

func (u unknownName) Error() string {
	return string(u) + " is not known on this machine or modem; write the name out"
}

// expand fills the placeholders of s from vals, as in "site-{imei}".
func expand(s string, vals map[string]string) (string, error) {
	var missing error
	s = placeholder.ReplaceAllStringFunc(s, func(m string) string {
		v := vals[strings.Trim(m, "{}")]
		if v == "" && missing == nil {
			missing = unknownName(m)
		}
		return v
	})
	return s, missing
}
