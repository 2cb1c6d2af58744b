package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress shows on a terminal what is being waited for, once it takes more than a second. In a pipe it is silent.
type progress struct {
	w     *os.File
	mu    sync.Mutex // guards what is below
	text  string
	since time.Time
	shown bool
	stop  chan struct{}
	ended chan struct{}
}

func newProgress(w io.Writer) *progress {
	p := &progress{stop: make(chan struct{}), ended: make(chan struct{})}
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		close(p.ended)
		return p
	}
	p.w = f
	go p.run()
	return p
}

// say is told what is being waited for from now on.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text, p.since = text, time.Now()
}

func (p *progress) run() {
	defer close(p.ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			p.clear()
			return
		case <-tick.C:
			p.show()
		}
	}
}

func (p *progress) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text != "" {
		p.shown = true
		text := fmt.Sprintf("%s (%d s)", p.text, int(time.Since(p.since).Seconds()))
		fmt.Fprintf(p.w, "\r\x1b[K%s", fitting(text, p.w)) // erase to the end of the line
	}
}

// fitting is as much of text as one line of the terminal holds: what goes on into the next line cannot be taken away again.
func fitting(text string, w *os.File) string {
	width, _, err := term.GetSize(int(w.Fd()))
	if err != nil || width < 2 || len(text) < width {
		return text
	}
	return strings.ToValidUTF8(text[:width-1], "")
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// end takes the line away again; what is printed next begins where it stood.
func (p *progress) end() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	<-p.ended
}
