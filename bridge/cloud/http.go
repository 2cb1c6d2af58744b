package cloud

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Clock is the time by which the dates of certificates are checked; an error: it is not known yet, and nobody is dialled.
type Clock func() (time.Time, error)

func machineClock() (time.Time, error) { return time.Now(), nil }

// httpClient goes out by dial, for one exchange. It trusts this machine's roots and those in caFile: the platforms' own root
// signs their MQTT ports, and a public one their HTTPS. A clock that is nil is this machine's.
func httpClient(dial Dial, caFile string, clock Clock) (*http.Client, error) {
	if clock == nil {
		clock = machineClock
	}
	now, err := clock()
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a board without any; caFile must do
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("cloud.tls.ca_file: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cloud.tls.ca_file: %s holds no certificate in PEM form", caFile)
		}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // secrets are for this host
	return &http.Client{CheckRedirect: stay, Transport: &http.Transport{
		DialContext:         dial,
		DisableKeepAlives:   true, // a modem has few sockets, and the session needs one
		TLSHandshakeTimeout: 30 * time.Second,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: roots, Time: func() time.Time { return now },
			CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}, // 1.2 kB less than the default, on a slow line
		},
	}}, nil
}

// postJSON is a request with a body.
func postJSON(ctx context.Context, address string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// exchange sends req and reads the JSON of the answer. An answer that is none is told by its status.
func exchange(client *http.Client, req *http.Request, answer any) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("%s answered %s and no JSON", req.URL.Host, resp.Status)
	}
	return nil
}
