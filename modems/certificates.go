package modems

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
)

// pemPrefix begins the names of our files in a module's memory. The rest is a digest of what they hold: a file that is
// there is right, and writing it again would only wear the flash.
const pemPrefix = "atbridge-"

// pemFile is one PEM file that the module needs: the key of QSSLCFG or SSLCFG that names it, and what is in it.
type pemFile struct {
	key, name string
	text      []byte
}

// readCertificates reads what cfg names. The module has no roots of its own, so that without a CA it could not tell
// the broker from anybody else: that is refused.
func readCertificates(cfg MQTTConfig) ([]pemFile, error) {
	t := cfg.TLS
	switch {
	case t.CAFile == "":
		return nil, fmt.Errorf("%w: mqtts on the module's own stack needs cloud.tls.ca_file, because the module knows no authorities; or set path.mode to tcp or host", ErrUnsupported)
	case t.ServerName != "" && t.ServerName != cfg.Host:
		return nil, fmt.Errorf("%w: cloud.tls.server_name: the module cannot expect another name than the one it connects to", ErrUnsupported)
	}
	var files []pemFile
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
		files = append(files, pemFile{f.key, pemPrefix + hex.EncodeToString(sum[:6]) + ".pem", text})
	}
	return files, nil
}
