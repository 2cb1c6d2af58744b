package modems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/atbridge/atbridge/atcmd"
)

// Info is what a person wants to know of a modem. Its JSON is what `atbridge info --json` prints.
type Info struct {
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Revision     string `json:"revision"`
	IMEI         string `json:"imei"`

	Driver  string `json:"driver"`
	Flavour string `json:"flavour"` // of the firmware; empty: the driver knows one only
	Checked string `json:"checked"` // what the support of this modem rests on

	SIM   string `json:"sim"` // READY, SIM PIN, ..., or why there is none
	ICCID string `json:"iccid"`

	Registration string `json:"registration"` // in words
	Registered   bool   `json:"registered"`
	Roaming      bool   `json:"roaming"`
	Operator     string `json:"operator"`
	RSSI         int    `json:"rssi_dbm"` // 0: not known
	Signal       string `json:"signal"`   // in words
	Address      string `json:"address"`  // of the PDP context; empty: it is not up

	Paths []PathInfo `json:"paths"`
}

// PathInfo is one way in which this modem carries MQTT. Zero limits are no limits.
type PathInfo struct {
	Path    string `json:"path"` // native, tcp
	Topic   int    `json:"topic_bytes"`
	Payload int    `json:"payload_bytes"`
	Window  int    `json:"window"`
	Sockets int    `json:"sockets"`
	TLS     string `json:"tls"`
	Note    string `json:"note"`
}

// nativeNote is what no driver can mend: see the package comment.
const nativeNote = "the module acknowledges what comes from the broker before the host has it"

// Info asks the modem and changes nothing: it enters no PIN and brings nothing up. What the modem refuses to say stays
// empty.
func (m *Modem) Info(ctx context.Context) (Info, error) {
	id := m.Identity()
	i := Info{
		Manufacturer: id.Manufacturer, Model: id.Model, Revision: id.Revision, IMEI: id.IMEI,
		Driver: m.driver.Name, Flavour: m.driver.Flavour, Checked: m.driver.Checked,
	}
	for _, part := range []func(context.Context, *Info) error{m.infoSIM, m.infoNetwork, m.infoAddress, m.infoPaths} {
		if err := part(ctx, &i); err != nil {
			return i, err
		}
	}
	return i, nil
}

func (m *Modem) infoSIM(ctx context.Context, i *Info) error {
	r, err := m.Do(ctx, atcmd.Read("+CPIN").WithTimeout(cpinTime))
	var cme atcmd.CMEError
	switch {
	case errors.As(err, &cme):
		i.SIM = cmp.Or(cme.Words(), cme.Error())
	case atcmd.Refused(err):
		i.SIM = "the modem does not say"
	case err != nil:
		return fmt.Errorf("asking for the SIM: %w", err)
	default:
		i.SIM = bare(r, "+CPIN")
	}
	i.ICCID = m.Identity().ICCID
	if i.ICCID == "" && i.SIM == "READY" && m.driver.ICCID != nil {
		if i.ICCID, err = m.driver.ICCID(ctx, m); err != nil && !atcmd.Refused(err) {
			return fmt.Errorf("asking for the SIM's number: %w", err)
		}
	}
	return nil
}

func (m *Modem) infoNetwork(ctx context.Context, i *Info) error {
	stat, err := m.registration(ctx)
	if err != nil && !errors.Is(err, errNoRegistration) {
		return fmt.Errorf("asking for the registration: %w", err)
	}
	i.Registration, i.Registered, i.Roaming = "the modem does not say", registered(stat), stat == 5
	if err == nil {
		i.Registration = words(registrationWords, stat)
	}
	if err := m.survey(ctx); err != nil {
		return err
	}
	n := m.Network()
	i.Operator, i.RSSI, i.Signal = n.Operator, n.RSSI, SignalWords(n.RSSI)
	return nil
}

// infoAddress reads the addresses of all contexts (27.007 10.1.14), where nobody has brought one up through m.
func (m *Modem) infoAddress(ctx context.Context, i *Info) error {
	if i.Address = m.Network().Address; i.Address != "" {
		return nil
	}
	r, err := m.Do(ctx, atcmd.Exec("+CGPADDR"))
	if err != nil && !atcmd.Refused(err) {
		return fmt.Errorf("asking for the address: %w", err)
	}
	for _, l := range r.Info {
		_, p, err := atcmd.ParseParams(l.Head)
		a, _, _ := strings.Cut(strings.TrimPrefix(p.Text(1), "IPV4:"), " ") // AirM2M: IPV4:10.7.157.1    IPV6:::1
		if err == nil && strings.Trim(a, "0.:") != "" {
			i.Address = a
			return nil
		}
	}
	return nil
}

func (m *Modem) infoPaths(ctx context.Context, i *Info) error {
	i.Paths = []PathInfo{}
	has := m.driver.MQTT != nil
	if ask := m.driver.HasMQTT; has && ask.Line != "" {
		var err error
		if has, err = m.accepts(ctx, ask); err != nil {
			return fmt.Errorf("asking for the MQTT stack: %w", err)
		}
	}
	if has {
		l := m.driver.MQTT.Limits()
		i.Paths = append(i.Paths, PathInfo{Path: "native", Topic: l.Topic, Payload: l.Payload, Window: l.Window, TLS: m.driver.TLS, Note: nativeNote})
	}
	if n := m.Sockets(); n > 0 {
		i.Paths = append(i.Paths, PathInfo{Path: "tcp", Sockets: n, TLS: "this program's"})
	}
	return nil
}

// registrationWords are the <stat> of +CREG, +CGREG and +CEREG (27.007 7.2, 10.1.20, 10.1.22).
var registrationWords = map[int]string{
	0:  "not registered, and not searching",
	1:  "registered, at home",
	2:  "not registered, searching",
	3:  "the network denies it",
	4:  "unknown; perhaps out of coverage",
	5:  "registered, roaming",
	6:  "registered for SMS only, at home",
	7:  "registered for SMS only, roaming",
	8:  "emergency calls only",
	9:  "registered, at home, without CSFB",
	10: "registered, roaming, without CSFB",
}

// SignalWords says how good a signal is; dBm 0: not known.
func SignalWords(dBm int) string {
	switch {
	case dBm == 0:
		return "not known"
	case dBm >= -63:
		return "excellent"
	case dBm >= -73:
		return "good"
	case dBm >= -83:
		return "fair"
	case dBm >= -97:
		return "poor"
	}
	return "hardly any"
}
