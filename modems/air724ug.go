package modems

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// The Air724UG of AirM2M (Luat) and what speaks as it does: the Unisoc 8910 modules, and their successors of EigenComm.
// Sources, named in the files of the family by these keys:
//
//	MQTT, TCPIP, FS  the maker's AT Command Manual for Cat.1 modules, by chapter
//	FAQ              the maker's collected answers on MQTT and sockets
//	LOG              the maker's transcripts of an Air724UG (V409) and an Air780EP (V1007)
func init() {
	Register(&Driver{
		Name:     "air724ug",
		Title:    "AirM2M Air724UG, Air720U, Air780E and relatives with the AT firmware",
		TLS:      "1.2 with RSA ciphers, own authority and client certificate; dates are not checked",
		Checked:  "documentation and the maker's published logs of an Air724UG and an Air780EP, through the simulator; no module of our own yet",
		Models:   []string{"Air724", "Air720U", "Air722U", "Air820U", "Air780E", "Air700E", "Air600E"},
		Messages: "+MSUB:",
		Grammar:  luatGrammar(),
		Probe:    luatProbe,
		Activate: luatActivate, Deactivate: luatShut,
		ICCID:   luatICCID,
		Socket:  luatSockets{},
		HasMQTT: atcmd.Exec("+MQTTSTATU"),
		MQTT:    luatMQTT{payload: 4100, text: 2384, window: 1}, // MPUBEX; MPUB since V838; PUBACK bears no packet identifier

		Disruptive: []string{"+REBOOT", "+RESET", "+RSTSET", "+CPOWD", "+MCONFIG", "+MIPSTART", "+SSLMIPSTART", "+MIPCLOSE", "+MCONNECT", "+MDISCONNECT",
			"+MPUB", "+MPUBEX", "+MSUB", "+MUNSUB", "+MQTTMODE", "+MQTTMSGSET", "+SSLCFG", "+CIPSSL", "+FSCREATE", "+FSWRITE", "+SAPBR",
			"+CIPSTART", "+CIPCLOSE", "+CIPSHUT", "+CIPSEND", "+CIPQSEND", "+CIPRXGET", "+CIPMUX", "+CIPMODE", "+CSTT", "+CIICR"},
		Commands:  luatCommands,
		Results:   luatResults,
		Secretive: []Secretive{{"+CSTT", 1, true}, {"+MCONFIG", 1, true}},
	})
}

// luatProbe refuses the Lua firmware, which answers AT on its USB port but has no AT MQTT.
func luatProbe(_ context.Context, _ atcmd.Commander, id Identity) (*Driver, error) {
	if strings.HasPrefix(id.Revision, "LuatOS") {
		return nil, fmt.Errorf("%w: the module runs Lua scripts (%s), not the AT firmware; flash an AirM2M_..._AT firmware", ErrUnsupported, id.Revision)
	}
	return Lookup("air724ug"), nil
}

// luatICCID asks twice: the first AT+ICCID after power-on was answered with ERROR until firmware V301833.
func luatICCID(ctx context.Context, c atcmd.Commander) (string, error) {
	for again := true; ; again = false {
		r, err := c.Do(ctx, atcmd.Exec("+ICCID"))
		if err == nil || !again || !atcmd.Refused(err) {
			return bare(r, "+ICCID"), err
		}
	}
}

const (
	ciicrTimeout = 85 * time.Second // no maximum is documented; the network may take as long as for +CGACT
	shutTimeout  = 20 * time.Second
)

// luatActivate brings up the bearer as TCPIP tells it: CSTT, CIICR, CIFSR, each in its own state only. A bearer that has
// an address is left alone.
func luatActivate(ctx context.Context, m *Modem, pdp PDPConfig) (string, error) {
	if pdp.IP != "" && pdp.IP != "ipv4" {
		return "", fmt.Errorf("%w: modem.ip: AT+CSTT of this module brings up ipv4 only", ErrUnsupported)
	}
	for key, value := range map[string]string{"modem.apn": pdp.APN, "modem.apn_user": pdp.User, "modem.apn_password": pdp.Password} {
		if _, err := atcmd.Quote(value); err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrUnsupported, key, err)
		}
	}
	address, err := luatAddress(ctx, m)
	if err == nil && address != "" || err != nil && !atcmd.Refused(err) {
		return address, err
	}
	if err := luatShut(ctx, m); err != nil {
		return "", err
	}
	return luatBearer(ctx, m, pdp)
}

// luatShut ends all connections and the bearer.
func luatShut(ctx context.Context, m *Modem) error {
	shut := atcmd.Exec("+CIPSHUT").WithTimeout(shutTimeout)
	shut.Final = func(line string) (bool, error) { return line == "SHUT OK" || line == "OK", nil }
	return m.try(ctx, shut)
}

// luatBearer brings up the bearer from nothing, and returns its address.
func luatBearer(ctx context.Context, m *Modem, pdp PDPConfig) (string, error) {
	start := atcmd.Exec("+CSTT") // the network chooses the APN
	if pdp.APN != "" {
		start = atcmd.Set("+CSTT", pdp.APN, pdp.User, pdp.Password).WithSecret(pdp.Password)
	}
	for _, c := range []atcmd.Command{start, atcmd.Exec("+CIICR").WithTimeout(ciicrTimeout)} {
		if _, err := m.Do(ctx, c); err != nil {
			return "", err
		}
	}
	return luatAddress(ctx, m)
}

// luatAddress reads AT+CIFSR, whose answer is the bare address and nothing behind it.
func luatAddress(ctx context.Context, m *Modem) (string, error) {
	c := atcmd.Exec("+CIFSR")
	address := ""
	c.Final = func(line string) (bool, error) {
		if strings.Count(line, ".") == 3 && strings.Trim(line, "0123456789.") == "" {
			address = line
		} else if net.ParseIP(line) != nil {
			address = line
		}
		return address != "" || line == "OK", nil
	}
	_, err := m.Do(ctx, c)
	if err == nil && address == "" {
		err = errors.New("AT+CIFSR gave no address")
	}
	return address, err
}
