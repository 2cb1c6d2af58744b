package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/modems"
)

// findPort turns modem.port into a device: a path as it is, usb:VID:PID[:ifNN] and auto by what sysfs knows now, so
// that a port that was renumbered by a replug is found again.
func findPort(spec string) (device, urcPort string, err error) {
	ports, errList := tty.List("/sys")
	usb := strings.HasPrefix(spec, "usb:")
	if !usb && spec != "auto" {
		real, err := filepath.EvalSymlinks(spec)
		if err != nil {
			return spec, "", nil // opening it will say what is wrong
		}
		for _, p := range ports {
			if p.Device == real {
				urcPort = modems.USBURCPort(p.VID, p.PID, p.Interface)
			}
		}
		return spec, urcPort, nil
	}
	if errList != nil {
		return "", "", withCode(exitPort, fmt.Errorf("looking for the port %s: %w", spec, errList))
	}
	for _, p := range ports {
		at, known := modems.USBATInterface(p.VID, p.PID)
		fits := known && p.Interface == at
		if usb {
			fits = fitsUSB(spec, p, at, known)
		}
		if fits {
			return p.Device, modems.USBURCPort(p.VID, p.PID, p.Interface), nil
		}
	}
	if usb {
		return "", "", withCode(exitPort, fmt.Errorf("no serial port with %s is plugged in", spec))
	}
	return "", "", withCode(exitPort, fmt.Errorf("no known module on USB; name its port in modem.port or with --port"))
}

func fitsUSB(spec string, p tty.Info, at int, known bool) bool {
	part := strings.Split(strings.ToLower(spec), ":")
	if p.VID != part[1] || p.PID != part[2] {
		return false
	}
	if len(part) == 4 {
		n, err := strconv.ParseInt(strings.TrimPrefix(part[3], "if"), 16, 16)
		return err == nil && p.Interface == int(n)
	}
	return !known || p.Interface == at
}

// openPort opens the configured port and says how the host is connected to the module.
func openPort(m *Modem) (port *tty.Port, urcPort string, err error) {
	device, urcPort, err := findPort(m.Port)
	if err != nil {
		return nil, "", err
	}
	port, err = tty.Open(device, int(m.Baud))
	return port, urcPort, err
}

// modemOptions are those that the configuration gives.
func (c *Config) modemOptions(tap atcmd.Tap, say func(string)) modems.Options {
	m := c.Modem
	return modems.Options{
		PullSockets: c.Path.Pull,
		Driver:      m.Driver,
		PDP:         modems.PDPConfig{APN: m.APN, User: m.APNUser, Password: m.APNPassword.Reveal(), Auth: m.APNAuth, IP: m.IP},
		PIN:         m.PIN.Reveal(),
		Baud:        int(m.Baud),
		RTSCTS:      m.Flow == "rtscts",
		RefusedPIN:  filepath.Join(c.Queue.Dir, "pin-refused"),
		Tap:         tap,
		Progress:    say,
	}
}

// line is the way to the modem, which the bridge reopens for ever. It remembers the rate at which the modem answered.
type line struct {
	modem *Modem
	baud  int
	log   *slog.Logger
}

func newLine(m *Modem, log *slog.Logger) *line { return &line{m, int(m.Baud), log} }

func (l *line) open(context.Context) (io.ReadWriteCloser, string, error) {
	m := *l.modem
	m.Baud = Baud(l.baud)
	port, urcPort, err := openPort(&m)
	if err != nil {
		return nil, "", err
	}
	return port, urcPort, nil
}

// search finds the rate of a modem that was set to another one, or has gone back to its own.
func (l *line) search(ctx context.Context, port io.ReadWriteCloser, say func(string)) error {
	baud, err := modems.FindBaud(ctx, port.(*tty.Port), int(l.modem.Baud), say)
	if err != nil {
		return err
	}
	if baud == int(l.modem.BaudUp) { // an earlier run was killed before it could take the rate back
		return nil
	}
	if baud != l.baud {
		l.log.Warn("the modem answers at another baud rate; set modem.baud to it", "configured", l.modem.Baud, "found", baud)
	}
	l.baud = baud
	return nil
}

// wireTap shows the AT traffic, a line for each command or answer.
func wireTap(w io.Writer, on bool) atcmd.Tap {
	if !on {
		return nil
	}
	return func(sent bool, text []byte) {
		fmt.Fprintf(w, "%s %s\n", arrow(sent), atcmd.Printable(text))
	}
}

// arrow points from the host to the modem for what was sent.
func arrow(sent bool) string {
	if sent {
		return "->"
	}
	return "<-"
}
