package modems

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	quectelTLS = 2 // <ssl_ctx_id>, 0 to 5

	// <timeout> of QFUPL in seconds: the module waits so long for a byte. A certificate of 8 kB takes 17 s at 4800 baud.
	qfuplIdle    = 10
	qfuplTimeout = time.Minute
)

// quectelSecure uploads the certificates that are not there yet and sets the TLS context up: TLS 1.2, the broker's chain
// verified, and with a client certificate ours shown. Validity dates are not checked: the module's clock may not be set.
func quectelSecure(ctx context.Context, m *Modem, files []pemFile) error {
	if err := quectelUpload(ctx, m, files); err != nil {
		return err
	}
	level := 1 // verify the broker
	commands := []atcmd.Command{}
	for _, f := range files {
		if f.key == "clientcert" {
			level = 2 // and show our certificate
		}
		commands = append(commands, atcmd.Set("+QSSLCFG", f.key, quectelTLS, "UFS:"+f.name))
	}
	commands = append(commands,
		atcmd.Set("+QSSLCFG", "sslversion", quectelTLS, 3),
		atcmd.Set("+QSSLCFG", "ciphersuite", quectelTLS, atcmd.Literal("0XFFFF")),
		atcmd.Set("+QSSLCFG", "seclevel", quectelTLS, level),
		atcmd.Set("+QSSLCFG", "ignorelocaltime", quectelTLS, 1),
		atcmd.Set("+QMTCFG", "ssl", quectelClient, 1, quectelTLS),
	)
	for _, c := range commands {
		if _, err := m.Do(ctx, c); err != nil {
			return err
		}
	}
	// Without the name in the handshake a host with several certificates shows the wrong one. Old firmware lacks it.
	return m.try(ctx, atcmd.Set("+QSSLCFG", "sni", quectelTLS, 1))
}

// quectelUpload brings the module's memory to hold files, and of ours nothing else.
func quectelUpload(ctx context.Context, m *Modem, files []pemFile) error {
	there, err := quectelList(ctx, m)
	if err != nil {
		return err
	}
	for name, size := range there {
		keep := slices.ContainsFunc(files, func(f pemFile) bool { return f.name == name && len(f.text) == size })
		if keep {
			continue
		}
		if _, err := m.Do(ctx, atcmd.Set("+QFDEL", "UFS:"+name)); err != nil {
			return fmt.Errorf("deleting an old certificate from the module: %w", err)
		}
		delete(there, name)
	}
	for _, f := range files {
		if _, ok := there[f.name]; ok {
			continue
		}
		m.opts.Progress("storing certificates in the module")
		c := atcmd.Set("+QFUPL", "UFS:"+f.name, len(f.text), qfuplIdle).WithTimeout(qfuplTimeout)
		c.Prompt, c.Payload = "CONNECT", f.text
		if f.key == "clientkey" {
			c = c.WithSecret(string(f.text))
		}
		r, err := m.Do(ctx, c)
		if err != nil {
			return fmt.Errorf("storing a certificate in the module: %w", err)
		}
		if err := quectelArrived(r, f.text); err != nil {
			_, errDelete := m.Do(ctx, atcmd.Set("+QFDEL", "UFS:"+f.name)) // or it would pass for the right one next time
			return errors.Join(err, errDelete)
		}
	}
	return nil
}

// quectelList returns our files in the module and their sizes.
func quectelList(ctx context.Context, m *Modem) (map[string]int, error) {
	r, err := m.Do(ctx, atcmd.Set("+QFLST", "*"))
	if err != nil && !atcmd.Refused(err) { // an empty memory may be refused as "file not found"
		return nil, fmt.Errorf("looking for certificates in the module: %w", err)
	}
	there := map[string]int{}
	for _, l := range r.Info {
		_, p, err := atcmd.ParseParams(l.Head)
		size, errSize := p.Int(1)
		name := strings.TrimPrefix(p.Text(0), "UFS:")
		if err == nil && errSize == nil && strings.HasPrefix(name, pemPrefix) {
			there[name] = size
		}
	}
	return there, nil
}

// quectelArrived compares size and checksum of +QFUPL: the exclusive or of the file's 16-bit words, high byte first.
func quectelArrived(r atcmd.Response, text []byte) error {
	var sum [2]byte
	for i, b := range text {
		sum[i%2] ^= b
	}
	want := fmt.Sprintf("%d,%s", len(text), hex.EncodeToString(sum[:]))
	for _, l := range r.Info {
		_, p, err := atcmd.ParseParams(l.Head)
		if got := p.Text(0) + "," + strings.ToLower(p.Text(1)); err == nil && strings.HasPrefix(l.Head, "+QFUPL") && got == want {
			return nil
		}
	}
	return fmt.Errorf("a certificate was damaged on its way into the module: it says %q, not %s", r.Text(), want)
}
