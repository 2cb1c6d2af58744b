package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems"
)

const (
	// connackTimeout is how long a broker may take from the connection to CONNACK, TLS included. A cellular round trip is
	// about a second.
	connackTimeout = 60 * time.Second
	// ackTimeout is how long the oldest publish may wait for its PUBACK when all has been written: a broker that answers
	// pings alone would hold all behind it.
	ackTimeout = 2 * time.Minute
	// pingTimeout is how long it may take to answer PINGREQ.
	pingTimeout = 30 * time.Second
	// handover is how long paho may take to pass a packet to the link, which only copies. It is not reached unless
	// the session is ending at that very moment.
	handover = 5 * time.Second

	defaultWindow = 16
	maxString     = 65535                     // MQTT 3.1.1, section 1.5.3
	maxKeepAlive  = 65535 * time.Second       // section 3.1.2.10
	maxPayload    = 268435455 - maxString - 4 // section 2.2.3, less the longest topic and the packet identifier
)

// Dial opens a session over the connection that dial returns. If it returns nil, the broker has accepted CONNECT;
// a refusal is a modems.ConnackError. The context bounds Dial alone, not the session.
func Dial(ctx context.Context, dial func(context.Context) (net.Conn, error), cfg modems.MQTTConfig) (modems.Session, error) {
	if err := checkConfig(cfg); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if cfg.TLS != nil && cfg.Clock != nil {
		if _, err := cfg.Clock(); err != nil {
			return nil, fmt.Errorf("connect: TLS: %w", err)
		}
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connackTimeout, fmt.Errorf("the broker did not answer within %v: %w", connackTimeout, context.DeadlineExceeded))
	defer cancel()
	if conn, err = wrap(ctx, conn, cfg); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := newSession(conn, cfg)
	if err := s.connect(ctx); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return s, nil
}

// wrap puts TLS and WebSocket around conn, as cfg asks for it. It closes conn if it fails.
func wrap(ctx context.Context, conn net.Conn, cfg modems.MQTTConfig) (net.Conn, error) {
	var err error
	if cfg.TLS != nil {
		if conn, err = wrapTLS(ctx, conn, cfg); err != nil {
			return nil, err
		}
	}
	if cfg.WebSocket != "" {
		return wrapWebSocket(ctx, conn, net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), cfg.WebSocket)
	}
	return conn, nil
}

// checkConfig finds what paho would cut off or leave out without a word.
func checkConfig(cfg modems.MQTTConfig) error {
	switch {
	case max(len(cfg.ClientID), len(cfg.Username), len(cfg.Password)) > maxString:
		return fmt.Errorf("client id, user name and password have at most %d bytes each", maxString)
	case cfg.KeepAlive < 0 || cfg.KeepAlive > maxKeepAlive || cfg.KeepAlive%time.Second != 0:
		return fmt.Errorf("a keepalive of %v is not possible; use whole seconds up to %v", cfg.KeepAlive, maxKeepAlive)
	case cfg.Password != "" && cfg.Username == "":
		return errors.New("MQTT 3.1.1 sends no password without a user name")
	}
	return nil
}

func (s *session) options(cfg modems.MQTTConfig) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.Servers = []*url.URL{{Scheme: "tcp", Host: cfg.Host}} // paho asks for one, though the link is what it gets
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.link, nil })
	o.SetProtocolVersion(4) // else a refusal is tried again as MQTT 3.1
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetConnectTimeout(2 * connackTimeout) // ours comes first
	o.SetWriteTimeout(handover)
	o.SetPingTimeout(pingTimeout)
	o.SetKeepAlive(cfg.KeepAlive)
	o.SetClientID(cfg.ClientID)
	o.SetUsername(cfg.Username)
	o.SetPassword(cfg.Password)
	o.SetCleanSession(cfg.CleanSession)
	if w := cfg.Will; w != nil {
		o.SetBinaryWill(w.Topic, w.Payload, min(w.QoS, 2), w.Retain)
	}
	o.SetAutoAckDisabled(true)
	o.SetOrderMatters(true)
	// The one handler, set before CONNECT: a persistent session may deliver before anything is subscribed.
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.arrived(m) })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost(err) })
	return o
}

// connect sends CONNECT and waits for CONNACK. If it fails, nothing is left behind.
func (s *session) connect(ctx context.Context) error {
	token := s.client.Connect()
	select {
	case <-token.Done():
	case <-ctx.Done():
		s.link.abort()
		<-token.Done() // Read and Write have been unblocked
	}
	err := token.Error()
	switch {
	case s.link.in.refusal != 0: // paho takes a code above 5 for success
		err = modems.ConnackError(s.link.in.refusal)
	case ctx.Err() != nil && err != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = s.link.fail(err) // what the line said, which paho wraps into "network Error"
	default:
		s.resumed = token.(*paho.ConnectToken).SessionPresent()
		return nil
	}
	s.end(err)
	s.shut(context.WithoutCancel(ctx))
	return said(err)
}
