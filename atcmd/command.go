package atcmd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout holds for a Command that names none.
const DefaultTimeout = 5 * time.Second

// Command is one command line, what may follow it, and how it ends.
type Command struct {
	// Line is the text after "AT", without a line end.
	Line string

	// Timeout is the maker's maximum response time, from the manual. It runs from the command line, and again from
	// the prompt. Zero: DefaultTimeout.
	Timeout time.Duration

	// Payload, if not nil, is sent verbatim when the DCE asks for it.
	Payload []byte

	// Prompt is what asks for Payload. Empty: ">", wherever a line may begin. Else a whole line, such as "CONNECT".
	Prompt string

	// Final reports whether a line ends the command, and with which error; nil: as V.250 says. With a Final of its
	// own a command does not end at OK unless Final says so, but still at ERROR and its kin.
	Final func(line string) (done bool, err error)

	// Until keeps the command in flight past OK until a URC that begins so, which may also come before OK. A bare
	// ERROR after OK is its failure.
	Until string

	// Taken begins the URC that shows that the DCE has Payload, where nobody knows when OK comes: before the prompt,
	// behind the payload, or not at all. Empty: behind the payload.
	Taken string

	// Info tells an information response from a URC that begins alike, and claims answers that do not begin with
	// the command's own name. Nil: by name, and by the shapes of 27.007.
	Info func(line string) bool

	// End overrides the dialect's command line terminator.
	End string

	// Secret are parts of Line and Payload (and of whatever comes back) that are never printed.
	Secret []string

	// Private hides the answer from the tap, where it may hold a secret that nobody here knows.
	Private bool

	err error // a builder's complaint, returned by Do before a byte is written
}

// Literal is an argument that stands without quotes, such as the 0xFFFF of a cipher suite.
type Literal string

// Counted is an argument in quotes whose length in bytes stands before it, so that it may hold quotes of its own. In
// case a DCE does not go by the length after all, they must be paired, and there is no ';' that could begin another
// command behind one of them.
type Counted string

// Exec builds an execution command: AT+NAME.
func Exec(name string) Command { return Command{Line: name} }

// Read builds a read command: AT+NAME?.
func Read(name string) Command { return Command{Line: name + "?"} }

// Test builds a test command: AT+NAME=?.
func Test(name string) Command { return Command{Line: name + "=?"} }

// Set builds a set command: AT+NAME=a,b,c. Integers and booleans stand as numbers, strings and a Counted in quotes,
// a Literal as it is. An argument that could break out of its place makes Do fail with ErrArgument before anything is written.
func Set(name string, args ...any) Command {
	var b strings.Builder
	b.WriteString(name)
	c := Command{}
	for i, a := range args {
		b.WriteByte("=,"[min(i, 1)])
		s, err := argument(a)
		if err != nil {
			c.err = fmt.Errorf("AT%s: argument %d: %w", name, i+1, err)
		}
		b.WriteString(s)
	}
	c.Line = b.String()
	return c
}

func argument(a any) (string, error) {
	switch v := a.(type) {
	case int:
		return strconv.Itoa(v), nil
	case uint16:
		return strconv.Itoa(int(v)), nil
	case byte:
		return strconv.Itoa(int(v)), nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case string:
		return Quote(v)
	case Counted:
		if strings.Count(string(v), `"`)%2 != 0 || strings.Contains(string(v), `"`) && strings.Contains(string(v), ";") {
			return "", fmt.Errorf(`%w: a double quote that is unpaired, or beside a ';'`, ErrArgument)
		}
		return `"` + string(v) + `"`, guard(string(v))
	case Literal:
		if strings.ContainsAny(string(v), `",; `) {
			return "", fmt.Errorf("%w: %q needs quotes", ErrArgument, string(v))
		}
		return string(v), guard(string(v))
	}
	return "", fmt.Errorf("%w: cannot be a %T", ErrArgument, a)
}

// ErrArgument: an argument that could end its command line or leave its quotes. Nothing was written.
var ErrArgument = errors.New("not allowed in an AT command")

// Quote puts s in quotes. V.250 5.4.2.2 forbids a quote and all control characters inside, and the dialects have no
// common escape: so they are refused, never escaped.
func Quote(s string) (string, error) {
	if strings.IndexByte(s, '"') >= 0 {
		return "", fmt.Errorf(`%w: a double quote`, ErrArgument)
	}
	if err := guard(s); err != nil {
		return "", err
	}
	return `"` + s + `"`, nil
}

// guard refuses every control character: CR and LF end a line, Ctrl-Z and ESC end a data state, NUL is dropped or
// ends a string on some modules, and no argument needs the others.
func guard(s string) error {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return fmt.Errorf("%w: control character 0x%02X", ErrArgument, s[i])
		}
	}
	return nil
}

// WithTimeout returns c with the manual's maximum response time.
func (c Command) WithTimeout(d time.Duration) Command { c.Timeout = d; return c }

// WithSecret returns c with parts that are never printed. Empty ones are left out.
func (c Command) WithSecret(parts ...string) Command {
	for _, p := range parts {
		if p != "" {
			c.Secret = append(c.Secret[:len(c.Secret):len(c.Secret)], p)
		}
	}
	return c
}

// String is the command line on one line of print, its secrets masked.
func (c Command) String() string { return Printable([]byte(mask("AT"+c.Line, c.Secret))) }

// check is asked before a command is written: its own builder's complaint, control characters, unpaired quotes.
func (c *Command) check() error {
	if c.err != nil {
		return c.err
	}
	if err := guard(c.Line); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	if strings.Count(c.Line, `"`)%2 != 0 {
		return fmt.Errorf("%s: %w: an unpaired quote", c, ErrArgument)
	}
	return nil
}

func (c *Command) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return DefaultTimeout
}

func (c *Command) prompt() string {
	switch {
	case c.Payload == nil:
		return ""
	case c.Prompt == "":
		return ">"
	}
	return c.Prompt
}

type kind int

const (
	kindExec kind = iota
	kindRead
	kindTest
	kindSet
)

// owns reports whether line begins with the name of one of c's commands (several may be chained with ';'), and
// which form that one has.
func (c *Command) owns(line string) (bool, kind) {
	for part := range c.parts() {
		name, k := split(part)
		if len(name) > 1 && len(line) >= len(name) && strings.EqualFold(line[:len(name)], name) {
			return true, k
		}
	}
	return false, kindExec
}

// named reports whether one of c's commands has the same name as the command line other.
func (c *Command) named(other string) bool {
	want, _ := split(other)
	for part := range c.parts() {
		if name, _ := split(part); strings.EqualFold(name, want) {
			return true
		}
	}
	return false
}

// extendedOnly reports whether every command of c has an extended name, so that its answers begin with it or are
// bare text.
func (c *Command) extendedOnly() bool {
	for part := range c.parts() {
		if part == "" || strings.IndexByte("+^*$%#", part[0]) < 0 {
			return false
		}
	}
	return true
}

// dials reports whether c may end with CONNECT or NO CARRIER (V.250 5.7.1): ATD, ATA, ATO.
func (c *Command) dials() bool {
	return c.Line != "" && strings.IndexByte("DAOdao", c.Line[0]) >= 0
}

// parts yields the commands of a line, cut at the ';' outside quotes.
func (c *Command) parts() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(c.Line); i++ {
			switch {
			case c.Line[i] == '"':
				quoted = !quoted
			case c.Line[i] == ';' && !quoted:
				if !yield(c.Line[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(c.Line[start:])
	}
}

func split(part string) (name string, k kind) {
	switch i := strings.IndexAny(part, "=?"); {
	case i < 0:
		return part, kindExec
	case part[i:] == "?":
		return part[:i], kindRead
	case part[i:] == "=?":
		return part[:i], kindTest
	default:
		return part[:i], kindSet
	}
}
