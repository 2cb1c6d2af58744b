package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/modems"
)

func newInfoCmd(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info [--json]",
		Short: "Say which modem it is, its SIM, network and signal, and which paths it offers",
		Long: `Say which modem it is, its SIM, network and signal, and which paths it offers. Nothing is changed: no PIN is
entered, no data connection brought up.

Where a daemon holds the port it is asked through it.`,
		Example: "  atbridge info --port /dev/ttyUSB2\n  atbridge info --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, err := g.info(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(i)
			}
			return printInfo(cmd.OutOrStdout(), i)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func (g *globals) info(cmd *cobra.Command) (modems.Info, error) {
	c, err := g.load(0)
	if err != nil {
		return modems.Info{}, err
	}
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return modems.Info{}, err
	}
	waiting := newProgress(cmd.ErrOrStderr())
	defer waiting.end()
	if daemon != nil {
		waiting.say("asking the daemon")
		r, err := daemon.Info(cmd.Context())
		if err == nil && r.Failure != nil {
			return r.Info, withCode(kindCode[r.Failure.Kind], errors.New(r.Failure.Text))
		}
		return r.Info, withCode(exitPort, err)
	}
	if c, err = g.load(needPort); err != nil {
		return modems.Info{}, err
	}
	m, err := c.attach(cmd.Context(), cmd.ErrOrStderr(), waiting)
	if err != nil {
		return modems.Info{}, err
	}
	defer m.Close()
	waiting.say("asking the modem")
	i, err := m.Info(cmd.Context())
	return i, modemError(err)
}

func printInfo(w io.Writer, i modems.Info) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		if text := strings.TrimSpace(fmt.Sprintf(format, args...)); text != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, printable(text))
		}
	}
	row("modem", "%s %s", i.Manufacturer, i.Model)
	row("firmware", "%s", i.Revision)
	row("IMEI", "%s", i.IMEI)
	row("driver", "%s%s", i.Driver, inBrackets("flavour ", i.Flavour))
	row("checked", "%s", i.Checked)
	row("SIM", "%s%s", i.SIM, inBrackets("ICCID ", i.ICCID))
	row("network", "%s%s", i.Registration, inBrackets("", i.Operator))
	if i.RSSI != 0 {
		row("signal", "%d dBm, %s", i.RSSI, i.Signal)
	} else {
		row("signal", "%s", i.Signal)
	}
	row("address", "%s", cmp.Or(i.Address, "none: the data connection is not up"))
	for _, p := range i.Paths {
		row("path "+p.Path, "%s", describePath(p))
	}
	if len(i.Paths) == 0 {
		row("paths", "none that this driver knows: send and console work")
	}
	return t.Flush()
}

func inBrackets(before, text string) string {
	if text == "" {
		return ""
	}
	return " (" + before + text + ")"
}

func describePath(p modems.PathInfo) string {
	var parts []string
	add := func(n int, format string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, n))
		}
	}
	add(p.Topic, "topic up to %d bytes")
	add(p.Payload, "payload up to %d bytes")
	add(p.Window, "%d in flight")
	add(p.Sockets, "%d sockets")
	parts = append(parts, "TLS "+cmp.Or(p.TLS, "none"))
	if p.Note != "" {
		parts = append(parts, p.Note)
	}
	return strings.Join(parts, "; ")
}
