package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/atbridge/atbridge/bridge/cloud"
	"github.com/atbridge/atbridge/modems"
)

func newCredentialsCmd(g *globals) *cobra.Command {
	var id modems.Identity
	var at int64
	var asJSON, reveal bool
	cmd := &cobra.Command{
		Use:   "credentials [--json] [--at UNIX_SECONDS] [--show-secrets]",
		Short: "Compute what the configured cloud is told at login; connects to nothing",
		Long: `Compute what the configured cloud is told at login: host, port, client id, user name, password. It connects to
nothing; where a name holds {imei} or {iccid}, the daemon or else the modem is asked for it, unless --imei and --iccid say it.`,
		Example: "  atbridge credentials --config atbridge.yaml --at 1700000000 --show-secrets --json",
		Args:    onlyConfig,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load(needFile | needCloud)
			if err != nil {
				return err
			}
			now := g.now()
			if cmd.Flags().Changed("at") {
				now = time.Unix(at, 0)
			}
			p, err := g.credentials(cmd, c, id, now)
			if err != nil {
				return err
			}
			if err := p.CheckClock(now); err != nil && !cmd.Flags().Changed("at") {
				return usagef("%w; or give --at UNIX_SECONDS", err)
			}
			if e := c.Cloud.Easemob; p.Password == "" && e != nil {
				from := cloud.EasemobTokens{API: e.APIURL, AppID: e.AppID}.URL()
				fmt.Fprintln(cmd.ErrOrStderr(), "atbridge: the password is a token that run fetches from "+from)
			}
			return printCredentials(cmd.OutOrStdout(), p, asJSON, reveal)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "as JSON")
	f.BoolVar(&reveal, "show-secrets", false, "print the password too")
	f.Int64Var(&at, "at", 0, "as of this time, in `UNIX_SECONDS`; else now")
	f.StringVar(&id.IMEI, "imei", "", "what {imei} stands for, instead of asking the modem")
	f.StringVar(&id.ICCID, "iccid", "", "what {iccid} stands for, instead of asking the modem")
	return cmd
}

// credentials are those of the platform, or of the first broker.
func (g *globals) credentials(cmd *cobra.Command, c *Config, id modems.Identity, now time.Time) (cloud.Params, error) {
	p, err := c.params(standFor(id), now)
	var unknown unknownName
	if !errors.As(err, &unknown) || c.Modem == nil || unknown != "{imei}" && unknown != "{iccid}" {
		return p, err
	}
	known, err := g.identity(cmd, c, unknown)
	if err != nil {
		return p, err
	}
	if id.IMEI == "" {
		id.IMEI = known.IMEI
	}
	if id.ICCID == "" {
		id.ICCID = known.ICCID
	}
	return c.params(standFor(id), now)
}

// params is the login as far as it can be computed without the network.
func (c *Config) params(vals map[string]string, now time.Time) (cloud.Params, error) {
	if c.Platform() == "" {
		m, err := c.MQTT(c.Brokers()[0], vals)
		return cloud.Params{Host: m.Host, Port: m.Port, TLS: m.TLS != nil, ClientID: m.ClientID, Username: m.Username, Password: m.Password}, err
	}
	p, err := c.platform(vals)
	if err != nil {
		return cloud.Params{}, err
	}
	if device, ok := p.(cloud.Registrable); ok && c.register().how != "none" {
		if p, err = c.registered(device); err != nil {
			return cloud.Params{}, err
		}
	}
	params, err := p.Params(now)
	if err == nil {
		err = p.Rules().CheckClientID(params.ClientID)
	}
	return params, withCode(exitUsage, err)
}

// identity asks for what only the modem knows: the daemon that holds it, or else the modem itself.
func (g *globals) identity(cmd *cobra.Command, c *Config, wanted unknownName) (modems.Identity, error) {
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return modems.Identity{}, err
	}
	if daemon != nil {
		s, err := daemon.Status(cmd.Context())
		if err != nil {
			return modems.Identity{}, withCode(exitPort, err)
		}
		return modems.Identity{IMEI: s.Modem.IMEI, ICCID: s.Modem.ICCID}, nil
	}
	waiting := newProgress(cmd.ErrOrStderr())
	defer waiting.end()
	m, err := c.attach(cmd.Context(), cmd.ErrOrStderr(), waiting)
	if err != nil {
		return modems.Identity{}, fmt.Errorf("%s has to be asked of the modem: %w; or give --imei and --iccid", string(wanted), err)
	}
	defer m.Close()
	if err := m.AskICCID(cmd.Context()); err != nil && wanted == "{iccid}" {
		return modems.Identity{}, modemError(fmt.Errorf("asking the modem for {iccid}: %w; or give --iccid", err))
	}
	return m.Identity(), nil
}

// printedParams are Params in JSON. The password stands there only if it was asked for.
type printedParams struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	TLS      bool   `json:"tls"`
	ClientID string `json:"client_id"`
	Username string `json:"username"`
	Password string `json:"password,omitempty"`
}

func printCredentials(w io.Writer, p cloud.Params, asJSON, reveal bool) error {
	shown := printedParams{p.Host, p.Port, p.TLS, p.ClientID, p.Username, ""}
	if reveal {
		shown.Password = p.Password
	}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false) // a user name holds &
		return enc.Encode(shown)
	}
	if !reveal && p.Password != "" {
		shown.Password = mask + " (--show-secrets prints it)"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "host\t%s\nport\t%d\ntls\t%v\nclient id\t%s\nuser name\t%s\npassword\t%s\n",
		shown.Host, shown.Port, shown.TLS, shown.ClientID, shown.Username, shown.Password)
	return t.Flush()
}
