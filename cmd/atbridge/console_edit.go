package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/atbridge/atbridge/modems"
)

// maxHistory is how many lines are kept.
const maxHistory = 1000

// history is what was typed, the latest last. What holds a password is kept for this session only.
type history struct {
	file  string // empty: nothing is kept
	lines []string
}

// Add is called by the terminal for each line. A history that cannot be written is no reason to stop typing.
func (h *history) Add(line string) {
	line = strings.TrimSpace(line)
	if line == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	if h.file == "" || len(modems.Typed(line).Secret) > 0 || strings.HasPrefix(line, ":text") {
		return
	}
	if err := os.MkdirAll(filepath.Dir(h.file), 0o700); err != nil {
		return
	}
	f, err := os.OpenFile(h.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

func (h *history) Len() int { return len(h.lines) }

// At is the line that was typed idx lines before the last one.
func (h *history) At(idx int) string { return h.lines[len(h.lines)-1-idx] }

// complete is called for every key. Tab completes as far as there is one way; where there are several it lists them.
func (c *console) complete(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		c.listed = ""
		return "", 0, false
	}
	fits := c.fitting(line[:pos])
	if len(fits) == 0 {
		return line, pos, true
	}
	whole := commonPrefix(fits)
	if len(whole) <= pos && (len(fits) > 1 || c.listed != line) {
		c.listed = line
		c.explain(fits)
		return line, pos, true
	}
	return whole + line[pos:], len(whole), true
}

// fitting are the known commands that begin as typed does.
func (c *console) fitting(typed string) (fits []modems.KnownCommand) {
	for _, k := range c.known() {
		if len(k.Name) >= len(typed) && strings.EqualFold(k.Name[:len(typed)], typed) {
			fits = append(fits, k)
		}
	}
	return fits
}

// known are the modem's commands with AT before them, and the console's own.
func (c *console) known() []modems.KnownCommand {
	known := []modems.KnownCommand{
		{Name: ":data ", Does: "a file answers the prompt of the next command"}, {Name: ":help", Does: "keys and orders"}, {Name: ":quit", Does: "leave"},
		{Name: ":text ", Does: "a text answers the prompt of the next command"}, {Name: ":wire", Does: "show every byte, or no longer"},
	}
	for _, k := range modems.Known(c.driver()) {
		known = append(known, modems.KnownCommand{Name: "AT" + k.Name, Does: k.Does})
	}
	return known
}

func commonPrefix(known []modems.KnownCommand) string {
	prefix := known[0].Name
	for _, k := range known[1:] {
		for !strings.HasPrefix(k.Name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}

func (c *console) explain(known []modems.KnownCommand) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, k := range known {
		fmt.Fprintf(t, "  %s\t%s\n", k.Name, k.Does)
	}
	t.Flush() // into memory
	c.printf("%s", b.String())
}
