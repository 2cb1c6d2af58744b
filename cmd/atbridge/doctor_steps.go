package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems"
)

// step is one stretch of the way from the port to the broker. do says what it has found, or why the way ends here; skip
// that there is nothing to look at.
type step struct {
	name string
	code int    // exit code where nothing says another
	try  string // what to do about it
	do   func(p *patient, ctx context.Context) (found string, err error)
}

// errSkip: the step has nothing to look at, for the reason behind it.
var errSkip = errors.New("skipped")

func skip(why string) error { return fmt.Errorf("%w: %s", errSkip, why) }

// patient is what the steps know so far.
type patient struct {
	c         *Config
	wire      atcmd.Tap
	say       func(string)
	patience  time.Duration   // with the network, and with the broker
	daemon    *control.Client // nil: none holds the port
	device    string
	port      *tty.Port
	urcPort   string
	modem     *modems.Modem
	failed    error // of Attach, for the step whose matter it is
	target    bridge.Target
	conn      net.Conn
	session   modems.Session
	dialError error
}

// close lets go of everything.
func (p *patient) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if p.conn != nil {
		p.conn.Close()
	}
	if p.session != nil {
		p.session.Close(ctx)
	}
	switch {
	case p.modem != nil:
		p.modem.Close()
	case p.port != nil:
		p.port.Close()
	}
}

const (
	tryWiring  = "check power, that this is the module's AT port, and that TX and RX are crossed"
	tryBroker  = "check cloud.broker, and that the SIM's contract allows connections to that port"
	tryAntenna = "check the antenna and its plug, and whether there is coverage here"
)

// doctorSteps is the whole way, in order.
var doctorSteps = []step{
	{"daemon", exitPort, "see why with: atbridge status", (*patient).checkDaemon},
	{"port", exitPort, "plug the modem in, and see what there is with: atbridge ports", (*patient).checkPort},
	{"permission", exitPort, "run: sudo usermod -aG dialout $USER, and log in again", (*patient).checkPermission},
	{"free", exitPort, "stop the program that holds it; atbridge ports says which", (*patient).checkFree},
	{"baud rate", exitNoAnswer, tryWiring, (*patient).checkBaud},
	{"echo", exitNoAnswer, "check ground and shielding of the wires, and that nothing else speaks on them", (*patient).checkEcho},
	{"identity", exitUsage, "set modem.driver to auto, or to the driver of a module that speaks as this one does", (*patient).checkIdentity},
	{"SIM", exitRefused, "insert an active SIM, or set modem.pin", (*patient).checkSIM},
	{"signal", exitNoAnswer, tryAntenna, (*patient).checkSignal},
	{"registration", exitNoAnswer, "check that the SIM is active and paid for, and that the module knows the bands of this operator", (*patient).checkRegistration},
	{"APN and PDP", exitRefused, "set modem.apn, and apn_user and apn_password where the operator asks for them", (*patient).checkPDP},
	{"login", exitRefused, "", (*patient).checkLogin},
	{"DNS", exitRefused, "check the name in cloud.broker; with a private APN use the broker's address", (*patient).checkDNS},
	{"TCP", exitRefused, tryBroker, (*patient).checkTCP},
	{"TLS", exitRefused, "check cloud.tls: ca_file is the authority of the broker's certificate, server_name the name in it; and the clock", (*patient).checkTLS},
	{"CONNACK", exitRefused, "check client_id, username and password", (*patient).checkConnack},
	{"publish", exitNotDelivered, "check that the broker lets this client publish to the topic of the first route", (*patient).checkPublish},
	{"local broker", exitUsage, "set local.listen to an address of this machine that nobody else has", (*patient).checkLocal},
	{"queue", exitUsage, "set queue.dir to a directory that this user may write, with room for queue.max_bytes", (*patient).checkQueue},
	{"clock", exitUsage, "set the clock (timedatectl set-ntp true); TLS and the queue go by it", (*patient).checkClock},
}

func (p *patient) checkDaemon(ctx context.Context) (string, error) {
	if p.daemon == nil {
		return "", skip("none runs here; the port is opened by this command")
	}
	s, err := p.daemon.Status(ctx)
	switch {
	case err != nil:
		return "", err
	case s.State != bridge.Online:
		return "", fmt.Errorf("the daemon is %s: %s", s.State, cmp.Or(s.Reason, "it has not said why"))
	}
	return fmt.Sprintf("online by path %s, %d messages wait", s.Path, s.Queue.Messages), nil
}

// mine skips what the daemon has shown, or what there is no modem for.
func (p *patient) mine() error {
	switch {
	case p.daemon != nil:
		return skip("the daemon has it")
	case p.c.Path.Mode == "host" || p.c.Modem == nil:
		return skip("path host needs no modem")
	}
	return nil
}

func (p *patient) checkPort(context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	device, urcPort, err := findPort(p.c.Modem.Port)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(device); err != nil {
		return "", err
	}
	p.device, p.urcPort = device, urcPort
	return device, nil
}

func (p *patient) checkPermission(context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	if err := unix.Access(p.device, unix.R_OK|unix.W_OK); err != nil {
		return "", fmt.Errorf("%s may not be opened by this user: %w", p.device, err)
	}
	return "may be read and written", nil
}

func (p *patient) checkFree(context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	var err error
	p.port, err = tty.Open(p.device, int(p.c.Modem.Baud))
	if err != nil {
		return "", err
	}
	return "nobody else holds it", nil
}

func (p *patient) checkBaud(ctx context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	rate, err := modems.FindBaud(ctx, p.port, int(p.c.Modem.Baud), p.say)
	switch {
	case err != nil:
		return "", err
	case rate != int(p.c.Modem.Baud):
		return "", fmt.Errorf("the modem answers at %d, not at %d; set modem.baud or --baud to %d", rate, p.c.Modem.Baud, rate)
	}
	return strconv.Itoa(rate), nil
}

func (p *patient) checkEcho(ctx context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	o := p.c.modemOptions(p.wire, p.say)
	o.Port, o.RegisterTimeout = p.urcPort, p.patience
	m, err := modems.Attach(ctx, p.port, o)
	p.port = nil // Attach has taken it over
	if errors.Is(err, modems.ErrUnsupported) {
		p.failed = err
		return "clean", nil
	}
	if err != nil {
		return "", err
	}
	p.modem = m
	return "off, and every answer belongs to its command", nil
}

func (p *patient) checkIdentity(context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	if p.failed != nil {
		return "", p.failed
	}
	id := p.modem.Identity()
	if p.modem.Driver() == modems.Generic && len(p.c.Cloud.Broker) > 0 {
		return "", fmt.Errorf("no driver knows the model %q of %q", id.Model, id.Manufacturer)
	}
	return fmt.Sprintf("%s %s, driver %s", id.Manufacturer, id.Model, p.modem.Driver()), nil
}

func (p *patient) checkSIM(ctx context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	return "ready", p.modem.Unlock(ctx)
}

func (p *patient) checkSignal(ctx context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	if err := p.modem.Probe(ctx); err != nil {
		return "", err
	}
	dBm := p.modem.Network().RSSI
	if dBm == 0 {
		return "", errors.New("the modem receives nothing")
	}
	return fmt.Sprintf("%d dBm, %s", dBm, modems.SignalWords(dBm)), nil
}

func (p *patient) checkRegistration(ctx context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	if err := p.modem.Register(ctx); err != nil {
		return "", err
	}
	n := p.modem.Network()
	return describe(bridge.NetworkStatus{Registered: true, Roaming: n.Roaming, Operator: n.Operator}), nil
}

func (p *patient) checkPDP(ctx context.Context) (string, error) {
	if err := p.mine(); err != nil {
		return "", err
	}
	if err := p.modem.Connect(ctx); err != nil {
		return "", err
	}
	return p.modem.Network().Address, nil
}

// checkQueue creates nothing: the daemon does.
func (p *patient) checkQueue(context.Context) (string, error) {
	dir := p.c.Queue.Dir
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is no directory", dir)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return "", err
		}
		dir = filepath.Dir(dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return "", fmt.Errorf("%s may not be written by this user: %w", dir, err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < uint64(p.c.Queue.MaxBytes) {
		return "", fmt.Errorf("%s has %d bytes free, and queue.max_bytes is %d", dir, free, p.c.Queue.MaxBytes)
	}
	return p.c.Queue.Dir, nil
}

func (p *patient) checkLocal(ctx context.Context) (string, error) {
	switch {
	case p.c.Local.Broker != "":
		return "", skip("an existing one is used")
	case p.c.Local.Listen == "":
		return "", skip("local.listen is not set")
	case p.daemon != nil:
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", p.c.Local.Listen)
		if err != nil {
			return "", fmt.Errorf("the daemon's does not answer: %w", err)
		}
		return p.c.Local.Listen + " answers", conn.Close()
	}
	l, err := net.Listen("tcp", p.c.Local.Listen)
	if err != nil {
		return "", err
	}
	return p.c.Local.Listen + " is free", l.Close()
}

// firstDay is when no machine's clock can be right that is behind it.
var firstDay = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// clockSlack is how far the clocks of machine and network may be apart: the network's may be local time.
const clockSlack = 26 * time.Hour

func (p *patient) checkClock(ctx context.Context) (string, error) {
	now := time.Now()
	network := p.networkTime(ctx)
	switch {
	case now.Before(firstDay):
		return "", fmt.Errorf("this machine thinks that it is %s%s", now.Format(time.DateOnly), network)
	case network == "":
		return now.Format(time.RFC3339), nil
	}
	at, err := time.Parse(time.DateTime, strings.TrimPrefix(network, networkSays))
	if err == nil && at.After(firstDay) && at.Sub(now).Abs() > clockSlack {
		return "", fmt.Errorf("this machine thinks that it is %s%s", now.Format(time.DateTime), network)
	}
	return now.Format(time.RFC3339), nil
}

const networkSays = "; the network says "

// networkTime is what the modem's clock says, which the network sets (27.007 8.15); empty: nothing.
func (p *patient) networkTime(ctx context.Context) string {
	if p.modem == nil {
		return ""
	}
	r, err := p.modem.Do(ctx, atcmd.Read("+CCLK"))
	if err != nil || len(r.Info) == 0 {
		return ""
	}
	_, f, err := atcmd.ParseParams(r.Info[0].Head)
	at, errTime := time.Parse("06/01/02,15:04:05", f.Text(0)[:min(17, len(f.Text(0)))])
	if err != nil || errTime != nil {
		return ""
	}
	return networkSays + at.Format(time.DateTime)
}

// tlsFault reports whether err is one of TLS.
func tlsFault(err error) bool {
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var header tls.RecordHeaderError
	return errors.As(err, &verify) || errors.As(err, &alert) || errors.As(err, &header)
}
