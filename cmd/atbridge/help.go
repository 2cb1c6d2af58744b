package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// strictHelp makes cobra's own commands as strict as the others: an unknown topic, or shell, is an error. root
// must know by then where its output goes.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Run, cmd.RunE = nil, helpAbout
		case "completion":
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, whichShell
		}
	}
}

func helpAbout(help *cobra.Command, args []string) error {
	topic, rest, err := help.Root().Find(args)
	if err != nil {
		return usagef("%w", err)
	}
	if len(rest) == 0 {
		return topic.Help()
	}
	unknown := shown(strings.Join(args, " "))
	if near := topic.SuggestionsFor(rest[0]); len(near) > 0 {
		return usagef("there is no help about %s; did you mean %s?", unknown, near[0])
	}
	return usagef("there is no help about %s; see atbridge help", unknown)
}

func whichShell(completion *cobra.Command, args []string) error {
	var shells []string
	for _, shell := range completion.Commands() {
		shells = append(shells, shell.Name())
	}
	last := len(shells) - 1
	known := strings.Join(shells[:last], ", ") + " and " + shells[last]
	if len(args) == 0 {
		return usagef("say for which shell: atbridge completion bash; there are %s", known)
	}
	return usagef("unknown shell %s; there are %s", shown(args[0]), known)
}
