package modems

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/atbridge/atbridge/atcmd"
)

// Driver is what one family of modems does differently. A zero field means: as 27.007 says.
type Driver struct {
	Name string

	// Flavour is which of the firmwares this Driver speaks to, where there are several that differ in their commands.
	Flavour string

	// Title, TLS and Checked stand in the table of modems: what the driver is for, what the module's own stack can do
	// of TLS, and what all of this rests on.
	Title, TLS, Checked string

	// Models are the beginnings of the +CGMM (or ATI) model names that the driver takes, without regard to case.
	Models []string

	// Flavours are the Drivers that Probe chooses from; none: there is one flavour only, this Driver itself.
	Flavours []*Driver

	// Probe asks which flavour of the firmware this is.
	Probe func(ctx context.Context, c atcmd.Commander, id Identity) (*Driver, error)

	// Messages begins the URC that carries a message from the broker. One may come before anybody is ready for it,
	// because the module's session survives the host.
	Messages string

	// Grammar is the dialect, as a session that survived a restart of the host would have left it.
	Grammar atcmd.Grammar

	// Setup is sent once after the driver is known. A refusal is logged and changes nothing: firmware differs.
	Setup []atcmd.Command

	// Attach does what Setup cannot say as a list; nil: nothing.
	Attach func(ctx context.Context, m *Modem) error

	// Activate brings up the PDP context and returns its address; nil: +CGDCONT, +CGACT, +CGPADDR.
	Activate func(ctx context.Context, m *Modem, pdp PDPConfig) (address string, err error)

	// Deactivate takes that context down, whatever the module says of its state; nil: +CGACT, or +CGATT.
	Deactivate func(ctx context.Context, m *Modem) error

	// Restart are the commands that let the module boot; the next one is tried where one is refused. nil: +CFUN=1,1.
	Restart []string

	// ICCID reads the SIM's number; nil: none is known.
	ICCID func(ctx context.Context, c atcmd.Commander) (string, error)

	MQTT MQTTDialer // nil: no MQTT stack on board

	// AliyunLogin: MQTT takes MQTTConfig.Aliyun, without TLS. Firmware that does not is told by ErrUnsupported.
	AliyunLogin bool

	// HasMQTT is a command that every firmware with that stack answers; a zero one: there is no firmware without.
	HasMQTT atcmd.Command

	Socket SocketDialer // nil: no TCP socket on board

	// NoSocket says why Socket is nil, and what to do about it.
	NoSocket string

	// Disruptive are the commands beyond those of 27.007 that would disturb a running session: the daemon sends them only
	// for somebody who insists. Secretive are those whose arguments are masked when a person types them.
	Disruptive []string
	Secretive  []Secretive

	// Commands and Results are what the console knows beyond 27.007: to complete, and to explain.
	Commands []KnownCommand
	Results  []Result
}

// MQTTDialer opens a session by the module's own MQTT stack.
type MQTTDialer interface {
	DialMQTT(ctx context.Context, m *Modem, cfg MQTTConfig) (Session, error)

	// Limits are those of a session on the best firmware.
	Limits() Limits
}

// bootBanner is how the mask ROM of EigenComm's EC618 and EC71x begins, the silicon of several makers' modules. Bytes
// that are no text follow it, and perhaps no line end (logs of an NT26-KCN and an EC801E).
const bootBanner = "^boot.rom"

var registry []*Driver

// Register adds a driver. Two of one name are a mistake in the program.
func Register(d *Driver) {
	if Lookup(d.Name) != nil {
		panic("modems: driver " + d.Name + " registered twice")
	}
	registry = append(registry, d)
	sort.Slice(registry, func(i, j int) bool { return registry[i].Name < registry[j].Name })
}

// Drivers are the names of all drivers, sorted.
func Drivers() []string {
	var names []string
	for _, d := range registry {
		names = append(names, d.Name)
	}
	return names
}

// Lookup finds a driver by name; nil if there is none.
func Lookup(name string) *Driver {
	for _, d := range registry {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// match finds the driver whose model name is the longest that model begins with.
func match(model string) *Driver {
	var best *Driver
	longest := 0
	for _, d := range registry {
		for _, name := range d.Models {
			if len(name) > longest && len(model) >= len(name) && strings.EqualFold(model[:len(name)], name) {
				best, longest = d, len(name)
			}
		}
	}
	return best
}

// choose takes the driver that was named, if the model does not belong to another, or the one that fits id. A model
// that no driver claims gets the one that was named, and else Generic.
func choose(name string, id Identity) (*Driver, error) {
	fits := match(id.Model)
	if name == "" || name == "auto" {
		switch {
		case fits != nil:
			return fits, nil
		case id.Model == "": // it may still be booting
			return nil, fmt.Errorf("%w: the modem does not say which model it is; name its driver in modem.driver: %s", ErrNoAnswer, strings.Join(Drivers(), ", "))
		}
		return Lookup(Generic), nil
	}
	named := Lookup(name)
	if named == nil {
		return nil, fmt.Errorf("%w: there is no driver %q; there are: %s", ErrUnsupported, name, strings.Join(Drivers(), ", "))
	}
	if fits != nil && fits != named && name != Generic {
		return nil, fmt.Errorf("%w: modem.driver is %s, but the modem says that it is a %s: set it to %s, or to auto", ErrUnsupported, name, id.Model, fits.Name)
	}
	return named, nil
}

// union is the grammar until the modem is identified: a session that survived the host's restart may already be
// pushing data, in any of the dialects.
func union() atcmd.Grammar {
	g := atcmd.Grammar{Banner: bootBanner, Whole: wholeMessage}
	var blocks []func([]byte) (int, int, bool)
	for _, d := range registry {
		g.URCs = append(g.URCs, d.Grammar.URCs...)
		g.Reboot = append(g.Reboot, d.Grammar.Reboot...)
		if d.Grammar.Banner != "" {
			g.Banner = d.Grammar.Banner // they come from one boot ROM
		}
		if d.Grammar.Block != nil {
			blocks = append(blocks, d.Grammar.Block)
		}
	}
	g.Block = func(head []byte) (skip, n int, ok bool) {
		for _, b := range blocks {
			if skip, n, ok = b(head); ok {
				return skip, n, ok
			}
		}
		return 0, 0, false
	}
	return g
}
