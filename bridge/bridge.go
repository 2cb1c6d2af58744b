package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Config is all a Bridge is made of.
type Config struct {
	Modem *ModemConfig // nil: only path host
	Path  string       // auto, native, tcp, host

	// Target is asked once the modem is known, so that names may hold its IMEI. Without a modem id is empty.
	Target func(id modems.Identity) (Target, error)

	// Prepare, if not nil, is called before Target whenever a session is to be opened: it may get over the network what the
	// cloud asks for at login.
	Prepare func(ctx context.Context, o Outside) error

	// Outgoing may change a message before it is sent, whose topic is the one that it will have; id stays the same when it
	// is sent again. An error that is a modems.ErrMessage sets it aside. Incoming may change one that has come for a local
	// topic, and answer it: an answer with an empty topic is none.
	Outgoing func(id uint64, m *modems.Message) error
	Incoming func(from string, m *modems.Message) (answer modems.Message, err error)

	Up    Routes // from local topics; what Target.Topic fills in may still be open
	Local LocalConfig
	Queue OutboxConfig
	Log   *slog.Logger

	Changed  func(s State, reason string) // told of every change of state; must not block
	Progress func()                       // told whenever the supervisor or a pump gets on; feeds a watchdog
	Alive    time.Duration                // how often, at least, an idle bridge shows it; 0: every 30 s
}

// ModemConfig says how to get at the modem.
type ModemConfig struct {
	Port    string // its name, for people
	Open    func(ctx context.Context) (port io.ReadWriteCloser, urcPort string, err error)
	Options modems.Options

	// Search looks for the baud rate of a port that Open has given, after nothing on it has answered; nil: it is not
	// searched for.
	Search func(ctx context.Context, port io.ReadWriteCloser, say func(string)) error

	// Reset pulls the reset line, or cuts the power, while the port is closed; nil: there is no such way.
	Reset            func(context.Context) error
	MaxResetsPerHour int // of restarts by command and resets together
}

// Target is where messages go.
type Target struct {
	Brokers []modems.MQTTConfig // tried in turn
	Down    Routes
	Topic   func(string) string // fills placeholders in a topic that Config.Up has made; nil: none

	Until   time.Time                    // when a new session is to take over, because the login ends; zero: never
	Fits    func(modems.Message) error   // refuses what the platform would not take of a person, with modems.ErrMessage; nil: nothing
	Refused func(why error) (said error) // is told of a login that the broker refused, and says what to look at; nil: nothing
}

// Bridge carries messages between the local side and the cloud. New makes one, Run is its life.
type Bridge struct {
	cfg    Config
	log    *slog.Logger
	outbox *Outbox
	local  LocalSide
	guard  loopGuard

	up       atomic.Pointer[Routes]
	down     atomic.Pointer[Routes]
	replaced chan struct{} // holds a token after SetRoutes
	backoff  backoff       // of sessions; only the supervisor touches it, and the next two
	ports    backoff       // of what comes before a modem is attached
	resting  *backoff
	ladder   ladder
	onlineAt time.Time // when the last session began; zero: none since the last failure. Only the supervisor touches it
	before   uint64    // what had been delivered then; only the supervisor touches it
	paths    paths     // only the supervisor touches it
	lastPath string    // of the session before; only the supervisor touches it
	silent   bool      // nothing has answered on the port; only the supervisor touches it
	queueDir string
	rivals   rivals // only the supervisor touches it
	suspect  suspect
	left     []modems.Message // that a dial which failed was given; only the supervisor and its pumpDown touch it
	attached string           // the file that says: a modem is attached and was not yet let go in order

	mu     sync.Mutex
	state  State
	reason string
	since  time.Time
	detour detourStatus
	path   string
	cloud  CloudStatus
	modem  *modems.Modem // nil: none is attached
	line   LineStatus    // of the modems that were attached before

	recovery recovery
	direct   direct

	inFlight atomic.Int64  // publishes whose acknowledgement is awaited
	due      chan struct{} // holds a token when there is one again; for probe

	upAccepted, upDelivered, downReceived, downDelivered, loops, sessions, switches, recoveries atomic.Uint64
}

// New opens the queue and starts the local broker: what can be wrong with this machine shows here.
func New(cfg Config) (*Bridge, error) {
	b := &Bridge{cfg: cfg, log: cfg.Log, state: Starting, since: time.Now(), attached: filepath.Join(cfg.Queue.Dir, "attached")}
	b.up.Store(&cfg.Up)
	b.down.Store(&Routes{})
	b.replaced = make(chan struct{}, 1)
	b.due = make(chan struct{}, 1)
	b.direct.changed = make(chan struct{})
	if m := cfg.Modem; m != nil {
		b.ladder = ladder{hasReset: m.Reset != nil, perHour: m.MaxResetsPerHour}
	}
	b.paths = paths{mode: cfg.Path, hold: nativeHold}
	b.suspect.quiet = suspectQuiet
	b.backoff.most, b.ports.most = backoffMax, portMax
	b.resting = &b.backoff
	var err error
	if b.queueDir, err = filepath.Abs(cfg.Queue.Dir); err != nil {
		return nil, err
	}
	if b.outbox, err = OpenOutbox(cfg.Queue); err != nil {
		return nil, err
	}
	cfg.Local.Room = b.room // a full queue holds its publishers for a while
	cfg.Local.File = filepath.Join(cfg.Queue.Dir, "local")
	if b.local, err = startLocalSide(cfg.Local, cfg.Up, b.accept); err != nil {
		return nil, errors.Join(err, b.outbox.Close())
	}
	return b, nil
}

// SetRoutes replaces the routes from local topics: the next message is the first to follow them. Those from the cloud
// are asked for anew, from Config.Target; a session that stands subscribes to what is new and leaves what is gone.
func (b *Bridge) SetRoutes(up Routes) {
	b.up.Store(&up)
	b.local.Follow(up)
	select {
	case b.replaced <- struct{}{}:
	default:
	}
}

// LocalAddr is where local clients connect.
func (b *Bridge) LocalAddr() string { return b.local.Addr() }

// upward makes of a local message what goes up, where a route sends it up. What its publisher has sent with QoS 0 is
// expendable, whatever QoS it travels with from here on.
func (b *Bridge) upward(m modems.Message) (up modems.Message, h Handling, ok bool) {
	to, r, ok := b.up.Load().Map(m.Topic)
	h = Handling{High: r.Priority == "high", Expendable: m.QoS == 0}
	m.Topic, m.QoS = to, r.QoS
	return m, h, ok
}

// accept takes a local message that a route sends up. done is called once it is on the disk.
func (b *Bridge) accept(m modems.Message, done func(error)) (taken bool) {
	m, h, ok := b.upward(m)
	if !ok {
		return false
	}
	b.outbox.PutAs(m, h, func(err error) {
		if err == nil {
			b.upAccepted.Add(1)
		}
		done(err)
	})
	return true
}

// room waits until accept would take a local message.
func (b *Bridge) room(ctx context.Context, m modems.Message) error {
	m, h, ok := b.upward(m)
	if !ok {
		return nil
	}
	return b.outbox.Room(ctx, m, h)
}

// Queue is what waits on the disk: for a person to look at, and to drop from.
func (b *Bridge) Queue() *Outbox { return b.outbox }

// Run carries messages until ctx ends, then stops in order: what is being sent may still be acknowledged, the
// session is closed, the modem is let go. Its error is one that trying again cannot mend.
func (b *Bridge) Run(ctx context.Context) error {
	err := b.supervise(ctx)
	b.enter(Stopping, "")
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if errLeft := b.handLeft(leaving); errLeft != nil {
		err = errors.Join(err, fmt.Errorf("%d messages that the module has pushed are lost: %w", len(b.left), errLeft))
	}
	return errors.Join(err, b.local.Close(), b.outbox.Close())
}

// Send runs commands for a person on the modem that is attached.
func (b *Bridge) Send(ctx context.Context, req modems.SendRequest) ([]modems.SendAnswer, error) {
	m, err := b.Modem()
	if err != nil {
		return nil, err
	}
	return m.Send(ctx, req)
}

// Modem is the one that is attached, for a person's questions; ErrNoModem and why if none is.
func (b *Bridge) Modem() (*modems.Modem, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.modem != nil:
		return b.modem, nil
	case b.reason != "":
		return nil, fmt.Errorf("%w: the daemon is %s: %s", ErrNoModem, b.state, b.reason)
	}
	return nil, fmt.Errorf("%w: the daemon is %s", ErrNoModem, b.state)
}

// ErrNoModem: no modem is attached at the moment.
var ErrNoModem = errors.New("no modem is attached")

// markAttached notes on the disk that a modem is attached. If the note is there already, this process was killed or has
// lost the line, perhaps between a prompt and its payload; waits: the modem may wait for that payload for ever.
func (b *Bridge) markAttached() (before, waits bool, err error) {
	for _, name := range []string{b.attached, b.attachedWaits()} {
		_, err := os.Stat(name)
		if err == nil {
			return true, name != b.attached, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, false, fmt.Errorf("looking for %s: %w", name, err)
		}
	}
	if err := os.WriteFile(b.attached, nil, 0o600); err != nil {
		return false, false, fmt.Errorf("noting that the modem is attached: %w", err)
	}
	return false, false, nil
}

// attachedWaits is the name of that note where the modem does not leave its data state by itself.
func (b *Bridge) attachedWaits() string { return b.attached + "-waits" }

// markWaits notes whether m leaves its data state by itself. A new name needs no room on a full disk.
func (b *Bridge) markWaits(m *modems.Modem) error {
	from, to := b.attached, b.attachedWaits()
	if m.LeavesDataState() {
		from, to = to, from
	}
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("noting how the modem waits for data: %w", err)
	}
	return nil
}

// markReleased takes the note back.
func (b *Bridge) markReleased() error {
	for _, name := range []string{b.attached, b.attachedWaits()} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("noting that the modem was let go: %w", err)
		}
	}
	return nil
}
