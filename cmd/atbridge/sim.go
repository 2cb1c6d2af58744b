package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/modems/modemsim"
)

func newSimCmd(g *globals) *cobra.Command {
	cfg := modemsim.Config{Map: map[string]string{}}
	var link string
	var maps []string
	cmd := &cobra.Command{
		Use:   "sim --modem NAME [--link PATH] [--baud N] [--rtt D] [--latency none|sheet] [--map HOST:PORT=ADDR]... [--fault SPEC]...",
		Short: "Run a simulated modem on a pseudo-terminal until stopped",
		Long: `Run a simulated modem on a pseudo-terminal until stopped. It is wire-exact, paced to its baud rate, and connects
to real brokers. It was written from documentation; what it shows is not what a real module has shown.

Signals do to it what happens to a module:
  USR1  its reset pin is pulled
  USR2  it hangs: it takes bytes and answers nothing, until it is reset
  ALRM  its cable is pulled and, a second later, plugged in again as another device; --link follows

Faults:
` + faultList(),
		Example: `  atbridge sim --modem ec600 --link /tmp/modem --rtt 60ms --map broker.example:1883=127.0.0.1:1883
  atbridge send --port /tmp/modem AT+CSQ`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, m := range maps {
				from, to, err := parseMap(m)
				if err != nil {
					return err
				}
				cfg.Map[from] = to
			}
			if rate, by := g.flagOrEnv("baud"); rate != "" && !cmd.Flags().Changed("baud") {
				n, err := strconv.Atoi(rate)
				if err != nil {
					return usagef("%s: %s is not a rate; write a number, such as 115200", by, shown(rate))
				}
				cfg.Baud = n
			}
			if cfg.RTT < 0 {
				return usagef("--rtt %v: nothing arrives before it is sent", cfg.RTT)
			}
			if wire, _ := g.flagOrEnv("wire"); wire == "true" || wire == "1" {
				cfg.Wire = wireTap(cmd.ErrOrStderr(), true)
			}
			return runSim(cmd, cfg, link)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Model, "modem", "", "which `NAME`: "+strings.Join(modemsim.Models(), ", "))
	f.StringVar(&link, "link", "", "make `PATH` a symbolic link to the pseudo-terminal")
	f.IntVar(&cfg.Baud, "baud", 115200, "pace both directions to this `rate`; 0: not paced")
	f.DurationVar(&cfg.RTT, "rtt", 60*time.Millisecond, "round-trip time between the module and what it dials")
	f.StringVar(&cfg.Latency, "latency", "none", "none: it answers at once; sheet: in the times of the fact sheets")
	f.StringArrayVar(&maps, "map", nil, "send what the module dials at `HOST:PORT=ADDR` elsewhere; ADDR may have a port of its own")
	f.StringArrayVar(&cfg.Faults, "fault", nil, "a fault `SPEC`, name or name=value; may be repeated")
	f.Int64Var(&cfg.Seed, "seed", 1, "of the faults that happen by chance")
	if err := cmd.MarkFlagRequired("modem"); err != nil {
		panic(err)
	}
	return cmd
}

// parseMap reads HOST:PORT=ADDR. ADDR may have a port of its own.
func parseMap(m string) (from, to string, err error) {
	from, to, _ = strings.Cut(m, "=")
	_, port, err := net.SplitHostPort(from)
	if err != nil || port == "" || to == "" {
		return "", "", usagef("--map %s: write HOST:PORT=ADDR or HOST:PORT=ADDR:PORT", shown(m))
	}
	if _, _, err := net.SplitHostPort(to); err != nil {
		to = net.JoinHostPort(strings.Trim(to, "[]"), port)
	}
	return from, to, nil
}

func faultList() string {
	var b strings.Builder
	for _, f := range modemsim.Faults() {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	return b.String()
}

func runSim(cmd *cobra.Command, cfg modemsim.Config, link string) error {
	sim, err := modemsim.Start(cfg)
	if err != nil {
		return withCode(exitUsage, err)
	}
	name := sim.Path()
	if link != "" {
		if err := makeLink(sim.Path(), link); err != nil {
			return errors.Join(err, sim.Close())
		}
		defer os.Remove(link)
		name = link + " (" + sim.Path() + ")"
	}
	out := cmd.OutOrStdout()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM)
	defer signal.Stop(signals)
	fmt.Fprintf(out, "%s on %s, %d baud, %v round trip, latency %s; Ctrl-C ends it\n", cfg.Model, name, cfg.Baud, cfg.RTT, cfg.Latency)
	if err := suffer(cmd, sim, signals, link); err != nil {
		return errors.Join(err, sim.Close())
	}
	s := sim.Stats()
	fmt.Fprintf(out, "%d bytes from the host, %d to it, %d commands, %d publishes (at most %d in flight), %d received\n",
		s.FromHost, s.ToHost, s.Commands, s.Publishes, s.InFlightPeak, s.Received)
	fmt.Fprintf(out, "pacing error %+.3f %%, idle turnaround %v\n", 100*s.PacingError, s.Turnaround.Round(time.Microsecond))
	return sim.Close()
}

// suffer does to the module what the signals say, until the command ends.
func suffer(cmd *cobra.Command, sim *modemsim.Sim, signals <-chan os.Signal, link string) error {
	out := cmd.OutOrStdout()
	var replug <-chan time.Time
	for {
		select {
		case <-cmd.Context().Done():
			return nil
		case s := <-signals:
			switch s {
			case syscall.SIGUSR1:
				sim.Reset()
				fmt.Fprintln(out, "reset")
			case syscall.SIGUSR2:
				sim.Wedge()
				fmt.Fprintln(out, "hangs")
			default:
				sim.Unplug()
				replug = time.After(time.Second)
				fmt.Fprintln(out, "unplugged")
			}
		case <-replug:
			if err := sim.Replug(); err != nil {
				return err
			}
			if link != "" {
				if err := makeLink(sim.Path(), link); err != nil {
					return err
				}
			}
			fmt.Fprintln(out, "plugged in again on", sim.Path())
		}
	}
}

// makeLink replaces a link that an earlier simulator has left, and nothing else.
func makeLink(target, link string) error {
	if info, err := os.Lstat(link); err == nil {
		if info.Mode()&fs.ModeSymlink == 0 {
			return usagef("--link %s exists and is no symbolic link", link)
		}
		if err := os.Remove(link); err != nil {
			return usagef("--link: %w", err)
		}
	}
	if err := os.Symlink(target, link); err != nil {
		return usagef("--link: %w", err)
	}
	return nil
}
