package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/modems"
)

// machine is where the kernel and udev describe the machine.
type machine struct{ sys, proc, byID string }

var thisMachine = machine{"/sys", "/proc", "/dev/serial/by-id"}

func newPortsCmd(*globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ports [--json]",
		Short: "List the serial ports, what is on them, and who holds them",
		Long: `List the serial ports: device, stable name, USB ids and interface, which module that is, and which program holds it.

It reads what the kernel says and opens no port: opening one may reset what hangs on it. Programs of other users are
seen by root only.`,
		Example: "  atbridge ports\n  atbridge ports --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ports, hidden, err := thisMachine.ports()
			if err != nil {
				return withCode(exitPort, fmt.Errorf("listing the serial ports: %w", err))
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(ports)
			}
			return printPorts(cmd.OutOrStdout(), ports, hidden)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// portEntry is a serial port as it is listed.
type portEntry struct {
	Device    string        `json:"device"`
	ByID      string        `json:"by_id"`
	USB       string        `json:"usb"`       // vid:pid; empty: not on USB
	Interface *int          `json:"interface"` // null: not on USB
	Module    string        `json:"module"`    // which modules have these ids; empty: not known
	AT        bool          `json:"at"`        // the interface that takes AT commands
	Product   string        `json:"product"`
	HeldBy    []tty.Process `json:"held_by"`
}

// ports are those of the machine; hidden are the processes that may hold one without showing it.
func (m machine) ports() (ports []portEntry, hidden []tty.Process, err error) {
	found, err := tty.List(m.sys)
	if err != nil {
		return nil, nil, err
	}
	holders, hidden, err := tty.Holders(m.proc)
	if err != nil {
		return nil, nil, err
	}
	names := tty.ByID(m.byID)
	ports = []portEntry{}
	for _, f := range found {
		p := portEntry{Device: f.Device, ByID: names[f.Device], Product: f.Product, HeldBy: holders[f.Device]}
		if p.HeldBy == nil {
			p.HeldBy = []tty.Process{}
		}
		if f.VID != "" {
			at, known := modems.USBATInterface(f.VID, f.PID)
			p.USB, p.Interface, p.Module = f.VID+":"+f.PID, &f.Interface, modems.USBModels(f.VID, f.PID)
			p.AT = known && at == f.Interface
		}
		ports = append(ports, p)
	}
	return ports, hidden, nil
}

// manager is the program that takes ports unasked, as the kernel names it (15 bytes at most).
const manager = "ModemManager"

func printPorts(w io.Writer, ports []portEntry, hidden []tty.Process) error {
	if len(ports) == 0 {
		_, err := fmt.Fprintln(w, "no serial port; is the modem or its adapter plugged in and powered? (dmesg -w shows what the kernel sees)")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tUSB\tIF\tWHAT\tHELD BY\tSTABLE NAME")
	var taken []portEntry
	for _, p := range ports {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Device, orDash(p.USB), p.number(), orDash(printable(p.what())), orDash(p.holders()), orDash(printable(p.ByID)))
		for _, h := range p.HeldBy {
			if h.Name == manager {
				taken = append(taken, p)
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return advise(w, ports, taken, hidden)
}

// advise says how to keep ModemManager away, where it has a port or may have one.
func advise(w io.Writer, ports, taken []portEntry, hidden []tty.Process) error {
	for _, p := range taken {
		if _, err := fmt.Fprintf(w, "\n%s holds %s; keep it away with this line in /etc/udev/rules.d/99-atbridge.rules, then plug the modem in anew:\n  %s\n", manager, p.Device, p.udev()); err != nil {
			return err
		}
	}
	for _, h := range hidden {
		if h.Name == manager && len(taken) == 0 {
			_, err := fmt.Fprintf(w, "\n%s runs, and may hold a port without showing it; sudo atbridge ports tells. This line in /etc/udev/rules.d/99-atbridge.rules keeps it away:\n  %s\n", manager, ports[len(ports)-1].udev())
			return err
		}
	}
	return nil
}

// udev is the rule that keeps ModemManager from the port.
func (p portEntry) udev() string {
	which := fmt.Sprintf(`KERNEL=="%s"`, strings.TrimPrefix(p.Device, "/dev/"))
	if vid, pid, ok := strings.Cut(p.USB, ":"); ok {
		which = fmt.Sprintf(`ATTRS{idVendor}=="%s", ATTRS{idProduct}=="%s"`, vid, pid)
	}
	return `SUBSYSTEM=="tty", ` + which + `, ENV{ID_MM_PORT_IGNORE}="1"`
}

func (p portEntry) number() string {
	if p.Interface == nil || *p.Interface < 0 {
		return "-"
	}
	return fmt.Sprintf("%02x", *p.Interface) // as udev and usb:VID:PID:ifNN write it
}

func (p portEntry) what() string {
	switch {
	case p.AT:
		return p.Module + ": AT commands"
	case p.Module != "":
		return p.Module
	}
	return p.Product
}

func (p portEntry) holders() string {
	var names []string
	for _, h := range p.HeldBy {
		names = append(names, fmt.Sprintf("%s (%d)", printable(h.Name), h.PID))
	}
	return strings.Join(names, ", ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
