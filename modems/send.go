package modems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// Raw takes over port and sends nothing of its own: for commands typed by a person.
func Raw(port io.ReadWriteCloser, tap atcmd.Tap) *Modem {
	m := &Modem{driver: &Driver{Name: "none"}, raw: true, log: slog.New(slog.DiscardHandler)}
	m.taps.add(tap)
	m.engine = atcmd.New(port, atcmd.WithGrammar(union()), atcmd.WithTap(m.taps.tell))
	go m.router.run(m.engine.URCs())
	return m
}

// SendRequest is what a person wants to send.
type SendRequest struct {
	Commands []string      `json:"commands"` // command lines, with or without AT
	Data     []byte        `json:"data,omitempty"`
	Wait     []string      `json:"wait,omitempty"` // beginnings of URCs to wait for, after the last command
	Timeout  time.Duration `json:"timeout"`        // for each command, and for each URC
	Force    bool          `json:"force,omitempty"`
}

// SendAnswer is the answer to one command, or one URC that was waited for.
type SendAnswer struct {
	Command string   `json:"command,omitempty"`
	Lines   []string `json:"lines"`
	Final   string   `json:"final,omitempty"`
}

// Send runs the commands of req in order, as one sequence that nothing comes between, and stops at the first that
// fails. It returns what was answered up to there. The data goes to the last command.
func (m *Modem) Send(ctx context.Context, req SendRequest) ([]SendAnswer, error) {
	var waiters []*waiter
	for _, prefix := range req.Wait {
		w := m.await(prefix, nil)
		defer w.stop()
		waiters = append(waiters, w)
	}
	var answers []SendAnswer
	err := m.engine.Exclusive(ctx, func(c atcmd.Commander) error {
		for i, line := range req.Commands {
			cmd := typed(line).WithTimeout(req.Timeout)
			if i == len(req.Commands)-1 {
				cmd.Payload = req.Data
			}
			r, err := c.Do(ctx, cmd)
			a := SendAnswer{Command: cmd.String(), Final: r.Final}
			for _, l := range r.Info {
				a.Lines = append(a.Lines, l.String())
			}
			answers = append(answers, a)
			if i == 0 && m.raw && errors.Is(err, atcmd.ErrTimeout) {
				return fmt.Errorf("%w; %s", err, m.unanswered(ctx, c, len(cmd.Payload), req.Timeout))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for i, w := range waiters {
		if err != nil {
			break
		}
		limited, cancel := context.WithTimeout(ctx, req.Timeout)
		var l atcmd.Line
		if l, err = w.wait(limited); err == nil {
			answers = append(answers, SendAnswer{Lines: []string{l.String()}})
		} else if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no line that begins with %q within %v: %w", req.Wait[i], req.Timeout, atcmd.ErrTimeout)
		}
		cancel()
	}
	switch {
	case errors.Is(err, atcmd.ErrPrompt):
		err = fmt.Errorf("%w: give it with --data. The modem still waits, and takes what is sent next for it", err)
	case m.raw && errors.Is(err, atcmd.ErrResync):
		err = fmt.Errorf("%w: it waits for the data of an earlier command; reset it, or wait until it gives up", err)
	}
	return answers, err
}

// inStepLimit bounds how long a modem is given to get back in step after the first command has got no answer.
const inStepLimit = 10 * time.Second

// unanswered says why the first command has probably got no answer. A program that was killed in the middle of its data has
// left the modem waiting for the rest, and for that it takes whatever comes. Whether that is over is found out here, so that
// the answer which ends it is not taken for that of the next command.
func (m *Modem) unanswered(ctx context.Context, c atcmd.Commander, data int, patience time.Duration) string {
	limited, cancel := context.WithTimeout(ctx, min(patience, inStepLimit))
	defer cancel()
	switch _, err := c.Do(limited, atcmd.Exec("")); {
	case err == nil:
		return "now it answers again: it was busy, or took this for the data of an earlier command; send it once more"
	case data > 0 && m.Counters().BytesIn > 0:
		return fmt.Sprintf("does it wait for more data? It was given %d bytes, and wants as many as the command announces, or Ctrl-Z at the end", data)
	}
	return m.silence()
}

// Typed is the command of a line that a person or a program has typed: its secrets are told by its name.
func Typed(line string) atcmd.Command { return typed(line) }

// typed makes a command of a line that a person typed. A final result code of a socket command ends it too; V.250
// does not have those, and a person cannot declare them.
func typed(line string) atcmd.Command {
	line = strings.TrimSpace(line)
	if len(line) >= 2 && strings.EqualFold(line[:2], "AT") {
		line = line[2:]
	}
	return atcmd.Command{Line: line, Prompt: typedPrompt(line), Secret: typedSecrets(line), Private: private(line), Final: func(l string) (bool, error) {
		switch l {
		case "OK", "SEND OK", "SHUT OK", "CLOSE OK":
			return true, nil
		case "SEND FAIL":
			return true, errors.New(l)
		}
		return false, nil
	}}
}

// typedPrompts ask for the data of some commands, and not a ">": of Quectel's and Lierda's files and HTTP, and of AirM2M's
// HTTP.
var typedPrompts = map[string]string{
	"+QFUPL": "CONNECT", "+QFWRITE": "CONNECT", "+QHTTPURL": "CONNECT", "+QHTTPPOST": "CONNECT",
	"+LHTTPURL": "CONNECT", "+LHTTPPOST": "CONNECT", "+HTTPDATA": "DOWNLOAD",
}

func typedPrompt(line string) string {
	name, _, _ := strings.Cut(strings.ToUpper(line), "=")
	return typedPrompts[strings.TrimSpace(name)]
}

// prompts reports whether the command name asks for data, whatever its arguments: those above, SMS (27.005 3.5), and
// AirM2M's files. Those that ask and are disruptive nobody sends without insisting.
func prompts(name string) bool {
	return typedPrompts[name] != "" || slices.Contains([]string{"+CMGS", "+CMGW", "+CMGC", "+FSWRITE"}, name)
}

// Secretive is a command whose arguments in quotes hold a PIN or a password. The first Plain ones do not: APN, client
// id, the name of a setting. Tells: an answer may hold one, too.
type Secretive struct {
	Name  string
	Plain int
	Tells bool
}

// secretive are those of 27.007 and of every driver: a line may be typed before the modem is known.
func secretive() []Secretive {
	all := []Secretive{{"+CPIN", 0, false}, {"+CPWD", 0, false}, {"+CLCK", 0, false}, {"+CGAUTH", 0, true}}
	for _, d := range registry {
		all = append(all, d.Secretive...)
	}
	return all
}

// private reports whether the answer to a typed line may hold a secret.
func private(line string) bool {
	for _, s := range secretive() {
		if s.Tells && strings.Contains(strings.ToUpper(line), s.Name) {
			return true
		}
	}
	return false
}

// typedSecrets are the quoted arguments of a command that may hold a secret, and its bare ones for a PIN.
func typedSecrets(line string) (secrets []string) {
	plain := -1
	for _, s := range secretive() {
		if strings.Contains(strings.ToUpper(line), s.Name) {
			plain = s.Plain
			if strings.Contains(line, ";") { // others may stand before it
				plain = 0
			}
			break
		}
	}
	if plain < 0 {
		return nil
	}
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 && i/2 >= plain && part != "" {
			secrets = append(secrets, part)
		}
	}
	if _, pin, ok := strings.Cut(strings.ToUpper(line), "+CPIN="); ok && !strings.Contains(pin, `"`) {
		secrets = append(secrets, line[len(line)-len(pin):])
	}
	return secrets
}

// Commands that would pull the line from under a running session: call, reset, power, sleep (a module that sleeps hears no
// command), rate, profile, echo, multiplexing, the clock and the network. Each driver adds its own.
var disruptive = []string{"D", "A0", "O", "Z", "&F", "&W", "E1", "V0", "Q1", "S3", "S4", "S5", "+CFUN", "+IPR", "+ICF", "+IFC", "+CMUX", "+CGATT",
	"+CGACT", "+CGDCONT", "+CGAUTH", "+COPS", "+CMEE", "+CEREG", "+CGREG", "+CREG", "+CPIN", "+CPWD", "+CLCK", "+CCLK", "+CSCLK", "+CPSMS", "+CEDRXS"}

// disturbs reports whether name is such a command, of 27.007 or of any driver.
func disturbs(name string) bool {
	return slices.Contains(disruptive, name) ||
		slices.ContainsFunc(registry, func(d *Driver) bool { return slices.Contains(d.Disruptive, name) })
}

// Commands that run code on the module or replace its firmware.
var dangerous = []string{"+QLINUXCMD", "+QFOTADL", "+QADBKEY", "+QDOWNLOAD", "+QNVW", "+QNVFW", "+UPGRADE"}

// ErrForbidden: the daemon does not run this command for anybody, or only with force.
var ErrForbidden = errors.New("the daemon does not run this command")

// Permit decides whether a running daemon may send req for somebody. Reading and testing is always allowed, but for
// a test that holds the channel for minutes (AT+COPS=?).
func Permit(req SendRequest, dangerousAllowed bool) error {
	for i, line := range req.Commands {
		data := len(req.Data) > 0 && i == len(req.Commands)-1
		if err := permit(line, data, req.Force, dangerousAllowed); err != nil {
			return err
		}
	}
	return nil
}

func permit(line string, data, force, dangerousAllowed bool) error {
	for _, c := range commands(unspaced(typed(line).Line)) {
		name, form := c, ""
		if i := strings.IndexAny(c, "=?"); i >= 0 {
			name, form = strings.TrimSpace(c[:i]), c[i:]
		}
		switch {
		case slices.Contains(dangerous, name) && !dangerousAllowed:
			return fmt.Errorf("%w: AT%s runs code on the module or replaces its firmware; modem.allow_dangerous allows that", ErrForbidden, name)
		case force || form == "?":
		case name == "+COPS" && form == "=?":
			return fmt.Errorf("%w without --force: AT+COPS=? holds the modem for minutes", ErrForbidden)
		case form != "=?" && !data && prompts(name):
			return fmt.Errorf("%w without --force: AT%s asks for data, and the session would wait with the modem: give it with --data", ErrForbidden, name)
		case form != "=?" && disturbs(name):
			return fmt.Errorf("%w without --force: AT%s would disturb the running session", ErrForbidden, name)
		}
	}
	return nil
}

// commands splits a command line body as V.250 5.4 does: basic commands follow each other without a separator
// (AT&FZE0), extended ones end at a ';', and D takes the rest of the line. Names come in upper case; an extended
// command keeps what follows its name.
func commands(line string) []string {
	var found []string
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c == ' ' || c == ';':
			i++
		case strings.IndexByte("+^*$%#", c) >= 0:
			end := extendedEnd(line, i)
			ext := line[i:end]
			if j := strings.IndexAny(ext, "=?"); j >= 0 {
				ext = strings.ToUpper(ext[:j]) + ext[j:]
			} else {
				ext = strings.ToUpper(ext)
			}
			found = append(found, strings.TrimSpace(ext))
			i = end
		case c == 'D' || c == 'd': // takes what follows, up to a ';' (27.007 6.2)
			found = append(found, "D")
			i = extendedEnd(line, i)
		default:
			start := i
			if c == '&' || c == '\\' {
				i++
			}
			i = min(i+1, len(line))
			name := strings.ToUpper(line[start:i])
			digits := i
			for i < len(line) && line[i] >= '0' && line[i] <= '9' {
				i++
			}
			number := strings.TrimLeft(line[digits:i], "0")
			if !strings.Contains("OZ&F&W", name) { // of those, every number is as bad as none
				name += cmp.Or(number, "0")
			}
			found = append(found, name)
			for i < len(line) && (line[i] == '=' || line[i] == '?') { // S-parameters
				for i++; i < len(line) && line[i] >= '0' && line[i] <= '9'; i++ {
				}
			}
		}
	}
	return found
}

// unspaced drops the blanks outside quotes, which a command line may hold anywhere (V.250 5.2.1).
func unspaced(line string) string {
	quoted := false
	return strings.Map(func(r rune) rune {
		if r == '"' {
			quoted = !quoted
		}
		if r == ' ' && !quoted {
			return -1
		}
		return r
	}, line)
}

func extendedEnd(line string, from int) int {
	quoted := false
	for i := from; i < len(line); i++ {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ';' && !quoted:
			return i
		}
	}
	return len(line)
}

// Failure is what kind of failure an error is to a person who sent a command.
type Failure string

const (
	ModemRefused Failure = "refused"   // the modem said so
	NoAnswerYet  Failure = "timeout"   // not in time
	BadArgument  Failure = "usage"     // the command itself is at fault
	Forbidden    Failure = "forbidden" // the daemon does not do it
	LineLost     Failure = "lost"
)

// KindOf sorts an error of Send or Attach.
func KindOf(err error) Failure {
	switch {
	case errors.Is(err, ErrForbidden):
		return Forbidden
	case errors.Is(err, atcmd.ErrArgument), errors.Is(err, atcmd.ErrPrompt):
		return BadArgument
	case atcmd.Refused(err):
		return ModemRefused
	case errors.Is(err, atcmd.ErrTimeout), errors.Is(err, atcmd.ErrResync),
		errors.Is(err, ErrNoAnswer), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return NoAnswerYet
	}
	return LineLost
}
