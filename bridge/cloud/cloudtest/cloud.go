package cloudtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// Platform is what makes a broker one platform's.
type Platform interface {
	// login decides about a CONNECT packet.
	login(c connect, now time.Time) (device, *refusal)
	http.Handler              // its REST interface
	hosts() map[string]string // real host and port -> "plain", "secure" or "https"
}

// connect is what a CONNECT packet says.
type connect struct {
	clientID, username, password string
	keepalive                    uint16
	will                         bool
	secure                       bool // it came over TLS
}

// device is who has logged in.
type device struct {
	name    string // one connection each
	ends    time.Time
	uses    func(topic string) bool // nil: any topic
	strict  bool                    // neither QoS 2 nor retain
	push    *push                   // sent at once, to a session that is for registration only
	pushEnd time.Duration
}

type push struct {
	topic   string
	payload []byte
}

// refusal is a CONNACK return code, and why, for the test's log.
type refusal struct {
	code byte
	why  string
}

func refuse(code byte, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// Login is one accepted CONNECT.
type Login struct {
	Device   string
	ClientID string
	Username string
	Password string
	Secure   bool
	Register bool // a session for registration only
}

// Message is what a device has published.
type Message struct {
	Device, Topic string
	Payload       []byte
	QoS           byte
}

// Cloud is one running fake.
type Cloud struct {
	Plain, Secure, HTTPS string // addresses
	CAFile               string

	platform Platform
	server   *mqtt.Server
	web      *http.Server

	mu       sync.Mutex
	sessions map[*mqtt.Client]device
	logins   []Login
	refused  []string
	kicked   int
	watchers []func(Message)
}

// Start runs a fake until Close. Files go into dir.
func Start(dir string, p Platform) (*Cloud, error) {
	authority, err := newAuthority(dir)
	if err != nil {
		return nil, err
	}
	c := &Cloud{platform: p, CAFile: authority.file, sessions: map[*mqtt.Client]device{}}
	c.server = mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	c.web = &http.Server{Handler: p, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	err = c.server.AddHook(&hook{c: c}, nil)
	for name, addr := range map[string]*string{"plain": &c.Plain, "secure": &c.Secure, "https": &c.HTTPS} {
		l, errListen := net.Listen("tcp", "127.0.0.1:0")
		if errListen != nil {
			return nil, errors.Join(errListen, c.Close())
		}
		*addr = l.Addr().String()
		if name != "plain" {
			l = tls.NewListener(l, authority.config())
		}
		if name == "https" {
			go c.web.Serve(l) // ends with Close
			continue
		}
		err = errors.Join(err, c.server.AddListener(listeners.NewNet(name, l)))
	}
	if err = errors.Join(err, c.server.Serve()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends every connection.
func (c *Cloud) Close() error { return errors.Join(c.web.Close(), c.server.Close()) }

// Map sends what is dialled at the platform's real names to this fake.
func (c *Cloud) Map() map[string]string {
	m := map[string]string{}
	for host, kind := range c.platform.hosts() {
		m[host] = map[string]string{"plain": c.Plain, "secure": c.Secure, "https": c.HTTPS}[kind]
	}
	return m
}

// Logins are the sessions that were accepted, in their order; Refusals why others were not, or were ended, or what was
// odd about them.
func (c *Cloud) Logins() []Login {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Login(nil), c.logins...)
}

func (c *Cloud) Refusals() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.refused...)
}

// Kicked is how many sessions were ended because their device had opened another.
func (c *Cloud) Kicked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kicked
}

// Online is how many devices have a session.
func (c *Cloud) Online() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

// Watch calls got for every message that a device has published and may publish. It must not block.
func (c *Cloud) Watch(got func(Message)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers = append(c.watchers, got)
}

// Send publishes to whoever has subscribed.
func (c *Cloud) Send(topic string, payload []byte, qos byte) error {
	return c.server.Publish(topic, payload, false, qos)
}

// Kick ends all sessions, as a platform does for its own reasons.
func (c *Cloud) Kick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cl := range c.sessions {
		go cl.Stop(errKicked)
	}
}

var errKicked = errors.New("ended by the platform")

func (c *Cloud) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = append(c.refused, fmt.Sprintf(format, args...))
}
