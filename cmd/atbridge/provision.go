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
It goes over the modem, where one is configured. run does the same at its first start. A device that is registered is not
registered again; the product's secret can then be removed from the configuration.`,
		Args: onlyConfig,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load(needFile | needPath | needCloud)
			if err != nil {
				return err
			}
			if a := c.Cloud.Aliyun; a == nil || a.Register == "none" {
				return usagef("there is nothing to register: cloud.aliyun.register is not set")
			}
			device, err := g.provision(cmd, c)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s of product %s is registered (%s)\n", device.DeviceName, device.ProductKey, c.identityOf(device))
			return err
		},
	}
}

// provision registers the device unless it is registered already.
func (g *globals) provision(cmd *cobra.Command, c *Config) (cloud.Aliyun, error) {
	var known modems.Identity
	p, err := c.platform(standFor(known))
	if device, ok := p.(cloud.Aliyun); ok && err == nil {
		if _, err := c.registered(device); err == nil {
			return device, nil
		}
	}
	if c.Modem == nil || c.Path.Mode == "host" {
		return g.registerOver(cmd.Context(), c, bridge.OutsideOf(nil))
	}
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return cloud.Aliyun{}, err
	}
	if daemon != nil {
		return cloud.Aliyun{}, withCode(exitPort, errors.New("the daemon holds the modem and registers the device itself; see atbridge status"))
	}
	waiting := newProgress(cmd.ErrOrStderr())
	defer waiting.end()
	m, err := c.attach(cmd.Context(), cmd.ErrOrStderr(), waiting)
	if err != nil {
		return cloud.Aliyun{}, err
	}
	defer m.Close()
	if err := m.Online(cmd.Context()); err != nil {
		return cloud.Aliyun{}, modemError(err)
	}
	waiting.say("registering with the platform")
	return g.registerOver(cmd.Context(), c, bridge.OutsideOf(m))
}

func (g *globals) registerOver(ctx context.Context, c *Config, o bridge.Outside) (cloud.Aliyun, error) {
	p, err := c.platform(standFor(o.ID))
	if err != nil {
		return cloud.Aliyun{}, err
	}
	return p.(cloud.Aliyun), newLogin(g.logger(c)).prepare(ctx, c, o)
}
