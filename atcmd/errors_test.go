package atcmd

import (
	"errors"
	"strings"
	"testing"
)

// An error tells which command it is of, and does not repeat a page of it.
func TestErrorsAreBrief(t *testing.T) {
	long := "AT+X=" + strings.Repeat("é", 2000)
	for command, want := range map[string]string{
		"AT+CSQ":                          "AT+CSQ: no",
		"AT+X=" + strings.Repeat("y", 75): "AT+X=" + strings.Repeat("y", 75) + ": no",
		long:                              "AT+X=" + strings.Repeat("é", 36) + "...: no",
	} {
		why := errors.New("no")
		for _, err := range []error{&CommandError{Command: command, Err: why}, &LineError{Command: command, Err: why}} {
			if err.Error() != want {
				t.Errorf("%T: %s, want %s", err, err, want)
			}
		}
	}
}
