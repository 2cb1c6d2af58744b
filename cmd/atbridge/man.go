package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newManCmd is for who makes a package: the pages are made of what --help says, so that the two cannot differ.
func newManCmd(*globals) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into DIR",
		Long:    "Write the manual pages into DIR, one for each command: atbridge.1, atbridge-send.1, ...",
		Example: "  atbridge man /usr/share/man/man1",
		Args:    takes("DIR"),
		Hidden:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return usagef("%w", err)
			}
			for name, page := range manPages(cmd.Root()) {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(page), 0o644); err != nil {
					return usagef("%w", err)
				}
			}
			return nil
		},
	}
}

// manPages are the pages by the names of their files.
func manPages(cmd *cobra.Command) map[string]string {
	pages := map[string]string{}
	if cmd.Hidden || cmd.Name() == "help" {
		return pages
	}
	pages[manName(cmd)+".1"] = manPage(cmd)
	for _, sub := range cmd.Commands() {
		for name, page := range manPages(sub) {
			pages[name] = page
		}
	}
	return pages
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	section := func(title, text string) {
		if text = strings.TrimRight(text, "\n "); text != "" {
			fmt.Fprintf(&b, ".SH %s\n%s\n", title, text)
		}
	}
	fmt.Fprintf(&b, ".TH %s 1 \"\" atbridge\n", roff(strings.ToUpper(manName(cmd))))
	section("NAME", roff(manName(cmd)+" - "+cmd.Short))
	section("SYNOPSIS", ".nf\n"+roff(strings.TrimSpace(strings.TrimSuffix(cmd.CommandPath(), cmd.Name())+cmd.Use))+"\n.fi")
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	section("DESCRIPTION", ".nf\n"+roff(text)+"\n.fi") // its lines are broken, and its tables laid out, by hand
	section("OPTIONS", manFlags(cmd.NonInheritedFlags()))
	section("COMMON OPTIONS", manFlags(cmd.InheritedFlags()))
	if cmd.Example != "" {
		section("EXAMPLE", ".nf\n"+roff(cmd.Example)+"\n.fi")
	}
	var also []string
	if cmd.HasParent() {
		also = append(also, ".BR "+roff(manName(cmd.Parent()))+" (1)")
	}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			also = append(also, ".BR "+roff(manName(sub))+" (1)")
		}
	}
	section("SEE ALSO", strings.Join(also, ",\n"))
	return b.String()
}

func manFlags(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		name, usage := pflag.UnquoteUsage(f)
		long := "--" + f.Name
		if f.Shorthand != "" {
			long = "-" + f.Shorthand + ", " + long
		}
		if name != "" {
			long += " " + name
		}
		fmt.Fprintf(&b, ".TP\n%s\n%s\n", roff(long), roff(usage))
	})
	return b.String()
}

// roff keeps text from being read as requests: a backslash, a hyphen, and a line that begins with . or '.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
