package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newCheckCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "check --config FILE",
		Short:   "Read the configuration and say every error with its line; connects to nothing",
		Example: "  atbridge check --config atbridge.yaml",
		Args:    onlyConfig,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load(needAll)
			if err != nil {
				return err
			}
			for _, w := range c.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "atbridge: warning: "+w)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: %s\n", c.File, c.summary())
			return err
		},
	}
}

// summary is the configuration in one line: from where to where, and by how many routes.
func (c *Config) summary() string {
	from := "this machine's network"
	if c.Modem != nil && c.Path.Mode != "host" {
		from = fmt.Sprintf("%s on %s", c.Modem.Driver, c.Modem.Port)
	}
	to := c.Platform()
	if to == "" {
		var list []string
		for _, b := range c.Brokers() {
			list = append(list, b.String())
		}
		to = strings.Join(list, ", ")
	}
	up, plural := len(c.Routes.Up), "s"
	if up == 1 {
		plural = ""
	}
	return fmt.Sprintf("%s -> %s, %d route%s up, %d down", from, to, up, plural, len(c.Routes.Down))
}
