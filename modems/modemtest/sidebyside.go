package modemtest

import (
	"flag"
	"strconv"
)

// SideBySide lets n tests of a package run at once, unless -parallel says otherwise: tests over simulated modems wait for
// the line, and use hardly any of the processor. It is called from TestMain.
func SideBySide(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // a flag of package testing
	}
}
