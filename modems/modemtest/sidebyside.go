package modemtest

import (
	"flag"
	"strconv"
)

// SideBySide lets n tests of a package run at once, unless -parallel says otherwise: tests over simulated modems wait for
// the line, and use hardly any of the processor. TestMain calls it before the flags are parsed.
func SideBySide(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // a flag of package testing
	}
}
