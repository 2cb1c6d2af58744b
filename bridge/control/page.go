package control

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// pageHTML is the page for people: one file, that asks /api/status again and again.
//
//go:embed page.html
var pageHTML string

// pagePolicy lets the page run its own style and script, known by their hashes, and ask this server; and nothing else,
// not even markup that its script might make of a text.
var pagePolicy = strings.Join([]string{
	"default-src 'none'", "connect-src 'self'", "img-src data:", "style-src " + hashOf("style"), "script-src " + hashOf("script"),
	"require-trusted-types-for 'script'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
}, "; ")

// hashOf is the source expression (CSP level 3, 2.3.1) of the page's only element of this name.
func hashOf(element string) string {
	_, rest, _ := strings.Cut(pageHTML, "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	fmt.Fprint(w, pageHTML)
}

// guard keeps the pages of other sites from reading what next shows to people here. To a browser, a name that its owner
// lets point to this machine is his own site (DNS rebinding): only names that no stranger can own are served. The
// metrics are numbers, and who collects them may know this machine by any name.
func guard(address string, next http.Handler) http.Handler {
	own := ownNames(address)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if name := hostname(r.Host); r.URL.Path != "/metrics" && !own[name] && !isAddress(name) {
			http.Error(w, "this name is not known to be this machine's; use its address, or name it in status.listen", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownNames are those of this machine: in the house, on the local link, and as the configuration has it. A request
// without a name is no browser's.
func ownNames(address string) map[string]bool {
	own := map[string]bool{"": true, "localhost": true, hostname(address): true}
	if name, err := os.Hostname(); err == nil { // without one it is known by fewer names
		name = hostname(name)
		first, _, _ := strings.Cut(name, ".")
		own[name], own[first+".local"] = true, true
	}
	return own
}

// hostname is the name or address in a Host header.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}
