package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/atcmd/tty"
	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/mqtt"
	"github.com/atbridge/atbridge/modems"
	"github.com/atbridge/atbridge/modems/modemsim"
)

const (
	demoBaud     = 115200
	demoRTT      = 60 * time.Millisecond
	demoPatience = 15 * time.Second // to come online, and for the last messages to arrive
)

// withSockets is what stands in on path tcp for a module whose firmware has no sockets.
var withSockets = map[string]string{"nt35e": "nt35e-q"}

func newDemoCmd(g *globals) *cobra.Command {
	var model, path string
	var length time.Duration
	var quiet bool
	cmd := &cobra.Command{
		Use:   "demo [--modem ec600|nt35e|air724ug] [--path native|tcp] [--for 20s] [--quiet]",
		Short: "Show the main job with nothing but this program",
		Long: `Show the main job with nothing but this program: a simulated modem on a pseudo-terminal, a "cloud" broker, the
bridge between them with its local broker, and a sensor that publishes once a second. It ends with a summary, and with
exit code 0 only if nothing is missing.`,
		Example: "  atbridge demo --for 20s\n  atbridge demo --modem nt35e",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(modemsim.Models(), model) {
				return usagef("--modem %s: there is no such simulated modem; there are: %s", model, strings.Join(modemsim.Models(), ", "))
			}
			if path != "native" && path != "tcp" {
				return usagef("--path %s: there are native and tcp", path)
			}
			if length < time.Second {
				return usagef("--for must be 1s at least")
			}
			d := &demo{out: cmd.OutOrStdout(), quiet: quiet, start: time.Now(), sentAt: map[int]time.Time{}, arrived: map[int]int{}}
			if f, ok := d.out.(*os.File); ok && isTerminal(f) && !g.plain() {
				d.colour = true
			}
			if err := d.run(cmd.Context(), model, path, length, g.logger(&Config{Log: Log{Level: "warn"}})); err != nil {
				return err
			}
			return d.summary(cmd.Context().Err() != nil)
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "modem", "ec600", "which modem is simulated: "+strings.Join(modemsim.Models(), ", "))
	f.StringVar(&path, "path", "native", "who encodes MQTT: native, the module, or tcp, this program")
	f.DurationVar(&length, "for", 20*time.Second, "how long the sensor publishes")
	f.BoolVar(&quiet, "quiet", false, "print only the summary")
	return cmd
}

// demo is one run, and what it has seen.
type demo struct {
	out    io.Writer
	quiet  bool
	colour bool
	start  time.Time

	mu       sync.Mutex
	sentAt   map[int]time.Time
	arrived  map[int]int // how often each reading came to the cloud
	delays   []time.Duration
	commands int // sent down by the cloud
	obeyed   int // arrived at the local side
	unknown  int // arrived, and was never sent
}

// run sets everything up, lets the sensor publish for length, and waits until all has arrived or patience ends.
func (d *demo) run(ctx context.Context, model, path string, length time.Duration, log *slog.Logger) (err error) {
	dir, err := os.MkdirTemp("", "atbridge-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	cloud, err := bridge.StartLocal(bridge.LocalConfig{Listen: "127.0.0.1:0", Log: log}, d.cloudReceives)
	if err != nil {
		return err
	}
	defer cloud.Close()
	named := model
	if q := withSockets[model]; q != "" && path == "tcp" {
		model, named = q, fmt.Sprintf("%s (%s has no sockets; this is the same module with the firmware that has)", q, model)
	}
	sim, err := modemsim.Start(modemsim.Config{Model: model, Baud: demoBaud, RTT: demoRTT})
	if err != nil {
		return err
	}
	defer sim.Close()
	d.say("demo", "a simulated %s on %s, %d baud, %v round trip; the cloud is a broker on %s", named, sim.Path(), demoBaud, demoRTT, cloud.Addr())

	b, err := bridge.New(d.config(cloud.Addr(), sim.Path(), path, dir, log))
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- b.Run(running) }()
	defer func() {
		stop()
		if why := <-ended; why != nil {
			err = why // whatever else went wrong came of it
		}
	}()

	house, err := dialLocal(ctx, b.LocalAddr())
	if err != nil {
		return err
	}
	defer house.Close(context.WithoutCancel(ctx))
	if err := house.Subscribe(ctx, "commands/#", 1); err != nil {
		return err
	}
	go d.houseReceives(ctx, house)
	d.say("demo", "a sensor publishes to the local broker on %s once a second", b.LocalAddr())
	if err := d.publish(ctx, house, cloud, b, length); err != nil {
		return err
	}
	d.waitFor(ctx, d.complete)
	return nil
}

func (d *demo) config(cloud, port, path, dir string, log *slog.Logger) bridge.Config {
	host, number, _ := net.SplitHostPort(cloud) // an address that a listener has given
	n, _ := strconv.Atoi(number)
	return bridge.Config{
		Path: path,
		Up:   bridge.Routes{{From: "sensors/#", To: "site7/sensors/#", QoS: 1}},
		Target: func(modems.Identity) (bridge.Target, error) {
			return bridge.Target{
				Brokers: []modems.MQTTConfig{{Host: host, Port: n, ClientID: "site7", KeepAlive: 2 * time.Minute}},
				Down:    bridge.Routes{{From: "site7/commands/#", To: "commands/#", QoS: 1}},
			}, nil
		},
		Local: bridge.LocalConfig{Listen: "127.0.0.1:0", Log: log},
		Queue: bridge.OutboxConfig{Dir: dir, Log: log},
		Log:   log,
		Modem: &bridge.ModemConfig{
			Port: port,
			Open: func(context.Context) (io.ReadWriteCloser, string, error) {
				p, err := tty.Open(port, demoBaud)
				if err != nil {
					return nil, "", err
				}
				return p, "", nil
			},
			Options: modems.Options{Driver: "auto", Tap: d.wire},
		},
		Changed: func(s bridge.State, reason string) { d.say("bridge", "%s %s", s, reason) },
	}
}

// dialLocal connects a local client, such as a sensor would be.
func dialLocal(ctx context.Context, addr string) (modems.Session, error) {
	return mqtt.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}, modems.MQTTConfig{Host: "127.0.0.1", ClientID: "sensor", KeepAlive: time.Minute, CleanSession: true})
}

// publish sends a reading each second, and a command from the cloud once the bridge is online.
func (d *demo) publish(ctx context.Context, house modems.Session, cloud *bridge.Local, b *bridge.Bridge, length time.Duration) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	end := time.NewTimer(length)
	defer end.Stop()
	commanded := false
	for n := 1; ; n++ {
		payload := fmt.Sprintf(`{"n":%d,"celsius":%.1f}`, n, 21+float64(n%7)/10)
		d.mu.Lock()
		d.sentAt[n] = time.Now()
		d.mu.Unlock()
		d.say("sensor", "sensors/temperature %s", payload)
		if _, err := house.Publish(ctx, modems.Message{Topic: "sensors/temperature", Payload: []byte(payload), QoS: 1}); err != nil {
			return fmt.Errorf("the sensor: %w", err)
		}
		if !commanded && b.Status().State == bridge.Online {
			commanded = true
			if err := d.command(cloud); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-end.C:
			if commanded {
				return nil
			}
			if d.waitFor(ctx, func() bool { return b.Status().State == bridge.Online }); b.Status().State == bridge.Online {
				return d.command(cloud)
			}
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *demo) command(cloud *bridge.Local) error {
	m := modems.Message{Topic: "site7/commands/lamp", Payload: []byte("on"), QoS: 1}
	d.mu.Lock()
	d.commands++
	d.mu.Unlock()
	d.say("cloud", "sends down %s %s", m.Topic, m.Payload)
	return cloud.Deliver(context.Background(), m)
}

// cloudReceives is the cloud: it acknowledges everything and counts what it knows.
func (d *demo) cloudReceives(m modems.Message, done func(error)) bool {
	now := time.Now()
	var n int
	_, err := fmt.Sscanf(string(m.Payload), `{"n":%d,`, &n)
	d.mu.Lock()
	at, sent := d.sentAt[n]
	if err != nil || !sent {
		d.unknown++
	} else if d.arrived[n]++; d.arrived[n] == 1 {
		d.delays = append(d.delays, now.Sub(at))
	}
	d.mu.Unlock()
	d.say("cloud", "has %s %s (%v after the sensor)", m.Topic, m.Payload, now.Sub(at).Round(time.Millisecond))
	done(nil)
	return true
}

func (d *demo) houseReceives(ctx context.Context, house modems.Session) {
	for {
		got, err := house.Receive(ctx)
		if err != nil {
			return
		}
		d.mu.Lock()
		d.obeyed++
		d.mu.Unlock()
		d.say("local", "%s %s has arrived", got.Message().Topic, got.Message().Payload)
		if err := got.Ack(); err != nil {
			return
		}
	}
}

func (d *demo) complete() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.arrived) == len(d.sentAt) && d.obeyed >= d.commands
}

// waitFor looks again until done says so, ctx ends, or patience does.
func (d *demo) waitFor(ctx context.Context, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
