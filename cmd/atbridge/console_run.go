package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/modems"
)

const consolePrompt = "atbridge> "

// slowAnswer is when a console says that it still waits.
const slowAnswer = 5 * time.Second

// console is one interactive session. What is typed while a command is in flight waits for its turn.
type console struct {
	far     farEnd
	history *history
	plain   bool
	keys    *keys
	term    *term.Terminal

	listed  string      // the line that Tab was pressed on; only complete touches it
	out     chan string // what is to be shown, in order; print takes it
	data    []byte      // for the next command; only run touches it
	timeout time.Duration
	missed  atomic.Int64 // lines that were not shown

	mu       sync.Mutex         // guards what is below
	wire     bool               // every byte is shown
	model    string             // driver, where an answer has told it
	inFlight context.CancelFunc // nil: nothing is
	asked    string             // the command in flight that brings no data, as the wire shows it
}

// printf shows text behind everything that came before it.
func (c *console) printf(format string, args ...any) { c.out <- fmt.Sprintf(format, args...) }

// print is the only one that writes, until ctx ends and all is shown.
func (c *console) print(ctx context.Context) {
	for {
		select {
		case text := <-c.out:
			fmt.Fprint(c.term, text)
			if n := c.missed.Swap(0); n > 0 {
				fmt.Fprintf(c.term, "(%d lines are missing about here: they came faster than they are shown)\n", n)
			}
		case <-ctx.Done():
			return
		}
	}
}

// run is the life of the session.
func (c *console) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.keys.stop = c.stop
	c.out = make(chan string, 1024)
	go c.print(ctx)
	lines, done, lost := make(chan string), make(chan struct{}, 1), make(chan error, 1)
	go c.read(ctx, lines)
	go func() { lost <- c.far.watch(ctx, true, c.event) }()
	c.printf("%s; Tab completes, :help tells more, Ctrl-] leaves\n", c.far.name())
	var waiting []string
	for running := false; ; {
		select {
		case l, ok := <-lines:
			if !ok {
				l, lines = ":quit", nil
			}
			waiting = append(waiting, strings.TrimSpace(l))
		case <-done:
			running = false
		case err := <-lost:
			return err
		case <-ctx.Done():
			return nil
		}
		for !running && len(waiting) > 0 {
			line := waiting[0]
			waiting = waiting[1:]
			switch {
			case line == "":
			case line == ":quit":
				return nil
			case line[0] == ':':
				c.order(ctx, line)
			default:
				running = true
				data := c.data
				c.data = nil
				go func() { c.send(ctx, line, data); done <- struct{}{} }()
			}
		}
	}
}

// read hands on what is typed, line by line.
func (c *console) read(ctx context.Context, lines chan<- string) {
	defer close(lines)
	for {
		l, err := c.term.ReadLine()
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			return
		}
		select {
		case lines <- l:
		case <-ctx.Done():
			return
		}
	}
}

// event shows what came unasked, and the wire. A terminal that is slower than the modem misses some of it, and says so.
func (c *console) event(e modems.Event) {
	text := c.wireEvent(e)
	if e.URC != nil {
		text = c.dim(time.Now().Format("15:04:05")) + " " + c.explained(string(e.URC))
	}
	if e.Missed > 0 {
		c.missed.Add(int64(e.Missed))
	}
	if text == "" {
		return
	}
	select {
	case c.out <- text + "\n":
	default:
		c.missed.Add(1)
	}
}

// wireEvent is how bytes are shown; empty: not at all.
func (c *console) wireEvent(e modems.Event) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, bytes := "", strings.TrimSpace(string(e.Wire))
	if c.wire {
		text = c.dim(arrow(e.Sent) + " " + atcmd.Printable(e.Wire))
	}
	switch {
	case e.Sent && bytes != c.asked:
		c.asked = "" // somebody else's turn, or over
	case !e.Sent && bytes == ">" && c.asked != "":
		text = strings.TrimLeft(text+"\n", "\n") + "the modem asks for data. Wait until it gives up; then say :data FILE or :text TEXT before the command"
	}
	return text
}

// explained is a line with what it means beside it.
func (c *console) explained(line string) string {
	shown := printable(line)
	if why := modems.Explain(c.driver(), line); why != "" {
		return shown + "  " + c.dim("# "+why)
	}
	return shown
}

func (c *console) dim(text string) string {
	if c.plain {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}

func (c *console) driver() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.model != "" {
		return c.model
	}
	return c.far.driver()
}

// stop ends the wait for the command in flight.
func (c *console) stop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == nil {
		return false
	}
	c.inFlight()
	return true
}

// send runs one command line and shows the answer.
func (c *console) send(ctx context.Context, line string, data []byte) {
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	c.inFlight = cancel
	if data == nil {
		c.asked = modems.Typed(line).String()
	}
	c.mu.Unlock()
	defer func() {
		cancel()
		c.mu.Lock()
		c.inFlight, c.asked = nil, ""
		c.mu.Unlock()
	}()
	patience := time.AfterFunc(slowAnswer, func() { c.printf("%s\n", c.dim("no answer yet; Ctrl-C stops waiting")) })
	answers, err := c.far.send(ctx, modems.SendRequest{Commands: []string{line}, Data: data, Timeout: c.timeout})
	patience.Stop()
	var shown strings.Builder // one piece: no URC comes between the lines of an answer
	for _, a := range answers {
		for _, l := range a.Lines {
			c.learn(line, l)
			fmt.Fprintln(&shown, c.explained(l))
		}
		if a.Final != "" {
			fmt.Fprintln(&shown, c.explained(a.Final))
		}
	}
	switch {
	case err == nil, len(answers) > 0 && answers[len(answers)-1].Final != "": // the final result code has said it
	case ctx.Err() != nil:
		fmt.Fprintln(&shown, "not waited for any longer")
	default:
		fmt.Fprintln(&shown, printable(err.Error()))
	}
	c.printf("%s", shown.String())
}

// learn takes the driver from what the modem says it is.
func (c *console) learn(command, answer string) {
	if command = strings.ToUpper(command); command != "ATI" && command != "AT+CGMM" {
		return
	}
	if d := modems.DriverOf(strings.Trim(strings.TrimPrefix(answer, "+CGMM:"), ` "`)); d != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.model = d
	}
}

// order obeys a line that begins with a colon.
func (c *console) order(ctx context.Context, line string) {
	name, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	var err error
	switch {
	case name == ":help":
		c.printf("%s", consoleKeys)
		return
	case line == ":wire":
		c.mu.Lock()
		c.wire = !c.wire
		on := c.wire
		c.mu.Unlock()
		c.printf("the wire is %s\n", map[bool]string{true: "shown: -> to the modem, <- from it", false: "no longer shown"}[on])
		return
	case name == ":data" && rest != "":
		c.data, err = readData(ctx, rest, strings.NewReader(""))
	case name == ":text" && rest != "":
		var text string
		text, err = strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`)
		c.data = []byte(text)
	default:
		c.printf("%s is none of :data FILE, :text TEXT, :wire, :help, :quit\n", printable(line))
		return
	}
	if err != nil {
		c.data = nil
		c.printf("%s: %s\n", name, printable(strings.TrimPrefix(err.Error(), "--data: ")))
		return
	}
	c.printf("the next command brings %d bytes\n", len(c.data))
}

// loadHistory reads the lines of earlier sessions. Without a place for them there are none.
func loadHistory(getenv func(string) (string, bool)) *history {
	dir, _ := getenv("XDG_STATE_HOME")
	if dir == "" {
		home, _ := getenv("HOME")
		if home == "" {
			return &history{}
		}
		dir = home + "/.local/state"
	}
	h := &history{file: dir + "/atbridge/history"}
	if b, err := os.ReadFile(h.file); err == nil {
		h.lines = strings.Split(strings.TrimSpace(string(b)), "\n")
		h.lines = h.lines[max(0, len(h.lines)-maxHistory):]
	}
	return h
}
