package transcript

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// masked stands where a secret was.
const masked = "***"

// maxText bounds one line of a file: a message of 64 KiB whose bytes are all written as \x00.
const maxText = 512 << 10

// unknown is the time of an entry of which nobody knows it.
const unknown = time.Duration(-1)

// Entry is what one end said, in one piece.
type Entry struct {
	At   time.Duration // since the beginning; negative if nobody knows
	Sent bool          // by the host
	Text string        // secrets stand as ***
	Line int           // where it stands in the file
}

// Transcript is a whole file.
type Transcript struct {
	Remarks []string // the lines for people, without their '#'
	Entries []Entry
}

// Load reads the file name.
func Load(name string) (*Transcript, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	return t, nil
}

// Parse reads a transcript. The error begins with the number of the line that makes no sense.
func Parse(r io.Reader) (*Transcript, error) {
	t := &Transcript{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxText)
	n := 0
	for lines.Scan() {
		n++
		text := lines.Text()
		if remark, ok := strings.CutPrefix(text, "#"); ok {
			t.Remarks = append(t.Remarks, strings.TrimSpace(remark))
			continue
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		e, err := parseEntry(text)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		e.Line = n
		t.Entries = append(t.Entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", n+1, err)
	}
	return t, nil
}

var errForm = errors.New("an entry is SECONDS -> TEXT or SECONDS <- TEXT")

func parseEntry(line string) (e Entry, err error) {
	at, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	arrow, text, ok := strings.Cut(rest, " ")
	if !ok || text == "" || arrow != "->" && arrow != "<-" {
		return e, errForm
	}
	if e.Sent = arrow == "->"; at == "-" {
		e.At = unknown
	} else if seconds, err := strconv.ParseFloat(at, 64); err != nil || !(seconds >= 0 && seconds < 1e9) {
		return e, errForm
	} else {
		e.At = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	}
	if e.Text, err = strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`); err != nil {
		return e, fmt.Errorf("%s: an escape that Go does not have", text)
	}
	return e, nil
}

// String is the entry as it stands in a file.
func (e Entry) String() string {
	at, arrow := "-", "<-"
	if e.At >= 0 {
		at = strconv.FormatFloat(e.At.Seconds(), 'f', 3, 64)
	}
	if e.Sent {
		arrow = "->"
	}
	text := atcmd.Printable([]byte(e.Text))
	if strings.HasSuffix(text, " ") {
		text = text[:len(text)-1] + `\x20`
	}
	return fmt.Sprintf("%10s %s %s", at, arrow, text)
}

// Remark is what stands behind `# name:`; empty if nothing does.
func (t *Transcript) Remark(name string) string {
	for _, r := range t.Remarks {
		if text, ok := strings.CutPrefix(r, name+":"); ok {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

// Recorder writes a transcript as it happens, an entry at a time, so that what was recorded survives a kill.
type Recorder struct {
	w     io.Writer
	start time.Time
	err   error
}

// NewRecorder writes the remarks and begins to count the time.
func NewRecorder(w io.Writer, remarks ...string) *Recorder {
	r := &Recorder{w: w, start: time.Now()}
	for _, text := range remarks {
		r.print("# " + strings.ReplaceAll(text, "\n", " "))
	}
	return r
}

// Tap is an atcmd.Tap.
func (r *Recorder) Tap(sent bool, text []byte) {
	r.print(Entry{At: time.Since(r.start), Sent: sent, Text: string(text)}.String())
}

func (r *Recorder) print(line string) {
	if r.err == nil {
		_, r.err = fmt.Fprintln(r.w, line)
	}
}

// Err is the first error of writing; what came after it is not in the file.
func (r *Recorder) Err() error { return r.err }
