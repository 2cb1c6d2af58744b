package control

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
)

// newBridge is a bridge without a modem, whose broker is an address where nobody listens. It does not run yet; changed,
// unless nil, is told how it fares when it does.
func newBridge(t *testing.T, clientID string, changed func(bridge.State, string)) *bridge.Bridge {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cloud := modems.MQTTConfig{Host: "127.0.0.1", Port: port, ClientID: clientID}
	b, err := bridge.New(bridge.Config{
		Path: "host",
		Target: func(modems.Identity) (bridge.Target, error) {
			return bridge.Target{Brokers: []modems.MQTTConfig{cloud}}, nil
		},
		Local: bridge.LocalConfig{Listen: "127.0.0.1:0"},
		Queue: bridge.OutboxConfig{Dir: filepath.Join(t.TempDir(), "queue")},
		Log:   slog.New(slog.DiscardHandler), Changed: changed,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stop()
	t.Cleanup(func() { // if nobody has run it: this is how it is closed
		if b.Status().State == bridge.Starting {
			b.Run(ctx)
		}
	})
	return b
}

// ask returns the answer to a request with this Host header, read.
func ask(t *testing.T, method, url, host string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func served(t *testing.T, b *bridge.Bridge, address string) string {
	t.Helper()
	srv := httptest.NewServer(guard(address, (&Server{bridge: b}).public()))
	t.Cleanup(srv.Close)
	return srv.URL
}

// The page is one small file that brings nothing from elsewhere, and runs under a policy that allows its own script and
// style, and no markup made of text.
func TestPage(t *testing.T) {
	t.Parallel()
	url := served(t, newBridge(t, "site7", nil), "127.0.0.1:8390")
	resp, body := ask(t, http.MethodGet, url+"/", "")
	if resp.StatusCode != http.StatusOK || len(body) > 15000 || !strings.HasPrefix(body, "<!doctype html>\n<html lang=\"en\">") {
		t.Errorf("%s, %d bytes", resp.Status, len(body))
	}
	policy := resp.Header.Get("Content-Security-Policy")
	for _, element := range []string{"style", "script"} {
		found := regexp.MustCompile("(?s)<"+element+"[^>]*>(.*?)</"+element+">").FindAllStringSubmatch(body, -1)
		if len(found) != 1 {
			t.Fatalf("%d elements %s", len(found), element)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
			t.Errorf("%s: lacks %s", policy, want)
		}
	}
	for _, want := range []string{"default-src 'none';", "connect-src 'self';", "require-trusted-types-for 'script';", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%s: lacks %s", policy, want)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, never := range []string{"innerHTML", "outerHTML", "insertAdjacent", "document.write", "://", " style=", " onclick="} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %s", never)
		}
	}
}

// Only GET and HEAD, which change nothing.
func TestPageMethods(t *testing.T) {
	t.Parallel()
	url := served(t, newBridge(t, "site7", nil), "127.0.0.1:8390")
	for _, path := range []string{"/", "/api/status", "/metrics", "/healthz"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			if resp, _ := ask(t, method, url+path, ""); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
		get, _ := ask(t, http.MethodGet, url+path, "")
		if head, body := ask(t, http.MethodHead, url+path, ""); head.StatusCode != get.StatusCode || body != "" {
			t.Errorf("HEAD %s: %s, %q", path, head.Status, body)
		}
	}
	for _, path := range []string{"/page.html", "/api", "/api/send", "/index.html"} {
		if resp, body := ask(t, http.MethodGet, url+path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s, %s", path, resp.Status, body)
		}
	}
}

// A name that its owner lets point here is not served, except with the metrics.
func TestForeignName(t *testing.T) {
	t.Parallel()
	url := served(t, newBridge(t, "site7", nil), "Cabinet.example:8390")
	self, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const ok, foreign = http.StatusOK, http.StatusMisdirectedRequest
	for host, want := range map[string]int{
		"127.0.0.1:8390": ok, "127.0.0.1": ok, "[::1]:8390": ok, "[::1]": ok, "192.168.1.7:8390": ok, "localhost": ok, "LocalHost.:8390": ok,
		"cabinet.example:8390": ok, "cabinet.example": ok, self: ok, self + ":8390": ok,
		"evil.example:8390": foreign, "evil.example": foreign, "localhost.evil.example": foreign, "127.0.0.1.evil.example:8390": foreign,
		self + ".evil.example": foreign, "cabinet.example.evil": foreign, "1.2.3.4.5": foreign,
	} {
		for _, path := range []string{"/", "/api/status"} {
			resp, body := ask(t, http.MethodGet, url+path, host)
			if resp.StatusCode != want || (want == foreign) != (body == "this name is not known to be this machine's; use its address, or name it in status.listen\n") {
				t.Errorf("%s to %s: %s, %s", path, host, resp.Status, body)
			}
		}
		if resp, body := ask(t, http.MethodGet, url+"/metrics", host); resp.StatusCode != ok || !strings.Contains(body, "\natbridge_online 0\n") {
			t.Errorf("/metrics to %s: %s, %s", host, resp.Status, body)
		}
	}
}

// A state without a reason is one word.
func TestHealthWord(t *testing.T) {
	t.Parallel()
	url := served(t, newBridge(t, "site7", nil), "127.0.0.1:8390")
	if resp, body := ask(t, http.MethodGet, url+"/healthz", ""); resp.StatusCode != http.StatusServiceUnavailable || body != "starting\n" {
		t.Errorf("%s, %q", resp.Status, body)
	}
}

// When a door is not served any more the daemon hears of it, and why; when it is closed there is nothing to hear.
func TestServingFails(t *testing.T) {
	t.Parallel()
	b, dir := newBridge(t, "site7", nil), t.TempDir()
	lost := make(chan struct{}, 2)
	start := func(name string) *Server {
		s, err := Listen(b, filepath.Join(dir, name), "127.0.0.1:0", false, func() { lost <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := start("a").Close(); err != nil || len(lost) > 0 {
		t.Errorf("%v, %d lost", err, len(lost))
	}
	s := start("b")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.serve(l, s.public())
	l.Close() // from under it
	select {
	case <-lost:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody is told")
	}
	if err, want := s.Close(), fmt.Sprintf("%s is not served any more", l.Addr()); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), want) || len(lost) > 0 {
		t.Errorf("%v, %d more lost", err, len(lost))
	}
	if _, err := os.Stat(filepath.Join(dir, "b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}
