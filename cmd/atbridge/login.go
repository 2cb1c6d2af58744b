package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems"
)

// login is what a session with a platform needs beyond the configuration: the time, what registration has handed out,
// and a token that is still good. The supervisor calls prepare, then target, one at a time.
type login struct {
	log         *slog.Logger
	now         func() time.Time // this machine's clock
	sure        func() bool      // somebody has set it
	conventions *conventions

	network time.Time     // what the modem's clock said, where this machine's is of no use
	read    time.Time     // when it said so, by this machine's
	token   cloud.Easemob // with the last token
	renews  time.Time     // when the token is to be replaced
}

func newLogin(log *slog.Logger) *login {
	return &login{log: log, now: time.Now, sure: synchronised, conventions: newConventions(log)}
}

// renewal is the part of a login's life after which a new session takes over.
const renewal = 0.9

// prepare gets over the network what the platform asks for at login.
func (l *login) prepare(ctx context.Context, c *Config, o bridge.Outside) error {
	l.setClock(ctx, o)
	vals := standFor(o.ID)
	switch p, err := c.platform(vals); p := p.(type) {
	case cloud.Registrable:
		if err != nil || c.register().how == "none" {
			return err
		}
		_, err = l.register(ctx, c, p, o)
		return err
	case cloud.Easemob:
		if err != nil || c.Cloud.Password != "" || l.now().Before(l.renews) && l.token.Username == p.Username {
			return err
		}
		return l.fetch(ctx, c, p, o)
	default:
		return err
	}
}

// loginOnce is where one session of a person's goes, over m or, if that is nil, the machine's own network. It registers no
// device: that is done by provision and run.
func (c *Config) loginOnce(ctx context.Context, m *modems.Modem, id modems.Identity) (bridge.Target, error) {
	l, outside := newLogin(slog.New(slog.DiscardHandler)), bridge.OutsideOf(m)
	l.setClock(ctx, outside)
	if c.Cloud.Easemob != nil {
		if err := l.prepare(ctx, c, outside); err != nil {
			return bridge.Target{}, err
		}
	}
	return l.target(c, id)
}

// register returns the identity of device: what has been stored, or else what the platform hands out now.
func (l *login) register(ctx context.Context, c *Config, device cloud.Registrable, o bridge.Outside) (*cloud.Identity, error) {
	stored, err := c.stored(device)
	if err != nil || stored != nil {
		return stored, err
	}
	how, file := c.register(), c.identityOf(device)
	files, err := c.certificates(nil)
	if err != nil {
		return nil, err
	}
	place, err := cloud.Reserve(file)
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	product, name := device.Names()
	l.sayBypass(o, "the device is registered")
	l.log.Info("registering with "+device.Rules().Name, "product", product, "device", name)
	r := cloud.Registration{
		Device: device, How: how.how, ProductSecret: how.secret.Reveal(),
		Dial: o.Dial, TLS: *files, Clock: l.time, Place: place,
	}
	i, err := r.Register(ctx)
	if err = errors.Join(err, place.Release()); err == nil {
		l.log.Info("registered; the product's secret can be removed from the configuration", "device", name, "stored", file)
	}
	return &i, err
}

// sayBypass warns of a way that whoever has configured a modem does not expect.
func (l *login) sayBypass(o bridge.Outside, what string) {
	if o.Bypass {
		l.log.Warn(what + " over this machine's own network: the module has no sockets")
	}
}

// stored is what has been handed out to device before; nil: nothing, and there is what it takes to register it.
func (c *Config) stored(device cloud.Registrable) (*cloud.Identity, error) {
	file := c.identityOf(device)
	i, err := cloud.LoadIdentity(file)
	switch {
	case err != nil:
		return nil, withCode(exitRefused, err)
	case i.Of(device):
		return i, nil
	case c.register().secret == "":
		_, name := device.Names()
		return nil, usagef("cloud.%s.product_secret is missing, and device %s is not registered yet (there is no %s)", c.Platform(), name, file)
	}
	return nil, nil
}

// identityOf is the file for device: one each, so that another modem, and with it another name, spoils none.
func (c *Config) identityOf(device cloud.Registrable) string {
	product, name := device.Names()
	return filepath.Join(c.Queue.Dir, "identity-"+url.PathEscape(product+"."+name)+".json")
}

// anyIdentity reports whether some device has been registered here.
func (c *Config) anyIdentity() bool {
	found, err := filepath.Glob(filepath.Join(c.Queue.Dir, "identity-*.json"))
	return err == nil && len(found) > 0
}

// registered is device with what registration has handed out to it.
func (c *Config) registered(device cloud.Registrable) (cloud.Platform, error) {
	i, err := cloud.LoadIdentity(c.identityOf(device))
	if err != nil {
		return device, withCode(exitUsage, err)
	}
	if !i.Of(device) {
		_, name := device.Names()
		return device, usagef("device %s is not registered yet; run atbridge provision", name)
	}
	return device.With(*i), nil
}

// tokenSource is where Easemob's tokens come from.
func (c *Config) tokenSource(vals map[string]string, dial cloud.Dial) (cloud.EasemobTokens, error) {
	f := &filler{vals: vals}
	e := filled(f, "cloud.easemob", c.Cloud.Easemob)
	return cloud.EasemobTokens{
		API: e.APIURL, AppID: e.AppID, ClientID: e.ClientID, ClientSecret: e.ClientSecret.Reveal(), Dial: dial, CAFile: c.caFile(),
	}, f.err
}

func (c *Config) caFile() string {
	if c.Cloud.TLS.CAFile == "" {
		return ""
	}
	return c.beside(c.Cloud.TLS.CAFile)
}

func (l *login) fetch(ctx context.Context, c *Config, p cloud.Easemob, o bridge.Outside) error {
	l.sayBypass(o, "Easemob is asked for its tokens")
	asked := l.now() // the token may have begun to live any time after this, however long its way here takes
	source, err := c.tokenSource(standFor(o.ID), o.Dial)
	if err != nil {
		return err
	}
	source.Clock = l.time
	fresh, lived, err := source.Fetch(ctx, p)
	if err != nil {
		return err
	}
	if lived <= 0 {
		return errors.New("Easemob has given a token that has already ended")
	}
	l.token, l.renews = fresh, asked.Add(part(lived))
	l.log.Info("Easemob has given a token", "user", p.Username, "for", lived)
	return nil
}

func part(life time.Duration) time.Duration { return time.Duration(float64(life) * renewal) }

// target is where the messages go, once the time is known where somebody needs it.
func (l *login) target(c *Config, id modems.Identity) (bridge.Target, error) {
	t, err := l.brokers(c, id)
	for i := range t.Brokers {
		t.Brokers[i].Clock = l.time
	}
	return t, err
}

func (l *login) brokers(c *Config, id modems.Identity) (bridge.Target, error) {
	t, err := c.target(id)
	if err != nil || c.Platform() == "" {
		return t, err
	}
	vals := standFor(id)
	p, err := c.platform(vals)
	if err != nil {
		return t, err
	}
	if err := l.conventions.use(c, p, vals); err != nil {
		return t, err
	}
	if device, ok := p.(cloud.Registrable); ok && c.register().how != "none" {
		if p, err = c.registered(device); err != nil {
			return t, err
		}
	}
	rules := p.Rules()
	t.Fits = rules.Check
	check := rules.Keys
	var own *modems.AliyunAuth
	switch device := p.(type) {
	case cloud.Aliyun:
		if device.Token == nil {
			own = &modems.AliyunAuth{ClientID: device.Name(), ProductKey: device.ProductKey, DeviceName: device.DeviceName, DeviceSecret: device.DeviceSecret}
		}
	case cloud.Easemob:
		if c.Cloud.Password == "" {
			p, t.Until = l.token, l.renews
		} else {
			check = "cloud.password, and cloud.easemob.username and device_id"
		}
	}
	now := l.clock()
	params, err := p.Params(now)
	if err == nil {
		err = params.CheckClock(now)
	}
	if err != nil {
		return t, err
	}
	if err := rules.CheckClientID(params.ClientID); err != nil {
		return t, usagef("%w", err)
	}
	if !params.Expires.IsZero() {
		t.Until = l.now().Add(part(params.Expires.Sub(now)))
	}
	m, err := c.session(params, vals)
	if err != nil {
		return t, err
	}
	m.Aliyun = own
	t.Brokers = []modems.MQTTConfig{m}
	t.Refused = func(why error) error {
		l.renews = time.Time{} // the next session asks for a new token
		return fmt.Errorf("%w; check %s", why, check)
	}
	return t, nil
}
