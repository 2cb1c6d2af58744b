package modems

import (
	"context"
	"errors"
	"time"
)

// Message is one MQTT application message, as either side sees it.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte // 0 to 2; where the host encodes MQTT itself, 2 is carried as 1
	Retain  bool
}

// MQTTConfig is what a broker must be told to open a session, whoever encodes it.
type MQTTConfig struct {
	Host         string // name or literal address, without brackets
	Port         int
	TLS          *TLSConfig // nil: plain TCP
	WebSocket    string     // path of MQTT over WebSocket; empty: there is none. Only the host can do it
	ClientID     string
	Username     string
	Password     string        // a secret: masked in every log
	KeepAlive    time.Duration // whole seconds; 0: never ping
	CleanSession bool
	Window       int // publishes in flight; 0: what the path allows

	// Clock is the time by which the host checks the dates of certificates; an error: it is not known yet, and nobody is dialled
	// with TLS. nil: this machine's clock is right.
	Clock func() (time.Time, error)

	// Will is published by the broker when the session ends without a DISCONNECT; nil: nothing is.
	Will *Message

	// Aliyun, if not nil, lets a module log in to Aliyun by its own commands. ClientID, Username and Password are the
	// same login for all others, as the host computes it; a driver is only given one of the two.
	Aliyun *AliyunAuth
}

// AliyunAuth names a device of Aliyun's IoT platform.
type AliyunAuth struct {
	ClientID               string // a plain name
	ProductKey, DeviceName string
	DeviceSecret           string // a secret
}

// TLSConfig names the certificates of an mqtts broker, as files.
type TLSConfig struct {
	CAFile     string // empty: the roots of the host
	CertFile   string // client certificate; empty: none
	KeyFile    string
	ServerName string // empty: MQTTConfig.Host

	// TicketFile keeps the session for a shorter handshake next time, where the host does TLS. It is a secret; empty:
	// the session is forgotten when the program ends.
	TicketFile string
}

// Session is one live MQTT session, whether the modem's own stack encodes it or the host does.
// All methods may be called from several goroutines at once.
type Session interface {
	// Publish hands m to the link. If it returns nil, the link has taken m and the Receipt settles when the
	// broker has acknowledged it. At most Limits().Window publishes are unsettled; the next one waits.
	//
	//   - ErrMessage: m can never pass this path; nothing was sent, the session stands.
	//   - ErrRefused: the link refused m, though the session stands.
	//   - any other error: the session has ended or is about to.
	Publish(ctx context.Context, m Message) (Receipt, error)

	// Subscribe returns once the broker has granted filter. A lower granted QoS is no error.
	Subscribe(ctx context.Context, filter string, qos byte) error

	// Unsubscribe returns once the broker has confirmed it.
	Unsubscribe(ctx context.Context, filter string) error

	// Receive returns the next message from the broker, in order, also after the session's end until all is taken.
	// When more arrive than are taken, the session ends with ErrOverrun; it never loses one silently.
	Receive(ctx context.Context) (Delivery, error)

	Limits() Limits

	// Done is closed when the session has ended; Err then says why, in words for a person.
	Done() <-chan struct{}
	Err() error

	// Close ends the session in order (MQTT DISCONNECT) and frees what it holds; until it returns, messages may
	// arrive, and can be received afterwards. It is safe to call twice.
	Close(ctx context.Context) error
}

// Limits are the bounds of one path, in bytes and messages. Zero means no bound of its own.
type Limits struct {
	Topic   int // longest topic, bytes
	Payload int // longest payload, bytes
	Window  int // publishes in flight
}

// Outcome is how a publish ended.
type Outcome int

const (
	// Unknown: the session ended, or nothing was heard in time. The broker may or may not have the message.
	Unknown Outcome = iota
	// Acked: the broker acknowledged it (QoS 0: the link sent it).
	Acked
	// Failed: the link says that it could not be sent.
	Failed
)

func (o Outcome) String() string { return [...]string{"unknown", "acknowledged", "failed"}[o] }

// Receipt settles once, when the fate of one publish is known.
type Receipt interface {
	// Wait returns the outcome, or Unknown when ctx ends first.
	Wait(ctx context.Context) Outcome
}

// Delivery is one message from the broker, to be acknowledged once the local side has it.
type Delivery interface {
	Message() Message
	// Ack tells the broker that the message is safe. It does nothing where the module has acknowledged by itself.
	Ack() error
}

// ErrSessionClosed is why a session ended that was closed by its owner.
var ErrSessionClosed = errors.New("the session was closed")

var (
	// ErrMessage: this topic or payload can never pass this path. The pump takes another path or sets it aside.
	ErrMessage = errors.New("the message cannot pass this path")
	// ErrRefused: the link refused this message while its session stood. Trying again may help; for ever does not.
	ErrRefused = errors.New("the module refused the message")
	// ErrUnsupported: the configuration asks for what this path lacks.
	ErrUnsupported = errors.New("not supported on this path")
	// ErrByBroker: the broker ended a session that stood.
	ErrByBroker = errors.New("the broker closed the connection")
	// ErrOverrun: messages arrive faster than they are taken; the session ends so that the broker keeps the rest.
	ErrOverrun = errors.New("messages arrive faster than they are taken")
)

// ErrNoReason: the broker has refused the connection, or ended it, and the module does not say why.
var ErrNoReason = errors.New("the broker refused the connection, and the module does not say why (client id, user name, password?)")

// LoginRefused reports whether err is that the broker, as far as can be told, does not want this client.
func LoginRefused(err error) bool {
	return errors.As(err, new(ConnackError)) || errors.Is(err, ErrNoReason)
}

// ConnackError is the broker's refusal of the MQTT CONNECT packet: the return code of MQTT 3.1.1, section 3.2.2.3.
type ConnackError byte

func (e ConnackError) Error() string {
	words := map[ConnackError]string{
		1: "unacceptable protocol version",
		2: "client identifier rejected",
		3: "server unavailable",
		4: "bad user name or password",
		5: "not authorised",
	}
	w, ok := words[e]
	if !ok {
		w = "unknown return code"
	}
	return "the broker refused the connection: " + w
}
