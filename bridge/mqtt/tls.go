package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// wrapTLS does the handshake on conn. It closes conn if that fails.
func wrapTLS(ctx context.Context, conn net.Conn, session modems.MQTTConfig) (net.Conn, error) {
	cfg, err := tlsConfig(session.Host, *session.TLS)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if clock := session.Clock; clock != nil {
		cfg.Time = func() time.Time {
			now, err := clock()
			if err != nil {
				return time.Time{} // before any certificate's first day: it was known when the connection was dialled
			}
			return now
		}
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", cfg.ServerName, err)
	}
	return secured, nil
}

func tlsConfig(host string, files modems.TLSConfig) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: host,
		// Without the post-quantum default the ClientHello is 1.2 kB shorter and fits one AT command.
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256},
		ClientSessionCache: sessionCache(host, files),
	}
	if files.ServerName != "" {
		cfg.ServerName = files.ServerName
	}
	if files.CAFile != "" {
		pem, err := os.ReadFile(files.CAFile)
		if err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("TLS: %s holds no certificate in PEM form", files.CAFile)
		}
	}
	if files.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("TLS: %s with %s: %w", files.CertFile, files.KeyFile, err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// caches let the next session with the same broker resume: a fifth of the handshake's bytes. Each set of files has
// its own, so that no session is resumed that another set of roots has verified.
var caches sync.Map // cacheKey -> tls.ClientSessionCache

type cacheKey struct {
	host  string
	files modems.TLSConfig
}

func sessionCache(host string, files modems.TLSConfig) tls.ClientSessionCache {
	var fresh tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if files.TicketFile != "" {
		fresh = &tickets{memory: fresh, file: files.TicketFile, owner: owner(host, files)}
	}
	cache, _ := caches.LoadOrStore(cacheKey{host, files}, fresh)
	return cache.(tls.ClientSessionCache)
}
