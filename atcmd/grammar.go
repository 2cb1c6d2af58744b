package atcmd

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/warthog618/modem/info"
)

// Grammar is what a dialect adds to V.250; the zero value is V.250. A Grammar is not changed after Engine.Use.
type Grammar struct {
	// URCs are the beginnings of unsolicited result codes, such as "+CREG:" or "RDY".
	URCs []string

	// Reboot are whole lines that only a modem prints that has just started or is going down. They end the command
	// in flight with ErrReboot.
	Reboot []string

	// Banner is what a boot loader prints, perhaps in the middle of a line and without a line end of its own. It counts
	// as soon as it has come, as a line of Reboot does; what follows it on its line is dropped.
	Banner string

	// Block tells whether the line so far announces counted data: after skip further bytes, n raw bytes follow.
	// It is asked when a ',' or ':' or the CR at a line's end has come, with head up to and including that byte.
	// If the last byte to skip is an LF, the data has a line of its own, and is handed on without a line end behind it.
	Block func(head []byte) (skip, n int, ok bool)

	// Whole tells whether counted data inside a line, and what follows it up to the line's end, belong to what head
	// announces; nil: they always do. Where they do not, the announcement stood in what a stranger wrote, such as a topic,
	// and the true one is looked for behind it.
	Whole func(head, block, tail []byte) bool

	// End ends a command line; empty: CR alone (V.250 5.2.1, S3). An LF behind it becomes the first byte of the
	// payload on some modules.
	End string

	// PayloadEcho says that the DCE echoes payloads; an echo of at most its length is dropped.
	PayloadEcho bool

	// EditTimeout is how long the DCE waits for payload before it leaves its data state by itself. Zero: for ever,
	// and a lost prompt then costs the line (ErrResync).
	EditTimeout time.Duration
}

// urc returns the entry of URCs that line begins with; empty: none.
func (g *Grammar) urc(line string) string {
	for _, u := range g.URCs {
		if strings.HasPrefix(line, u) {
			return u
		}
	}
	return ""
}

func (g *Grammar) isReboot(line string) bool {
	if g.Banner != "" && line == g.Banner {
		return true
	}
	for _, r := range g.Reboot {
		if line == r {
			return true
		}
	}
	return false
}

// owner is whose line it is.
type owner int

const (
	ownAnswer   owner = iota // information response of the command in flight
	ownURC                   // unsolicited, and named in the grammar
	ownStranger              // unsolicited, and in no table
)

// attribute decides whose line it is while cmd is in flight. A line that cmd's own name begins is its answer unless
// its shape says otherwise; a line that another extended command's name begins can never be, nor can noise.
func (g *Grammar) attribute(cmd *Command, line string) owner {
	urc := g.urc(line) != ""
	if !urc && isNoise(line) {
		return ownStranger
	}
	if own, kind := cmd.owns(line); own {
		switch {
		case cmd.Info != nil:
			if cmd.Info(line) {
				return ownAnswer
			}
			return ownURC
		case !urc:
			return ownAnswer
		case kind == kindRead || kind == kindTest:
			if registration(line) && !registrationAnswer(line) {
				return ownURC
			}
			return ownAnswer
		}
		return ownURC
	}
	if cmd.Info != nil && cmd.Info(line) {
		return ownAnswer
	}
	if urc {
		return ownURC
	}
	if extended(line) && cmd.extendedOnly() {
		return ownStranger
	}
	return ownAnswer
}

// isNoise reports whether line holds what no information response does: control characters, or bytes that are no
// text. A wrong baud rate and a loose wire look like that.
func isNoise(line string) bool {
	return !utf8.ValidString(line) || strings.IndexFunc(line, unicode.IsControl) >= 0
}

// extended reports whether line looks like "+NAME:", the form of 27.007 for information responses and URCs.
func extended(line string) bool {
	if len(line) < 2 || strings.IndexByte("+^*$%#", line[0]) < 0 {
		return false
	}
	colon := strings.IndexByte(line, ':')
	return colon > 1 && strings.IndexByte(line[:colon], '"') < 0
}

// registration reports whether line is +CREG, +CGREG or +CEREG, which answer and announce under one name.
func registration(line string) bool {
	return info.HasPrefix(line, "+CREG") || info.HasPrefix(line, "+CGREG") || info.HasPrefix(line, "+CEREG")
}

// registrationAnswer tells the answer to AT+CREG? from the URC by its shape (27.007 7.2, 7.3, 10.1.22): the answer
// has <n> before <stat>, so its second field is a number without quotes; the URC's is absent or quoted.
func registrationAnswer(line string) bool {
	_, p, err := ParseParams(line)
	return err == nil && len(p) >= 2 && !p[1].Quoted && p[1].Text != ""
}

// final reports whether line ends cmd, and the error it stands for (nil for success). V.250 5.7.1 and table 1;
// 27.007 9.2; 27.005 3.2.5.
func final(cmd *Command, line string) (done bool, err error) {
	if cmd.Final != nil {
		if done, err = cmd.Final(line); done {
			return done, err
		}
	} else if line == "OK" {
		return true, nil
	}
	switch {
	case line == "ERROR":
		return true, errRefused
	case strings.HasPrefix(line, "+CME ERROR:"):
		return true, parseCME(line[len("+CME ERROR:"):])
	case strings.HasPrefix(line, "+CMS ERROR:"):
		return true, parseCMS(line[len("+CMS ERROR:"):])
	case cmd.dials() && (line == "NO CARRIER" || line == "BUSY" || line == "NO ANSWER" || line == "NO DIALTONE"):
		return true, errors.New(line)
	case cmd.dials() && (line == "CONNECT" || strings.HasPrefix(line, "CONNECT ")):
		return true, nil
	}
	return false, nil
}

// looksFinal reports whether a line that nobody waits for is a result code: the late end of some command.
func looksFinal(line string) bool {
	done, _ := final(&Command{}, line)
	return done
}
