package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func newTestRoot() *cobra.Command {
	root := newRootCmd(&globals{getenv: os.LookupEnv, stderr: os.Stderr})
	strictHelp(root)
	return root
}

func everyCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		everyCommand(sub, visit)
	}
}

// words splits a command line as a shell does, as far as the examples need it: quotes of both kinds, and what ends or
// redirects a command.
func words(line string) (args []string) {
	for _, w := range regexp.MustCompile(`(?:[^\s'"]|'[^']*'|"[^"]*")+`).FindAllString(line, -1) {
		if w == "|" || w == ">" || w == "<" || w == "&" || strings.HasPrefix(w, "#") {
			break
		}
		args = append(args, regexp.MustCompile(`['"]`).ReplaceAllString(w, ""))
	}
	return args
}

// parses reports why a command line is none of this program.
func parses(line string) error {
	_, line, _ = strings.Cut(line, "atbridge ")
	root := newTestRoot()
	cmd, rest, err := root.Find(words(line))
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// Each command has an example, and each example is a command line that this program takes.
func TestExamples(t *testing.T) {
	examples := 0
	everyCommand(newTestRoot(), func(cmd *cobra.Command) {
		if !cmd.HasParent() || cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Parent().Name() == "completion" {
			return // cobra's own
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example of itself", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example + "\n" + cmd.Long) {
			if line = strings.TrimRight(line, "\n"); regexp.MustCompile(`^  (\w+ \| )?atbridge `).MatchString(line) {
				examples++
				if err := parses(line); err != nil {
					t.Errorf("%s: %s: %v", cmd.CommandPath(), line, err)
				}
			}
		}
	})
	if examples < 20 {
		t.Errorf("only %d examples were found", examples)
	}
}

// Each command line in the READMEs is one that this program takes.
func TestReadmeExamples(t *testing.T) {
	for _, file := range []string{"../../README.md", "../../README.zh-CN.md"} {
		found := 0
		for line := range strings.Lines(readFile(t, file)) {
			m := regexp.MustCompile(`^    (?:\$ |\./|.*\| |go run \./cmd/)?(atbridge \w.*)`).FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				continue
			}
			found++
			if err := parses(m[1]); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(file), m[1], err)
			}
		}
		if found < 15 {
			t.Errorf("%s: only %d command lines were found", filepath.Base(file), found)
		}
	}
}

func TestManPages(t *testing.T) {
	pages := manPages(newTestRoot())
	for _, cmd := range newTestRoot().Commands() {
		page, ok := pages["atbridge-"+cmd.Name()+".1"]
		if hidden := cmd.Hidden || cmd.Name() == "help"; ok == hidden {
			t.Errorf("%s: a page: %v", cmd.Name(), ok)
		}
		for _, part := range []string{".TH ATBRIDGE", ".SH SYNOPSIS", ".SH DESCRIPTION"} {
			if ok && !strings.Contains(page, part) {
				t.Errorf("%s: no %s", cmd.Name(), part)
			}
		}
	}
	if page := pages["atbridge-send.1"]; !strings.Contains(page, ".TP\n\\-\\-wait PREFIX\n") || !strings.Contains(page, "\natbridge send [\\-\\-wait PREFIX]") {
		t.Errorf("the page of send:\n%s", page)
	}
	if got := roff(".x \\1a\n'y - z"); got != "\\&.x \\e1a\n\\&'y \\- z" {
		t.Errorf("roff: %q", got)
	}
}
