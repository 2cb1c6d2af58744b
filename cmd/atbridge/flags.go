package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// qosFlag is a QoS that a person may ask for.
type qosFlag byte

func (q *qosFlag) String() string { return strconv.Itoa(int(*q)) }
func (q *qosFlag) Type() string   { return "QoS" }

func (q *qosFlag) Set(s string) error {
	if s != "0" && s != "1" {
		return errors.New("is neither 0 nor 1")
	}
	*q = qosFlag(s[0] - '0')
	return nil
}

// flagError says what a flag wants that was given something else.
func flagError(_ *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	flag, why := wrong.GetFlag(), wrong.Unwrap().Error()
	switch flag.Value.Type() {
	case "int", "int64":
		why = "is not a whole number, or too large a one"
	case "duration":
		why = "is not a duration; write a number and its unit, such as 500ms, 5s or 1m30s"
	case "bool":
		why = "is neither true nor false"
	}
	return fmt.Errorf("--%s: %s %s", flag.Name, shown(wrong.GetValue()), why)
}
