package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// Secret is a value that is never printed: whatever way leads to a log or a screen, it shows a mask.
type Secret string

const mask = "***"

func (s Secret) mask() string {
	if s == "" {
		return ""
	}
	return mask
}

func (s Secret) String() string               { return s.mask() }
func (s Secret) GoString() string             { return s.mask() }
func (s Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, s.mask()) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.mask()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.mask()), nil }

// Reveal is the one way to the value; what calls it must not print it.
func (s Secret) Reveal() string { return string(s) }

// Duration is a time with its unit, such as 120s.
type Duration time.Duration

// String drops the zero units that time.Duration prints: 2m0s is 2m.
func (d Duration) String() string {
	s := time.Duration(d).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func (d *Duration) parse(s string) error {
	t, err := time.ParseDuration(s)
	if err != nil {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return fmt.Errorf("%s has no unit; write %ss", s, s)
		}
		return fmt.Errorf("%q is not a duration; write a number and its unit, such as 500ms, 120s or 24h", s)
	}
	if t < 0 {
		return fmt.Errorf("%s is negative; write 0s or more", s)
	}
	*d = Duration(t)
	return nil
}

// Baud is the rate of a serial port. It is checked against a list, because 0115200 and 11520 are numbers too.
type Baud int

var bauds = []Baud{4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 2000000, 3000000}

func (b *Baud) parse(s string) error {
	for _, rate := range bauds {
		if strconv.Itoa(int(rate)) == s {
			*b = rate
			return nil
		}
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(bauds), " ", ", "), "[]")
	return fmt.Errorf("%s is not a rate; use one of %s", shown(s), list)
}

// Size is a number of bytes: 1048576, 64MiB (1024s) or 1GB (1000s).
type Size int64

var units = []struct {
	name  string
	bytes int64
}{ // the longer names first: MiB ends with B too
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

var errSize = errors.New("not a size")

func (n *Size) parse(s string) error {
	v, err := parseSize(s)
	if err != nil || v == 0 {
		return fmt.Errorf("%s is not a size; write bytes, or a number with kB, MB, GB, KiB, MiB or GiB, such as 64MiB", shown(s))
	}
	*n = Size(v)
	return nil
}

func parseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		digits = strings.TrimSpace(digits)
		v, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || octal(digits) || int64(v) > math.MaxInt64/u.bytes {
			return 0, errSize
		}
		return int64(v) * u.bytes, nil
	}
	return 0, errSize
}

// Sync is how often the queue is forced to disk: 0 is always, which is every time before a PUBACK.
type Sync time.Duration

func (y *Sync) parse(s string) error {
	if s == "always" {
		*y = 0
		return nil
	}
	var d Duration
	if err := d.parse(s); err != nil || d == 0 || d > Duration(time.Minute) {
		return fmt.Errorf("%s is neither always nor an interval up to 1m; write always, or for example 20ms", shown(s))
	}
	*y = Sync(d)
	return nil
}

// octal: a number with a leading zero, which YAML reads to the base 8.
func octal(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return len(s) > 1 && s[0] == '0' && strings.Trim(s, "0123456789") == ""
}

// shown is a value as an error quotes it: bare where it is one plain word.
func shown(s string) string {
	if len(s) > 60 {
		s = s[:57] + "..."
	}
	if s == "" || strings.ContainsAny(s, " \t,;") || strconv.Quote(s) != `"`+s+`"` {
		return strconv.Quote(s)
	}
	return s
}
