package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/control"
	"github.com/atbridge/atbridge/modems"
)

func newRunCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "run --config FILE",
		Short: "Carry messages, in the foreground, until SIGTERM",
		Long: `Carry messages between the local broker and the cloud until SIGTERM ends it in order.

A port, network or broker that is missing is waited for: the log and atbridge status say what is missing.
SIGHUP rereads the routes and the log level.`,
		Example: "  atbridge run --config /etc/atbridge/atbridge.yaml",
		Args:    onlyConfig,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load(needAll)
			if err != nil {
				return err
			}
			log := g.logger(c)
			for _, w := range c.Warnings {
				log.Warn(w)
			}
			return g.runDaemon(cmd.Context(), c, log)
		},
	}
}

func (g *globals) runDaemon(ctx context.Context, c *Config, log *slog.Logger) error {
	cfg, err := c.bridgeConfig(log, g)
	if err != nil {
		return err
	}
	var current atomic.Pointer[Config]
	current.Store(c)
	in := newLogin(log)
	cfg.Prepare = func(ctx context.Context, o bridge.Outside) error { return in.prepare(ctx, current.Load(), o) }
	cfg.Target = func(id modems.Identity) (bridge.Target, error) { return in.target(current.Load(), id) }
	cfg.Outgoing, cfg.Incoming = in.conventions.outgoing, in.conventions.incoming
	manager := newServiceManager(log)
	cfg.Changed, cfg.Progress, cfg.Alive = manager.changed, manager.progress, manager.every()
	inHouse := cfg.Modem == nil || cfg.Path == "host"
	if !inHouse {
		open := cfg.Modem.Open
		cfg.Modem.Open = func(ctx context.Context) (io.ReadWriteCloser, string, error) {
			port, urcPort, err := open(ctx)
			if err == nil {
				manager.started()
			}
			return port, urcPort, err
		}
	}
	b, err := bridge.New(cfg)
	if err != nil {
		return startError(err)
	}
	ctx, end := context.WithCancel(ctx) // a daemon that nobody can ask any more is better started again
	defer end()
	door, err := control.Listen(b, c.Status.Socket, c.Status.Listen, c.Modem != nil && c.Modem.AllowDangerous, end)
	if err != nil {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return startError(errors.Join(err, b.Run(ended)))
	}
	log.Info("started", "version", versionLine(), "local", b.LocalAddr(), "queue", c.Queue.Dir)
	if inHouse { // no port is waited for
		manager.started()
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-hup:
				g.reload(b, &current, log)
			case <-ended:
				return
			}
		}
	}()
	stop := context.AfterFunc(ctx, func() {
		log.Info("stopping")
		manager.stopping()
	})
	defer stop()
	return errors.Join(b.Run(ctx), door.Close())
}

// startError gives what is wrong at the start its exit code. After exitUsage systemd does not try again, because a person has to
// mend it; an address that the network has not given to this machine yet, or a disk that is full, may mend itself.
func startError(err error) error {
	for _, passing := range []error{syscall.EADDRNOTAVAIL, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, passing) {
			return withCode(exitRefused, err)
		}
	}
	return withCode(exitUsage, err)
}

// reload takes what may change while it runs: the routes and the log level. A file with an error changes nothing.
func (g *globals) reload(b *bridge.Bridge, current *atomic.Pointer[Config], log *slog.Logger) {
	c, err := g.load(needAll)
	next := *current.Load()
	var up bridge.Routes
	if err == nil {
		next.Routes = c.Routes
		up, err = c.upRoutes()
	}
	if err == nil { // the session would have to end
		err = next.checkLoops(identity(b))
	}
	if err != nil {
		log.Error("the configuration was not reread", "why", err)
		return
	}
	current.Store(&next)
	b.SetRoutes(up)
	g.setLevel(c)
	log.Info("reread the routes and the log level; everything else needs a restart")
}

// identity is that of the modem, as far as it is known.
func identity(b *bridge.Bridge) modems.Identity {
	m, err := b.Modem()
	if err != nil {
		return modems.Identity{} // none is attached
	}
	return m.Identity()
}

// bridgeConfig makes of the configuration what package bridge wants.
func (c *Config) bridgeConfig(log *slog.Logger, g *globals) (bridge.Config, error) {
	up, err := c.upRoutes()
	if err != nil {
		return bridge.Config{}, err
	}
	if err := c.checkLoops(modems.Identity{}); err != nil {
		return bridge.Config{}, usagef("routes: %w", err)
	}
	cfg := bridge.Config{
		Path: c.Path.Mode,
		Up:   up,
		Local: bridge.LocalConfig{
			Broker: c.LocalBroker(), Listen: c.Local.Listen, WebSocket: c.Local.WebSocket,
			Username: c.Local.Username, Password: c.Local.Password.Reveal(), Log: log,
		},
		Queue: bridge.OutboxConfig{
			Dir: c.Queue.Dir, MaxBytes: int64(c.Queue.MaxBytes), MaxMessages: c.Queue.MaxMessages,
			DropOldest: c.Queue.Full == "drop-oldest", Sync: time.Duration(c.Queue.Sync), MaxAge: time.Duration(c.Queue.MaxAge), Log: log,
		},
		Log: log,
	}
	if m := c.Modem; m != nil {
		way := newLine(m, log)
		options := c.modemOptions(wireTap(g.stderr, c.Log.Wire), func(text string) { log.Debug(text) })
		options.BaudUp = int(m.BaudUp) // not worth it for one command of a person's
		cfg.Modem = &bridge.ModemConfig{
			Port:    m.Port,
			Open:    way.open,
			Search:  way.search,
			Reset:   m.resetter(),
			Options: options,

			MaxResetsPerHour: m.MaxResetsPerHour,
		}
	}
	return cfg, nil
}

// target is where the messages go once the modem is known.
func (c *Config) target(id modems.Identity) (bridge.Target, error) {
	vals := standFor(id)
	var t bridge.Target
	for _, broker := range c.Brokers() {
		m, err := c.MQTT(broker, vals)
		if err != nil {
			return t, err
		}
		t.Brokers = append(t.Brokers, m)
	}
	var err error
	_, t.Down, err = c.BridgeRoutes(vals)
	t.Topic = func(topic string) string {
		filled, err := expand(topic, vals)
		if err != nil {
			return topic // a brace that a local client has published
		}
		return filled
	}
	return t, err
}

// upRoutes keep their placeholders: a message may be accepted before the modem has said its IMEI.
func (c *Config) upRoutes() (bridge.Routes, error) {
	var up bridge.Routes
	for i, r := range c.Routes.Up {
		b := r.bridge()
		if err := b.Validate(); err != nil {
			return nil, usagef("routes.up[%d]: %w", i, err)
		}
		up = append(up, b)
	}
	return up, nil
}

// standFor says what {imei} and its like stand for.
func standFor(id modems.Identity) map[string]string {
	vals := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			vals[name] = value
		}
	}
	set("imei", id.IMEI)
	set("iccid", id.ICCID)
	if host, err := os.Hostname(); err == nil {
		set("hostname", host)
	}
	for _, file := range []string{"/sys/firmware/devicetree/base/serial-number", "/sys/class/dmi/id/product_serial"} {
		if b, err := os.ReadFile(file); err == nil {
			set("serial", strings.Trim(string(b), "\x00\n "))
			break
		}
	}
	return vals
}
