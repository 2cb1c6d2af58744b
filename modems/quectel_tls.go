package modems

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
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

	// Our files in the module's memory begin so. The rest is a digest of what they hold: a file that is there is
	// right, and writing it again would only wear the flash.
	quectelFiles = "atbridge-"
)

// quectelFile is one PEM file that the module needs: the QSSLCFG key that names it, and what is in it.
type quectelFile struct {
	key, name string
	text      []byte
}

// quectelCertificates reads what cfg names. The module has no roots of its own, so that without a CA it could not tell
// the broker from anybody else: that is refused.
func quectelCertificates(cfg MQTTConfig) ([]quectelFile, error) {
	t := cfg.TLS
	switch {
	case t.CAFile == "":
		return nil, fmt.Errorf("%w: mqtts on the module's own stack needs cloud.tls.ca_file, because the module knows no authorities; or set path.mode to tcp or host", ErrUnsupported)
	case t.ServerName != "" && t.ServerName != cfg.Host:
		return nil, fmt.Errorf("%w: cloud.tls.server_name: the module cannot expect another name than the one it connects to", ErrUnsupported)
	}
	var files []quectelFile
	for _, f := range []struct{ key, path string }{{"cacert", t.CAFile}, {"clientcert", t.CertFile}, {"clientkey", t.KeyFile}} {
		if f.path == "" {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		if block, _ := pem.Decode(text); block == nil {
			return nil, fmt.Errorf("%w: TLS: %s holds nothing in PEM form", ErrUnsupported, f.path)
		}
		// Files with LF alone have been seen to fail the handshake with -1, and to pass with CRLF (log of an EC800M).
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		sum := sha256.Sum256(text)
		files = append(files, quectelFile{f.key, quectelFiles + hex.EncodeToString(sum[:6]) + ".pem", text})
	}
	return files, nil
}

// quectelSecure uploads the certificates that are not there yet and sets the TLS context up: TLS 1.2, the broker's chain
// verified, and with a client certificate ours shown. Validity dates are not checked: the module's clock may not be set.
func quectelSecure(ctx context.Context, m *Modem, files []quectelFile) error {
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
func quectelUpload(ctx context.Context, m *Modem, files []quectelFile) error {
	there, err := quectelList(ctx, m)
	if err != nil {
		return err
	}
	for name, size := range there {
		keep := slices.ContainsFunc(files, func(f quectelFile) bool { return f.name == name && len(f.text) == size })
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
			return err
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
		if err == nil && errSize == nil && strings.HasPrefix(name, quectelFiles) {
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
