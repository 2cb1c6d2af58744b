package modems

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	attachTimeout = 75 * time.Second // CGATT, in a driver for NT26
	actTimeout    = 150 * time.Second
)

var (
	contextType = map[string]string{"": "IP", "ipv4": "IP", "ipv6": "IPV6", "ipv4v6": "IPV4V6"} // 27.007 10.1.1
	contextAuth = map[string]int{"": 0, "none": 0, "pap": 1, "chap": 2}                         // 27.007 10.1.31
)

// activate27007 attaches and brings up the PDP context. What stands is left alone. On LTE a change needs a detach,
// because the default bearer comes and goes with the attachment.
func activate27007(ctx context.Context, m *Modem, pdp PDPConfig) (string, error) {
	for _, setting := range [][2]string{{"modem.apn", pdp.APN}, {"modem.apn_user", pdp.User}, {"modem.apn_password", pdp.Password}} {
		if _, err := atcmd.Quote(setting[1]); err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrUnsupported, setting[0], err)
		}
	}
	states, err := contexts(ctx, m)
	if err != nil {
		return "", err
	}
	cid := chooseContext(states)
	right, err := contextRight(ctx, m, cid, pdp)
	if err != nil {
		return "", fmt.Errorf("asking for the APN: %w", err)
	}
	if !right {
		if err := setContext(ctx, m, cid, pdp); err != nil {
			return "", fmt.Errorf("setting the APN: %w", err)
		}
	}
	if err := attach(ctx, m); err != nil {
		return "", err
	}
	if !right { // attaching may have brought it up
		if states, err = contexts(ctx, m); err != nil {
			return "", err
		}
	}
	if !states[cid] {
		if _, err := m.Do(ctx, atcmd.Set("+CGACT", 1, cid).WithTimeout(actTimeout)); err != nil {
			return "", err
		}
	}
	return contextAddress(ctx, m, cid)
}

// contexts are those that are defined, and whether they are active (27.007 10.1.10).
func contexts(ctx context.Context, m *Modem) (map[int]bool, error) {
	r, err := m.Do(ctx, atcmd.Read("+CGACT").WithTimeout(actTimeout))
	if err != nil && !atcmd.Refused(err) {
		return nil, fmt.Errorf("asking for the data connection: %w", err)
	}
	states := map[int]bool{}
	for _, l := range r.Info {
		_, p, err := atcmd.ParseParams(l.Head)
		cid, errCID := p.Int(0)
		if err == nil && errCID == nil {
			states[cid] = p.Text(1) == "1"
		}
	}
	return states, nil
}

// chooseContext takes context 1, unless 0 is what the module uses (seen on early NT26).
func chooseContext(states map[int]bool) int {
	_, one := states[1]
	active, zero := states[0]
	if !states[1] && active || !one && zero {
		return 0
	}
	return 1
}

// contextLine is the line about one context in an answer; nil if there is none.
func contextLine(ctx context.Context, m *Modem, ask atcmd.Command, cid int) (atcmd.Params, error) {
	r, err := m.Do(ctx, ask)
	if err != nil && !atcmd.Refused(err) {
		return nil, err
	}
	for _, l := range r.Info {
		if _, p, err := atcmd.ParseParams(l.Head); err == nil && p.Text(0) == strconv.Itoa(cid) {
			return p, nil
		}
	}
	return nil, nil
}

// contextRight reports whether the module already has what pdp asks for. An empty APN asks for nothing.
func contextRight(ctx context.Context, m *Modem, cid int, pdp PDPConfig) (bool, error) {
	if pdp.APN == "" {
		return true, nil
	}
	p, err := contextLine(ctx, m, atcmd.Read("+CGDCONT"), cid)
	if err != nil || p.Text(1) != contextType[pdp.IP] || !strings.EqualFold(p.Text(2), pdp.APN) {
		return false, err
	}
	ask := atcmd.Read("+CGAUTH")
	ask.Private = true // the answer may hold the password that the module has, which may be an older one
	p, err = contextLine(ctx, m, ask, cid)
	if p == nil { // nothing is set, or nothing told
		return contextAuth[pdp.Auth] == 0, err
	}
	auth, errAuth := p.Int(1)
	same := p.Text(2) == pdp.User && p.Text(3) == pdp.Password
	return errAuth == nil && auth == contextAuth[pdp.Auth] && (auth == 0 || same), nil
}

// setContext detaches, and writes type, APN and authentication.
func setContext(ctx context.Context, m *Modem, cid int, pdp PDPConfig) error {
	if err := m.try(ctx, atcmd.Set("+CGATT", 0).WithTimeout(attachTimeout)); err != nil {
		return err
	}
	if _, err := m.Do(ctx, atcmd.Set("+CGDCONT", cid, contextType[pdp.IP], pdp.APN)); err != nil {
		return err
	}
	auth := contextAuth[pdp.Auth]
	if auth == 0 { // not every module has the command, and what it has may be of an earlier configuration
		return m.try(ctx, atcmd.Set("+CGAUTH", cid, 0))
	}
	_, err := m.Do(ctx, atcmd.Set("+CGAUTH", cid, auth, pdp.User, pdp.Password).WithSecret(pdp.Password))
	return err
}

// attach asks first: the module mostly attaches by itself (27.007 10.1.9).
func attach(ctx context.Context, m *Modem) error {
	r, err := m.Do(ctx, atcmd.Read("+CGATT"))
	if err != nil && !atcmd.Refused(err) {
		return fmt.Errorf("asking for the attachment: %w", err)
	}
	if bare(r, "+CGATT") == "1" {
		return nil
	}
	_, err = m.Do(ctx, atcmd.Set("+CGATT", 1).WithTimeout(attachTimeout))
	return err
}

// contextAddress reads the address of an active context (27.007 10.1.14).
func contextAddress(ctx context.Context, m *Modem, cid int) (string, error) {
	p, err := contextLine(ctx, m, atcmd.Set("+CGPADDR", cid), cid)
	if err != nil {
		return "", fmt.Errorf("asking for the address: %w", err)
	}
	address := p.Text(1)
	if address == "" || address == "0.0.0.0" {
		return "", errors.New("the context is active, but has no address")
	}
	return address, nil
}

// lostContext reports whether the event of a +CGEV takes the data connection away (27.007 10.1.19). The modem has one
// context, or one that matters.
func lostContext(event string) bool {
	who, what, _ := strings.Cut(event, " ")
	return (who == "NW" || who == "ME") && (what == "DETACH" || strings.HasPrefix(what, "PDN DEACT") || strings.HasPrefix(what, "DEACT"))
}
