package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems"
)

func newProvisionCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "provision --config FILE",
		Example: "  atbridge provision --config atbridge.yaml",
		Short:   "Register the device with the cloud and store what it answers",
		Long: `Register the device with the cloud by its product's secret and store what it answers, in queue.dir, for this user alone.
It goes over the modem, where one with sockets is configured, else over this machine's own network. run does the same at its
first start. A device that is registered is not registered again; the product's secret can then be removed from the
configuration.`,
		Args: onlyConfig,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load(needFile | needPath | needCloud)
			if err != nil {
				return err
			}
			if c.register().how == "none" {
				return usagef("there is nothing to register: neither cloud.aliyun.register nor cloud.tencent.register is set")
			}
			device, err := g.provision(cmd, c)
			if err != nil {
				return err
			}
			product, name := device.Names()
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s of product %s is registered (%s)\n", name, product, c.identityOf(device))
			return err
		},
	}
}

// provision registers the device unless it is registered already.
func (g *globals) provision(cmd *cobra.Command, c *Config) (cloud.Registrable, error) {
	var known modems.Identity
	p, err := c.platform(standFor(known))
	if device, ok := p.(cloud.Registrable); ok && err == nil {
		if stored, err := c.stored(device); err != nil || stored != nil {
			return device, err
		}
	}
	if c.Modem == nil || c.Path.Mode == "host" {
		return g.registerOver(cmd.Context(), c, bridge.OutsideOf(nil))
	}
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return nil, err
	}
	if daemon != nil {
		return nil, withCode(exitPort, errors.New("the daemon holds the modem and registers the device itself; see atbridge status"))
	}
	waiting := newProgress(cmd.ErrOrStderr())
	defer waiting.end()
	m, err := c.attach(cmd.Context(), cmd.ErrOrStderr(), waiting)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := m.Online(cmd.Context()); err != nil {
		return nil, modemError(err)
	}
	waiting.say("registering with the platform")
	return g.registerOver(cmd.Context(), c, bridge.OutsideOf(m))
}

func (g *globals) registerOver(ctx context.Context, c *Config, o bridge.Outside) (cloud.Registrable, error) {
	p, err := c.platform(standFor(o.ID))
	if err != nil {
		return nil, err
	}
	device := p.(cloud.Registrable)
	l := newLogin(g.logger(c))
	l.setClock(ctx, o)
	_, err = l.register(ctx, c, device, o)
	return device, err
}
