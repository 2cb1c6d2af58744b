package mqtt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/atbridge/atbridge/modems"
)

// authority is a CA made for one test; its files lie in dir.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	a.cert = &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.issue("ca", a.cert, a.key)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

// issue signs template and writes name.pem and name.key.
func (a *authority) issue(name string, template *x509.Certificate, key *ecdsa.PrivateKey) {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", secret)
	if name == "ca" {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// server is a broker's side: a certificate for broker.example, and clients that this authority has signed.
func (a *authority) server() *tls.Config {
	a.issue("server", &x509.Certificate{DNSNames: []string{"broker.example"}}, a.newKey())
	cert, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
}

// startTLS is a broker that says yes to everything. (mochi's Close races with clients that fail the handshake.)
func startTLS(t *testing.T, cfg *tls.Config) broker {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { sayYes(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		clients.Wait()
	})
	return broker{addr: listener.Addr().String()}
}

func sayYes(conn net.Conn) {
	defer conn.Close()
	for {
		packet, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		switch m := packet.(type) {
		case *packets.ConnectPacket:
			packets.NewControlPacket(packets.Connack).Write(conn)
		case *packets.PublishPacket:
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = m.MessageID
			ack.Write(conn)
		}
	}
}

func TestTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	b := startTLS(t, a.server())
	a.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a.newKey())
	good := modems.TLSConfig{CAFile: a.file("ca.pem"), CertFile: a.file("client.pem"), KeyFile: a.file("client.key")}
	with := func(change func(*modems.TLSConfig)) *modems.TLSConfig {
		c := good
		change(&c)
		return &c
	}
	tests := []struct {
		name, host string
		files      *modems.TLSConfig
		want       string // in the error; empty: works
	}{
		{"good", "broker.example", &good, ""},
		{"name given", "127.0.0.1", with(func(c *modems.TLSConfig) { c.ServerName = "broker.example" }), ""},
		{"wrong name", "other.example", &good, "connect: TLS with other.example: tls: failed to verify certificate: x509: certificate is valid for broker.example, not other.example"},
		{"address", "127.0.0.1", &good, "connect: TLS with 127.0.0.1: tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1"},
		{"stranger's roots", "broker.example", with(func(c *modems.TLSConfig) { c.CAFile = stranger.file("ca.pem") }), "certificate signed by unknown authority"},
		{"host's roots", "broker.example", with(func(c *modems.TLSConfig) { c.CAFile = "" }), "certificate signed by unknown authority"},
		{"no client certificate", "broker.example", with(func(c *modems.TLSConfig) { c.CertFile, c.KeyFile = "", "" }), "certificate required"},
		{"no CA in the file", "broker.example", with(func(c *modems.TLSConfig) { c.CAFile = a.file("ca.key") }), "ca.key holds no certificate in PEM form"},
		{"no CA file", "broker.example", with(func(c *modems.TLSConfig) { c.CAFile = a.file("none") }), "no such file"},
		{"wrong key", "broker.example", with(func(c *modems.TLSConfig) { c.KeyFile = a.file("ca.key") }), "private key does not match public key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Dial(within(t, 10*time.Second), b.dial, modems.MQTTConfig{Host: tt.host, ClientID: "c", CleanSession: true, TLS: tt.files})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Publish(t.Context(), modems.Message{Topic: "t", QoS: 1, Payload: allBytes(0)})
			if err != nil || r.Wait(t.Context()) != modems.Acked {
				t.Error(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// countingConn counts both ways.
type countingConn struct {
	net.Conn
	up, down *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.down.Add(int64(n))
	return n, err
}

func (c countingConn) Write(p []byte) (int, error) {
	c.up.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// handshakes counts the bytes of a session's beginning, from the first of the handshake to CONNACK.
func handshakes(t *testing.T, b broker, files modems.TLSConfig) int64 {
	t.Helper()
	var up, down atomic.Int64
	dial := func(ctx context.Context) (net.Conn, error) {
		conn, err := b.dial(ctx)
		return countingConn{conn, &up, &down}, err
	}
	s, err := Dial(within(t, 10*time.Second), dial, modems.MQTTConfig{Host: "broker.example", ClientID: "c", CleanSession: true, TLS: &files})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(within(t, 10*time.Second))
	return up.Load() + down.Load()
}

// The handshake is small enough for a UART, and the second one, which resumes, is smaller still: also in another process,
// which has the ticket from the file.
func TestTLSBytes(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	server := a.server()
	server.ClientAuth = tls.NoClientCert
	b := startTLS(t, server)
	files := modems.TLSConfig{CAFile: a.file("ca.pem"), TicketFile: a.file("ticket")}
	full, resumed := handshakes(t, b, files), handshakes(t, b, files)
	t.Logf("with CONNECT, CONNACK and the new ticket: %d bytes in full, %d resumed", full, resumed)
	if full > 2100 || resumed > 1300 || resumed >= full {
		t.Errorf("%d bytes, resumed %d", full, resumed)
	}
	short := (full + resumed) / 2 // signatures differ in length by a few bytes
	restarted := func(change func()) int64 {
		caches.Clear()
		change()
		return handshakes(t, b, files)
	}
	if n := restarted(func() {}); n > short {
		t.Errorf("%d bytes after a restart", n)
	}
	if info, err := os.Stat(files.TicketFile); err != nil || info.Mode() != 0o600 {
		t.Errorf("the ticket's file: %v, %v", info.Mode(), err)
	}
	if n := restarted(func() { other.write("ticket", "RUBBISH", nil); os.Rename(other.file("ticket"), files.TicketFile) }); n < short {
		t.Errorf("%d bytes with rubbish for a ticket", n)
	}
	if n := restarted(func() { os.Remove(files.TicketFile); os.Mkdir(files.TicketFile, 0o700) }); n < short {
		t.Errorf("%d bytes where no ticket can be kept", n)
	}
	os.Remove(files.TicketFile)
	handshakes(t, b, files)
	a.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a.newKey())
	if n := restarted(func() { files.CertFile, files.KeyFile = a.file("client.pem"), a.file("client.key") }); n < short {
		t.Errorf("%d bytes: a session is resumed that another client has begun", n)
	}
	caches.Clear()
	files.CAFile = other.file("ca.pem")
	if s, err := Dial(within(t, 10*time.Second), b.dial, modems.MQTTConfig{Host: "broker.example", ClientID: "c", TLS: &files}); err == nil {
		s.Close(within(t, 10*time.Second))
		t.Error("a session is resumed that these roots have not verified")
	}
}

// Certificates are judged by the session's clock, where it has one: this machine's may be that of its image.
func TestTLSClock(t *testing.T) {
	a := newAuthority(t)
	late := time.Now().Add(24 * time.Hour) // the certificates of this test are good for an hour
	cfg := modems.MQTTConfig{
		Host: "broker.example", TLS: &modems.TLSConfig{CAFile: filepath.Join(a.dir, "ca.pem")},
		Clock: func() (time.Time, error) { return late, nil },
	}
	key := a.newKey()
	a.issue("server", &x509.Certificate{DNSNames: []string{"broker.example"}}, key)
	cert, err := tls.LoadX509KeyPair(filepath.Join(a.dir, "server.pem"), filepath.Join(a.dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			conn.(*tls.Conn).HandshakeContext(t.Context())
			conn.Close()
		}
	}()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = wrapTLS(t.Context(), client, cfg)
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired certificate: %v", err)
	}
}
