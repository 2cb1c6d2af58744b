package modems

import (
	"context"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	luatTLS      = 88    // the context of the MQTT connection (TCPIP, SSLCFG)
	luatMaxFile  = 10240 // bytes of one FSWRITE (FS)
	luatFileIdle = 30    // seconds that FSWRITE waits for its data
)

// luatSecure stores the certificates and sets the TLS context up: TLS 1.2, the broker's chain verified, and with a
// client certificate ours shown. Validity dates are not checked: the module's clock may not be set.
func luatSecure(ctx context.Context, m *Modem, host string, files []pemFile) error {
	for _, f := range files {
		if err := luatStore(ctx, m, f); err != nil {
			return err
		}
	}
	level := 1 // verify the broker
	commands := []atcmd.Command{
		atcmd.Set("+SSLCFG", "sslversion", luatTLS, 3),
		atcmd.Set("+SSLCFG", "ciphersuite", luatTLS, atcmd.Literal("0XFFFF")),
	}
	for _, f := range files {
		if f.key == "clientcert" {
			level = 2 // and show our certificate
		}
		commands = append(commands, atcmd.Set("+SSLCFG", f.key, luatTLS, f.name))
	}
	commands = append(commands,
		atcmd.Set("+SSLCFG", "seclevel", luatTLS, level),
		atcmd.Set("+SSLCFG", "ignorelocaltime", luatTLS, 1),
	)
	for _, c := range commands {
		if _, err := m.Do(ctx, c); err != nil {
			return err
		}
	}
	return m.try(ctx, atcmd.Set("+SSLCFG", "hostname", luatTLS, host)) // old firmware lacks it
}

// luatStore writes f once in the life of this Modem: what is in the module's memory cannot be compared with it.
func luatStore(ctx context.Context, m *Modem, f pemFile) error {
	if len(f.text) > luatMaxFile {
		return fmt.Errorf("%w: TLS: a certificate file of more than %d bytes (AT+FSWRITE)", ErrUnsupported, luatMaxFile)
	}
	if m.stored[f.name] {
		return nil
	}
	m.opts.Progress("storing certificates in the module")
	if err := m.try(ctx, atcmd.Set("+FSCREATE", f.name)); err != nil { // refused where it is there
		return err
	}
	c := atcmd.Set("+FSWRITE", f.name, 0, len(f.text), luatFileIdle).WithTimeout((luatFileIdle + 5) * time.Second)
	c.Payload = f.text
	if f.key == "clientkey" {
		c = c.WithSecret(string(f.text))
	}
	if _, err := m.Do(ctx, c); err != nil {
		return fmt.Errorf("storing a certificate in the module: %w", err)
	}
	m.stored[f.name] = true
	return nil
}
