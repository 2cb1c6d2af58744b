package modems

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// Options of Attach. The zero value attaches to whatever modem answers.
type Options struct {
	Driver string // name of a driver, or auto
	PDP    PDPConfig

	PIN string // of the SIM; a secret
	// RefusedPIN is a file that remembers a PIN the SIM refused, so that it is never entered again: three tries
	// lock a SIM. Empty: nothing is remembered beyond this Modem.
	RefusedPIN string

	// Port is how the host is connected, in Quectel's words ("uart1", "usbat", "usbmodem"); empty: uart1.
	Port string

	// Quiet is how long to listen before the first byte is written. A host that died between a prompt and its
	// payload has left the modem in its data state, where the first bytes would be published.
	Quiet time.Duration

	// PullSockets leaves what comes over TCP sockets in the module until it is read, for lines that lose bytes when too
	// much comes at once. Else the module pushes it.
	PullSockets bool

	// Baud is the rate that the module is to be left at, and BaudUp, if not 0, the one to run at in between. RTSCTS asks for
	// flow control. Both need a port that can do it.
	Baud, BaudUp int
	RTSCTS       bool

	RegisterTimeout time.Duration // how long to wait for the network; zero: 90 s

	Tap      atcmd.Tap
	Log      *slog.Logger
	Progress func(text string) // told what is being waited for
}

// Identity is who the modem says it is.
type Identity struct {
	Manufacturer, Model, Revision, IMEI string
	ICCID                               string // of the SIM; known once online
}

// Network is what the modem last said of its network.
type Network struct {
	Registered bool
	Roaming    bool
	Operator   string
	RSSI       int // dBm; 0: not known
	Address    string
}

// Counters of the AT channel, and of what came over it.
type Counters struct {
	atcmd.Counters
	Unreadable uint64 // messages from the broker that made no sense, and are lost
}

// Modem is one attached modem. Its methods may be called from several goroutines.
type Modem struct {
	engine *atcmd.Engine
	router router
	taps   taps
	port   io.ReadWriteCloser // the engine's; for its settings alone
	driver *Driver
	opts   Options
	log    *slog.Logger

	raw         bool     // for commands typed by a person; nobody has asked who the modem is
	enteredPINs []string // digests, where Options.RefusedPIN names no file; only Online touches it

	mu      sync.Mutex
	id      Identity
	network Network

	base int // the rate to go back to; 0: it was not raised

	stored map[string]bool // certificates that this Modem has written into the module; only DialMQTT touches it

	sockets map[int]bool // in use

	booted     atomic.Bool // since it was attached
	leavesData atomic.Bool // the grammar in use has an edit timeout

	unreadable atomic.Uint64 // messages

	early     []atcmd.Line // messages that came while no session listened
	stopEarly func()
	left      []Message      // see TakeLeft
	conns     map[*conn]bool // that have a place in the module
}

// Attach takes over port and talks to what is there until it knows which modem it is. It closes port if it fails.
func Attach(ctx context.Context, port io.ReadWriteCloser, o Options) (*Modem, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.RegisterTimeout == 0 {
		o.RegisterTimeout = registerTimeout
	}
	m := &Modem{opts: o, port: port, log: o.Log, stored: map[string]bool{}, sockets: map[int]bool{}}
	m.taps.add(o.Tap)
	m.engine = atcmd.New(port, atcmd.WithGrammar(union()), atcmd.WithTap(m.taps.tell))
	m.keepEarly()
	go m.router.run(m.engine.URCs())
	if err := m.start(ctx); err != nil {
		m.Close()
		return nil, err
	}
	m.router.on(func(atcmd.Line) { m.booted.Store(true) }, m.bootSigns()...)
	return m, nil
}

// Do runs one AT command, in its turn.
func (m *Modem) Do(ctx context.Context, c atcmd.Command) (atcmd.Response, error) {
	return m.engine.Do(ctx, c)
}

// DialMQTT opens a session by the module's own MQTT stack.
func (m *Modem) DialMQTT(ctx context.Context, cfg MQTTConfig) (Session, error) {
	if m.driver.MQTT == nil {
		return nil, m.lacks("MQTT stack")
	}
	own := cfg.Aliyun != nil && cfg.TLS == nil && m.driver.AliyunLogin
	if !own {
		cfg.Aliyun = nil
	} else {
		asked := cfg
		asked.ClientID, asked.Username, asked.Password = cfg.Aliyun.ClientID, "", ""
		s, err := m.driver.MQTT.DialMQTT(ctx, m, asked)
		if !errors.Is(err, ErrUnsupported) {
			return s, err
		}
		m.log.Info("the module cannot log in to Aliyun by itself; the host computes the login", "why", err)
		cfg.Aliyun = nil
	}
	s, err := m.driver.MQTT.DialMQTT(ctx, m, cfg)
	if ask := m.driver.HasMQTT; atcmd.Refused(err) && ask.Line != "" {
		if has, errAsk := m.accepts(ctx, ask); errAsk == nil && !has {
			return nil, fmt.Errorf("%w: this firmware has no MQTT stack (AT%s is refused)", ErrUnsupported, ask.Line)
		}
	}
	return s, err
}

// lacks says what the driver cannot use on this modem, and what to do about it.
func (m *Modem) lacks(what string) error {
	if m.driver.Name != Generic {
		return fmt.Errorf("%w: driver %s knows no %s on this module", ErrUnsupported, m.driver.Name, what)
	}
	id := m.Identity()
	return fmt.Errorf("%w: no driver knows the model %q of %q, so its %s cannot be used; if it speaks as a known module does, name that one in modem.driver: %s",
		ErrUnsupported, id.Model, id.Manufacturer, what, strings.Join(Drivers(), ", "))
}

// Driver is the name of the driver in use.
func (m *Modem) Driver() string { return m.driver.Name }

// Identity is who the modem says it is.
func (m *Modem) Identity() Identity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

// Network is what was last learnt of the network.
func (m *Modem) Network() Network {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.network
}

func (m *Modem) learn(change func(id *Identity, n *Network)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.id, &m.network)
}

// Counters of the AT channel, and of what came over it.
func (m *Modem) Counters() Counters { return Counters{m.engine.Counters(), m.unreadable.Load()} }

// Done is closed when the line is lost; Err then says why.
func (m *Modem) Done() <-chan struct{} { return m.engine.Done() }

// Err is why the line ended; nil while it stands.
func (m *Modem) Err() error { return m.engine.Err() }

// Close ends the connections through the module and closes the port. Else the module keeps its state, but for a raised baud
// rate.
func (m *Modem) Close() error {
	m.hangUp()
	m.lower()
	return m.engine.Close()
}
