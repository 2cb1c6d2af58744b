package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/atbridge/atbridge/modems"
)

// subcommands is the list: one line and one file each.
var subcommands = []func(*globals) *cobra.Command{
	newCheckCmd,
	newConsoleCmd,
	newCredentialsCmd,
	newDemoCmd,
	newDoctorCmd,
	newInfoCmd,
	newManCmd,
	newPortsCmd,
	newProvisionCmd,
	newPubCmd,
	newQueueCmd,
	newRecordCmd,
	newReplayCmd,
	newRunCmd,
	newSendCmd,
	newSimCmd,
	newStatusCmd,
	newSubCmd,
	newVersionCmd,
}

// globals is what every subcommand is handed: the common flags, and with them the way to the configuration (load)
// and to the log (logger).
type globals struct {
	flags  *pflag.FlagSet
	getenv func(name string) (string, bool)
	now    func() time.Time
	stderr io.Writer
	level  slog.LevelVar // of every logger; SIGHUP changes it
}

// A common flag stands for one key of the configuration, and so does its variable, ATBRIDGE_ and the flag's name.
type commonFlag struct {
	name, key, usage string
}

var commonFlags = []commonFlag{
	{"port", "modem.port", "serial `device` of the modem, usb:VID:PID or auto"},
	{"baud", "modem.baud", "`rate` of the serial port"},
	{"driver", "modem.driver", "modem driver by `name`, or auto"},
	{"socket", "status.socket", "`path` of the daemon's control socket"},
	{"log-level", "log.level", "debug, info, warn or error: the least `level` that is logged"},
	{"wire", "log.wire", "show the AT traffic on stderr, secrets masked"},
}

func newRootCmd(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "atbridge",
		Short: "From a modem's serial port to an MQTT broker, and nothing accepted is lost on the way",
		Long: `atbridge carries MQTT messages between local clients and a broker through a modem that speaks AT commands.

A modem was plugged in:

  atbridge ports                               # which port is it, and is it free?
  atbridge info --port /dev/ttyUSB2            # who is it, and is there a network?
  atbridge send --port /dev/ttyUSB2 AT+CSQ     # does it answer? OK

Something does not work: atbridge doctor. Without a modem: atbridge demo.

A flag wins over the environment (ATBRIDGE_PORT, ATBRIDGE_CONFIG, ...), that over the file, that over the default.

Exit codes: 0 done, 1 the modem or the broker refused, 2 usage or configuration, 3 no answer in time,
4 the port cannot be opened or was lost, 5 not delivered, 70 a fault of atbridge itself.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       strings.TrimPrefix(versionLine(), "atbridge "),
		Args:          cobra.ArbitraryArgs,
		RunE: func(root *cobra.Command, args []string) error {
			if len(args) == 0 {
				return root.Help()
			}
			if near := root.SuggestionsFor(args[0]); len(near) > 0 {
				return usagef("unknown command %s; did you mean %s?", shown(args[0]), near[0])
			}
			return usagef("unknown command %s; see atbridge help", shown(args[0]))
		},
	}
	g.flags = root.PersistentFlags()
	g.flags.String("config", "", "configuration `file` (default "+defaultConfigFile+" where it exists)")
	for _, f := range commonFlags {
		if f.name == "wire" {
			g.flags.Bool(f.name, false, f.usage)
			continue
		}
		g.flags.String(f.name, "", f.usage)
	}
	for _, sub := range subcommands {
		root.AddCommand(sub(g))
	}
	completeFlags(root)
	return root
}

// completeFlags lets a shell complete the values of common flags. Its errors are of flags that do not exist.
func completeFlags(root *cobra.Command) {
	names := func(list func() []string) cobra.CompletionFunc {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return list(), cobra.ShellCompDirectiveNoFileComp
		}
	}
	for flag, list := range map[string]func() []string{
		"driver":    func() []string { return append(modems.Drivers(), "auto") },
		"log-level": func() []string { return []string{"debug", "info", "warn", "error"} },
		"port":      portNames,
	} {
		if err := root.RegisterFlagCompletionFunc(flag, names(list)); err != nil {
			panic(err)
		}
	}
}

// portNames are the ports of this machine, by their stable names where they have one.
func portNames() (names []string) {
	ports, _, err := thisMachine.ports()
	if err != nil {
		return nil
	}
	for _, p := range ports {
		names = append(names, cmp.Or(p.ByID, p.Device))
	}
	return append(names, "auto")
}

// onlyConfig is for commands whose one input is the configuration: who names the file as an argument is told how.
func onlyConfig(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("%s takes no argument; write: atbridge %s --config %s", cmd.Name(), cmd.Name(), shown(args[0]))
}

// takes is for commands whose arguments have names: who gives none, or too many, is told how it is written.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		usage := cmd.Parent().CommandPath() + " " + cmd.Use
		if len(args) < len(names) {
			return usagef("%s is missing; write: %s", names[len(args)], usage)
		}
		return usagef("%s is one argument too many; write: %s", shown(args[len(names)]), usage)
	}
}

// run is main without the process: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if cause := recover(); cause != nil {
			code = reportPanic(stderr, cause)
		}
	}()
	// The first signal cancels the command's context, which ends it in order; the second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()

	g := &globals{getenv: os.LookupEnv, now: time.Now, stderr: stderr}
	root := newRootCmd(g)
	root.SuggestionsMinimumDistance = 2
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(flagError)
	strictHelp(root)
	begun := false
	markBegin(root, &begun)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	// What fails before a command has begun is cobra's: an unknown command, flag or argument.
	if !begun {
		err = usagef("%w; see %s", err, "atbridge help"+strings.TrimPrefix(cmd.CommandPath(), "atbridge"))
	}
	printError(stderr, err)
	return exitCode(err)
}

// markBegin sets *begun when any command of the tree begins to do its work.
func markBegin(cmd *cobra.Command, begun *bool) {
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			*begun = true
			return work(c, args)
		}
	}
	for _, sub := range cmd.Commands() {
		markBegin(sub, begun)
	}
}
