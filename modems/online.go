package modems

import (
	"context"
	"errors"
	"fmt"
)

// ErrOffline: the modem answers, but has no way to the network: SIM, registration or PDP context. The text says
// which, and what to do.
var ErrOffline = errors.New("the modem is not online")

// AskICCID reads the SIM's number, which Identity then knows.
func (m *Modem) AskICCID(ctx context.Context) error {
	if m.driver.ICCID == nil {
		return m.lacks("command for the SIM's number")
	}
	n, err := m.driver.ICCID(ctx, m)
	if err == nil {
		m.learn(func(id *Identity, _ *Network) { id.ICCID = n })
	}
	return err
}

// Online takes the modem to the network: SIM ready, registered, PDP context active. It may be called again at any
// time and then does only what is missing.
func (m *Modem) Online(ctx context.Context) error {
	if err := m.unlock(ctx); err != nil {
		return err
	}
	if err := m.AskICCID(ctx); err != nil {
		m.log.Debug("asking for the ICCID", "why", err)
	}
	if err := m.register(ctx); err != nil {
		return err
	}
	return m.Connect(ctx)
}

// Unlock waits for the SIM and enters its PIN: the first step of Online.
func (m *Modem) Unlock(ctx context.Context) error { return m.unlock(ctx) }

// Register waits for the network: the second one.
func (m *Modem) Register(ctx context.Context) error { return m.register(ctx) }

// Connect brings up the PDP context: the third one.
func (m *Modem) Connect(ctx context.Context) error {
	m.opts.Progress("bringing up the data connection")
	activate := m.driver.Activate
	if activate == nil {
		activate = activate27007
	}
	address, err := activate(ctx, m, m.opts.PDP)
	if errors.Is(err, ErrUnsupported) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: no data connection: is the APN right (modem.apn is %q)? %w", ErrOffline, m.opts.PDP.APN, err)
	}
	m.learn(func(_ *Identity, n *Network) { n.Address = address })
	return nil
}
