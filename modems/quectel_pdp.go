package modems

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// The PDP context that everything of ours uses.
const quectelContext = 1

const (
	qiactTimeout   = 150 * time.Second // TCP 2.2.2
	qideactTimeout = 40 * time.Second  // TCP 2.2.3
)

// quectelActivate brings up the context. An active one is left alone: a second QIACT is answered with ERROR, and
// QICSGP is saved to the module's memory (TCP 2.2.1), which wears.
func quectelActivate(ctx context.Context, m *Modem, pdp PDPConfig) (string, error) {
	right, err := quectelAPN(ctx, m, pdp)
	if err != nil {
		return "", err
	}
	address, err := quectelAddress(ctx, m)
	if err != nil {
		return "", err
	}
	if address != "" && right {
		return address, nil
	}
	if address != "" {
		if err := quectelDeactivate(ctx, m); err != nil {
			return "", err
		}
	}
	if !right {
		if err := quectelSetAPN(ctx, m, pdp); err != nil {
			return "", err
		}
	}
	act := atcmd.Set("+QIACT", quectelContext).WithTimeout(qiactTimeout)
	_, err = m.Do(ctx, act)
	if atcmd.Refused(err) { // once more from a clean state (TCP figure 1)
		if err := quectelDeactivate(ctx, m); err != nil {
			return "", err
		}
		_, err = m.Do(ctx, act)
	}
	if err != nil {
		return "", fmt.Errorf("%w%s", err, quectelWhy(ctx, m))
	}
	address, err = quectelAddress(ctx, m)
	if err == nil && address == "" {
		err = errors.New("AT+QIACT was answered with OK, but the context has no address")
	}
	return address, err
}

func quectelDeactivate(ctx context.Context, m *Modem) error {
	return m.try(ctx, atcmd.Set("+QIDEACT", quectelContext).WithTimeout(qideactTimeout))
}

// quectelAddress is the context's address; empty: not active.
func quectelAddress(ctx context.Context, m *Modem) (string, error) {
	r, err := m.Do(ctx, atcmd.Read("+QIACT").WithTimeout(qiactTimeout))
	if err != nil {
		return "", fmt.Errorf("asking for the data connection: %w", err)
	}
	for _, l := range r.Info {
		_, p, err := atcmd.ParseParams(l.Head)
		if err != nil {
			continue
		}
		cid, errCID := p.Int(0)
		state, errState := p.Int(1)
		if errCID == nil && errState == nil && cid == quectelContext && state == 1 {
			return p.Text(3), nil
		}
	}
	return "", nil
}

var (
	quectelIP   = map[string]int{"": 1, "ipv4": 1, "ipv6": 2, "ipv4v6": 3}
	quectelAuth = map[string]int{"": 0, "none": 0, "pap": 1, "chap": 2}
)

// quectelAPN reports whether the module's memory already says what pdp asks for. An empty APN asks for nothing.
func quectelAPN(ctx context.Context, m *Modem, pdp PDPConfig) (bool, error) {
	if pdp.APN == "" {
		return true, nil
	}
	ask := atcmd.Set("+QICSGP", quectelContext)
	ask.Private = true // the answer holds the password that the module has, which may be an older one
	r, err := m.Do(ctx, ask)
	if atcmd.Refused(err) || err == nil && len(r.Info) == 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for the APN: %w", err)
	}
	_, p, err := atcmd.ParseParams(r.Info[0].Head)
	if err != nil {
		return false, nil
	}
	ip, errIP := p.Int(0)
	auth, errAuth := p.Int(4)
	return errIP == nil && errAuth == nil && ip == quectelIP[pdp.IP] && p.Text(1) == pdp.APN &&
		p.Text(2) == pdp.User && p.Text(3) == pdp.Password && auth == quectelAuth[pdp.Auth], nil
}

func quectelSetAPN(ctx context.Context, m *Modem, pdp PDPConfig) error {
	for key, value := range map[string]string{"modem.apn": pdp.APN, "modem.apn_user": pdp.User, "modem.apn_password": pdp.Password} {
		if _, err := atcmd.Quote(value); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnsupported, key, err)
		}
	}
	_, err := m.Do(ctx, atcmd.Set("+QICSGP", quectelContext, quectelIP[pdp.IP], pdp.APN, pdp.User, pdp.Password,
		quectelAuth[pdp.Auth]).WithSecret(pdp.Password))
	if err != nil {
		return fmt.Errorf("setting the APN: %w", err)
	}
	return nil
}

// quectelWhy asks for the reason of the last failure of a TCP/IP command (TCP 2.2.18).
func quectelWhy(ctx context.Context, m *Modem) string {
	r, err := m.Do(ctx, atcmd.Exec("+QIGETERROR"))
	if err != nil || len(r.Info) == 0 {
		return ""
	}
	_, p, err := atcmd.ParseParams(r.Info[0].Head)
	if n, errCode := p.Int(0); err != nil || errCode != nil || n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", p.Text(0), p.Text(1))
}
