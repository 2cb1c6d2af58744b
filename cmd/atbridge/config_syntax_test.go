package main

import (
	"strings"
	"testing"
)

// Whatever is no YAML is so on a line.
func TestConfigSyntax(t *testing.T) {
	const quoted = `inside { } and [ ] a variable stands in quotes: "${NAME}"`
	for text, want := range map[string]string{
		"modem: {pin: ${X}}":                        "1: not YAML: did not find expected ',' or '}'; " + quoted,
		"path: {}\ncloud: {password: ${X}}":         "2: not YAML: did not find expected ',' or '}'; " + quoted,
		"path: {}\ncloud: {broker: [${X}]}":         "2: not YAML: did not find expected ',' or ']'; " + quoted,
		"path: {}\nlog:\n  {level: x,\n wire ${X}}": "3: not YAML: did not find expected ',' or '}'; " + quoted,
		"routes: {up: [{from: a b: c}]}":            "1: not YAML: did not find expected ',' or '}'; mind",
		"path: {}\nmodem: {pin: 1\nlog: {}":         "2: not YAML: did not find expected ',' or '}'; mind",
		"path: {}\nmodem: }\nlog: {}":               "2: not YAML: did not find expected node content",
		"path: {}\n- modem":                         "2: not YAML: did not find expected key",
		"\tpath: {}":                                "1: not YAML: found character that cannot start any token",
		"path: mode: tcp":                           "1: not YAML: mapping values are not allowed in this context",
		"path: {}\nlog\nmodem: {}":                  "2: not YAML: could not find expected ':'",
		"# not *x, but\npath: {}\nmodem: [*x]":      "3: not YAML: a value begins with *",
		"path: {}\nmodem: \x01":                     "2: not YAML: control characters are not allowed",
		"path: {}\n\nmodem: \xff":                   "3: not YAML: invalid leading UTF-8 octet",
	} {
		_, err := parse(text)
		if err == nil || !strings.HasPrefix(err.Error(), "c.yaml:"+want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
