package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress shows on a terminal what is being waited for, once it takes more than a second. In a pipe it is silent.
type progress struct {
	w     io.Writer
	mu    sync.Mutex // guards what is below
	text  string
	since time.Time
	shown bool
	stop  chan struct{}
	ended chan struct{}
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, stop: make(chan struct{}), ended: make(chan struct{})}
	if f, ok := w.(*os.File); !ok || !isTerminal(f) {
		close(p.ended)
		return p
	}
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
		fmt.Fprintf(p.w, "\r\x1b[K%s (%d s)", p.text, int(time.Since(p.since).Seconds())) // erase to the end of the line
	}
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
