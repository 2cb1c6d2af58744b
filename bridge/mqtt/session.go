package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems"
)

const (
	// What may wait for Receive. A broker sends ahead of the acknowledgements, mosquitto up to 20 messages.
	maxQueued      = 1024
	maxQueuedBytes = 16 << 20

	// closeTimeout is how long paho may take to hand over DISCONNECT and to end its goroutines.
	closeTimeout = 5 * time.Second
)

var (
	errClosed = errors.New("the session was closed")
	errPing   = errors.New("the broker does not answer pings")
)

type session struct {
	link   *link
	client paho.Client
	limits modems.Limits
	clean  bool

	resumed bool // set before Dial returns

	slots   chan struct{} // one token per unsettled publish
	flying  chan *receipt // the same publishes in their order, for settle
	settled chan struct{} // closed when settle has ended

	done     chan struct{}
	endOnce  sync.Once
	err      error // why; set before done is closed
	shutOnce sync.Once

	mu     sync.Mutex
	queue  []*delivery
	queued int           // bytes in queue
	more   chan struct{} // capacity 1: queue is not empty
}

func newSession(conn net.Conn, cfg modems.MQTTConfig) *session {
	window := cfg.Window
	if window <= 0 {
		window = defaultWindow
	}
	s := &session{
		limits:  modems.Limits{Topic: maxString, Payload: maxPayload, Window: window},
		clean:   cfg.CleanSession,
		slots:   make(chan struct{}, window),
		flying:  make(chan *receipt, window),
		settled: make(chan struct{}),
		done:    make(chan struct{}),
		more:    make(chan struct{}, 1),
	}
	s.link = newLink(conn, s.linkFailed)
	s.client = paho.NewClient(s.options(cfg))
	go s.settle()
	return s
}

// Resumed: the broker knew the session, and has kept its subscriptions.
func (s *session) Resumed() bool { return s.resumed }

func (s *session) Limits() modems.Limits { return s.limits }
func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// end closes Done for the reason err; only the first reason counts.
func (s *session) end(err error) {
	s.endOnce.Do(func() {
		s.err = said(err)
		close(s.done)
	})
}

// why is the reason behind err, which paho gives once the line is lost: "not Connected".
func (s *session) why(err error) error {
	if ended := s.Err(); ended != nil {
		return ended
	}
	if failed := s.link.failure(); failed != nil {
		return said(failed)
	}
	return err
}

// byBroker is what a connection says when the other side has closed it: at the end of its bytes, or, where it has left
// some of ours unread, as a broker does with a message that is too large, by a reset.
var byBroker = []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE}

// said puts what a connection says into words for a person.
func said(err error) error {
	if slices.ContainsFunc(byBroker, func(end error) bool { return errors.Is(err, end) }) {
		return fmt.Errorf("%w: %w", modems.ErrByBroker, err)
	}
	return err
}

// lost is called by paho when everything that was read before the line broke has been dealt with: acknowledgements
// have settled, messages are in the queue. Only then is the session at its end.
func (s *session) lost(err error) {
	if strings.HasPrefix(err.Error(), "pingresp") {
		err = errPing
	}
	s.end(err)
	s.link.fail(err)
}

// linkFailed sees to it that the session ends although paho may not notice.
func (s *session) linkFailed(err error) {
	time.AfterFunc(closeTimeout, func() { s.end(err) })
}

// Close sends DISCONNECT after what has been published, and returns when the connection is closed.
func (s *session) Close(ctx context.Context) error {
	s.shut(ctx)
	s.end(errClosed)
	<-s.settled
	return ctx.Err()
}

// shut ends paho's goroutines and the link. When ctx ends, the line is cut.
func (s *session) shut(ctx context.Context) {
	s.shutOnce.Do(func() {
		stop := context.AfterFunc(ctx, s.link.abort)
		defer stop()
		s.client.Disconnect(uint(closeTimeout.Milliseconds()))
		s.link.Close() // paho has done so, unless it never was connected
		select {
		case <-s.link.gone:
		case <-ctx.Done():
			<-s.link.gone
		}
	})
}

func (s *session) Subscribe(ctx context.Context, filter string, qos byte) error {
	if err := checkString(filter); err != nil {
		return fmt.Errorf("subscribe %q: %w", filter, err)
	}
	token := s.client.Subscribe(filter, min(qos, 1), nil)
	select {
	case <-token.Done():
	case <-s.done:
		return fmt.Errorf("subscribe %q: %w", filter, s.err)
	case <-ctx.Done():
		return fmt.Errorf("subscribe %q: %w", filter, ctx.Err())
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("subscribe %q: %w", filter, s.why(err))
	}
	for _, granted := range token.(*paho.SubscribeToken).Result() {
		if granted == 0x80 { // MQTT 3.1.1, section 3.9.3
			return fmt.Errorf("subscribe %q: the broker refused the filter; may this client read it?", filter)
		}
	}
	return nil
}

// Unsubscribe waits for UNSUBACK.
func (s *session) Unsubscribe(ctx context.Context, filter string) error {
	if err := checkString(filter); err != nil {
		return fmt.Errorf("unsubscribe %q: %w", filter, err)
	}
	token := s.client.Unsubscribe(filter)
	select {
	case <-token.Done():
	case <-s.done:
		return fmt.Errorf("unsubscribe %q: %w", filter, s.err)
	case <-ctx.Done():
		return fmt.Errorf("unsubscribe %q: %w", filter, ctx.Err())
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("unsubscribe %q: %w", filter, s.why(err))
	}
	return nil
}

// checkString is the grammar of topics, names and filters: MQTT 3.1.1, section 1.5.3 and [MQTT-4.7.3-1].
func checkString(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the topic is empty", modems.ErrMessage)
	case len(s) > maxString:
		return fmt.Errorf("%w: the topic has %d bytes, at most %d are possible", modems.ErrMessage, len(s), maxString)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return fmt.Errorf("%w: the topic is not UTF-8 text", modems.ErrMessage)
	}
	if err := CheckText(s); err != nil {
		return fmt.Errorf("%w: %w", modems.ErrMessage, err)
	}
	return nil
}

// CheckText refuses the characters for which a receiver may end the connection: control characters, and those that are none
// (MQTT 3.1.1, section 1.5.3). mosquitto does.
func CheckText(s string) error {
	for _, r := range s {
		if r <= 0x1f || 0x7f <= r && r <= 0x9f || unicode.Is(unicode.Noncharacter_Code_Point, r) {
			return fmt.Errorf("the topic holds U+%04X, for which a broker may end the session", r)
		}
	}
	return nil
}
