package modems

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// quectelMQTT drives the QMT commands. Its fields are what the members of the family differ in.
type quectelMQTT struct {
	payload int // bytes of one QMTPUBEX
	window  int // unacknowledged publishes; one more is answered with ERROR
}

// Limits of AT+QMTPUBEX.
func (q quectelMQTT) Limits() Limits {
	return Limits{Topic: quectelMaxTopic, Payload: q.payload, Window: q.window}
}

const (
	quectelClient = 0 // <client_idx>, 0 to 5

	qmtOpenTimeout  = 120 * time.Second // MQTT 3.2.2
	qmtCloseTimeout = 30 * time.Second  // MQTT 3.2.3, 3.2.5
	qmtPacket       = 5                 // <pkt_timeout>, seconds, the default (MQTT 3.2.1)
	qmtRetries      = 3                 // <retry_times>, the default
	// A packet is sent once and retried; then the module gives up. A QMT result that is later than this is lost.
	qmtResult = (qmtPacket*(qmtRetries+1) + 5) * time.Second

	// The module leaves the data state after so much silence, where its firmware has the setting (seen on an EC600S:
	// 1 to 180 s). A payload of 1,500 bytes takes 3.1 s at 4800 baud.
	qmtEdit = 4
)

var qmtLimits = textLimits{host: 100, topic: 256, will: 256} // MQTT 3.2.1, 3.2.2

var qmtOpenWords = map[int]string{ // MQTT 3.2.2
	-1: "the network could not be opened",
	1:  "wrong parameter",
	2:  "the client is in use",
	3:  "the data connection could not be brought up",
	4:  "the name of the broker could not be resolved",
	5:  "the network was disconnected",
}

// DialMQTT configures the client, opens the network, and connects. What an earlier run has left open is closed
// first: configuration is refused while it stands.
func (q quectelMQTT) DialMQTT(ctx context.Context, m *Modem, cfg MQTTConfig) (Session, error) {
	var certificates []pemFile
	if cfg.TLS != nil {
		var err error
		if certificates, err = readCertificates(cfg); err != nil {
			return nil, err
		}
	}
	if err := qmtLimits.suits(cfg); err != nil {
		return nil, err
	}
	m.opts.Progress("opening the MQTT session")
	if err := quectelCleanUp(ctx, m, false); err != nil {
		return nil, err
	}
	grammar, err := quectelConfigure(ctx, m, cfg)
	if err != nil {
		return nil, fmt.Errorf("configuring MQTT: %w", err)
	}
	if cfg.TLS != nil {
		if err := quectelSecure(ctx, m, certificates); err != nil {
			return nil, fmt.Errorf("configuring TLS: %w", err)
		}
	}
	if err := m.use(ctx, grammar); err != nil {
		return nil, err
	}
	publish, err := quectelPublish(ctx, m)
	if err != nil {
		return nil, err
	}
	s := newQuectelSession(m, q, publish, cfg.Window)
	if err := quectelOpen(ctx, m, cfg); err != nil {
		s.abandon(err)
		return nil, err
	}
	if err := quectelConnect(ctx, m, s, cfg); err != nil {
		return nil, s.undo(ctx, err)
	}
	go s.watch()
	return s, nil
}

// quectelConfigure writes what the session needs; QMTCFG is lost with a reboot and refused while a session stands.
// It returns the grammar that holds with these settings.
func quectelConfigure(ctx context.Context, m *Modem, cfg MQTTConfig) (atcmd.Grammar, error) {
	for _, c := range []atcmd.Command{
		atcmd.Set("+QMTCFG", "version", quectelClient, 4), // 3.1.1; the default is 3.1
		atcmd.Set("+QMTCFG", "pdpcid", quectelClient, quectelContext),
		atcmd.Set("+QMTCFG", "keepalive", quectelClient, min(int(cfg.KeepAlive/time.Second), 3600)),
		atcmd.Set("+QMTCFG", "session", quectelClient, cfg.CleanSession),
		atcmd.Set("+QMTCFG", "timeout", quectelClient, qmtPacket, qmtRetries, 0),
		quectelWill(cfg.Will),
	} {
		if _, err := m.Do(ctx, c); err != nil {
			return atcmd.Grammar{}, err
		}
	}
	if a := cfg.Aliyun; a != nil {
		login := atcmd.Set("+QMTCFG", "aliauth", quectelClient, a.ProductKey, a.DeviceName, a.DeviceSecret)
		took, err := m.accepts(ctx, login.WithSecret(a.DeviceSecret))
		if err == nil && !took {
			err = fmt.Errorf("%w: this firmware has no login to Aliyun", ErrUnsupported)
		}
		if err != nil {
			return atcmd.Grammar{}, err
		}
	}
	for _, c := range []atcmd.Command{ // defaults that no manual marks
		atcmd.Set("+QMTCFG", "ssl", quectelClient, 0),
		atcmd.Set("+QMTCFG", "send/mode", quectelClient, 0),
		atcmd.Set("+QMTCFG", "dataformat", quectelClient, 0, 0),
	} {
		if err := m.try(ctx, c); err != nil {
			return atcmd.Grammar{}, err
		}
	}
	// Payload in the URC, with its length. Without the length a payload is taken to end at its line's end.
	counted, err := m.accepts(ctx, atcmd.Set("+QMTCFG", "recv/mode", quectelClient, 0, 1))
	if err != nil {
		return atcmd.Grammar{}, err
	}
	if !counted {
		m.log.Warn("this firmware does not tell the length of received payloads: one with a line end in it will be cut")
	}
	// Firmware that cannot be told not to may echo payloads (seen on an EC800M).
	silent, err := m.accepts(ctx, atcmd.Set("+QMTCFG", "view/mode", quectelClient, 0))
	if err != nil {
		return atcmd.Grammar{}, err
	}
	gives, err := m.accepts(ctx, atcmd.Set("+QMTCFG", "edit/timeout", quectelClient, 1, qmtEdit))
	if err != nil {
		return atcmd.Grammar{}, err
	}
	edit := time.Duration(0)
	if gives {
		edit = qmtEdit * time.Second
	}
	return quectelGrammar(counted, !silent, edit), nil
}

// quectelPublisher is the command that publishes. counted: it is told how long the payload is, which may hold any byte
// then; else Ctrl-Z ends it.
type quectelPublisher struct {
	name    string
	counted bool
}

// quectelPublish finds QMTPUBEX, or what older members of the family have instead: QMTPUB, which takes a length on some
// firmware (BG95 and EC2x manuals) and Ctrl-Z on all. Only its test form can tell; where that names no length, Ctrl-Z is
// safe: a length that is not wanted could leave the module waiting for Ctrl-Z for ever.
func quectelPublish(ctx context.Context, m *Modem) (quectelPublisher, error) {
	for _, name := range []string{"+QMTPUBEX", "+QMTPUB"} {
		r, err := m.Do(ctx, atcmd.Test(name))
		if atcmd.Refused(err) {
			continue
		}
		counted := name == "+QMTPUBEX" || strings.Contains(strings.ToLower(r.Text()), "len")
		if err == nil && !counted {
			m.log.Warn("this firmware ends payloads with Ctrl-Z: one that holds the bytes 1A or 1B cannot pass")
		}
		return quectelPublisher{name, counted}, err
	}
	return quectelPublisher{}, fmt.Errorf("%w: the firmware has neither AT+QMTPUBEX nor AT+QMTPUB", ErrUnsupported)
}

// quectelWill leaves a will behind, or none.
func quectelWill(w *Message) atcmd.Command {
	if w == nil {
		return atcmd.Set("+QMTCFG", "will", quectelClient, 0)
	}
	return atcmd.Set("+QMTCFG", "will", quectelClient, 1, min(w.QoS, 2), w.Retain, w.Topic, string(w.Payload))
}

// quectelOpen opens the network connection. Result 2 means that a client of an earlier run still holds it.
func quectelOpen(ctx context.Context, m *Modem, cfg MQTTConfig) error {
	for again := true; ; again = false {
		result, err := quectelResult(ctx, m, "+QMTOPEN", qmtOpenTimeout,
			atcmd.Set("+QMTOPEN", quectelClient, cfg.Host, cfg.Port))
		if err != nil {
			return fmt.Errorf("connecting to %s port %d: %w", cfg.Host, cfg.Port, err)
		}
		code, err := result.Int(1)
		if err != nil {
			return fmt.Errorf("connecting to %s port %d: +QMTOPEN: %w", cfg.Host, cfg.Port, err)
		}
		if code == 0 {
			return nil
		}
		if code == 2 && again {
			if err := quectelCleanUp(ctx, m, true); err != nil {
				return err
			}
			continue
		}
		why := words(qmtOpenWords, code)
		if code == -1 && cfg.TLS != nil {
			why += ", or the TLS handshake failed: is cloud.tls.ca_file the broker's authority?"
		}
		return unresolved(code == 4, fmt.Errorf("the modem cannot reach %s port %d: %s (+QMTOPEN: 0,%d)", cfg.Host, cfg.Port, why, code))
	}
}

// quectelConnect sends CONNECT, at once: brokers drop a connection that stays silent for some seconds.
func quectelConnect(ctx context.Context, m *Modem, s *quectelSession, cfg MQTTConfig) error {
	args := []any{quectelClient, cfg.ClientID}
	if cfg.Username != "" || cfg.Password != "" {
		args = append(args, cfg.Username, cfg.Password)
	}
	connect := atcmd.Set("+QMTCONN", args...).WithSecret(cfg.Password)
	// CONNACK is <result>,<ret_code>; <result> 1 alone only tells of a retransmission.
	w := m.await("+QMTCONN:", func(l atcmd.Line) bool {
		_, p, err := atcmd.ParseParams(l.Head)
		code, errCode := p.Int(1)
		return err == nil && errCode == nil && code != 1
	})
	defer w.stop()
	if _, err := m.Do(ctx, connect); err != nil {
		return fmt.Errorf("connecting to the broker: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, qmtResult)
	defer cancel()
	select {
	case l := <-w.found:
		return quectelConnack(l)
	case <-s.Done():
		select {
		case l := <-w.found: // a broker that refuses also hangs up
			return quectelConnack(l)
		default:
			return s.Err() // +QMTSTAT says more than a missing CONNACK
		}
	case <-ctx.Done():
		return fmt.Errorf("the broker did not answer CONNECT: %w", atcmd.ErrTimeout)
	}
}

func quectelConnack(l atcmd.Line) error {
	_, p, err := atcmd.ParseParams(l.Head)
	if err != nil {
		return err
	}
	code, err := p.Int(2)
	switch {
	case p.Text(1) != "0":
		return errors.New("the broker did not answer CONNECT (+QMTCONN: 0,2)")
	case err == nil && code != 0:
		return ConnackError(code)
	}
	return nil
}

// quectelCleanUp ends what an earlier session has left. Unless it must (force), it asks first.
func quectelCleanUp(ctx context.Context, m *Modem, force bool) error {
	for _, step := range []struct{ ask, end string }{{"+QMTCONN", "+QMTDISC"}, {"+QMTOPEN", "+QMTCLOSE"}} {
		stands := force
		if !force {
			var err error
			if stands, err = quectelStands(ctx, m, step.ask); err != nil {
				return fmt.Errorf("looking for an earlier session: %w", err)
			}
		}
		if !stands {
			continue
		}
		_, err := quectelResult(ctx, m, step.end, qmtCloseTimeout, atcmd.Set(step.end, quectelClient))
		if err != nil && !atcmd.Refused(err) && !errors.Is(err, errNoResult) {
			return fmt.Errorf("ending an earlier session: %w", err)
		}
	}
	return nil
}

// quectelStands asks whether our client is open (QMTOPEN?) or connecting or connected (QMTCONN?; 1 is initial). The
// answers are told from late result URCs of the same name by their shape.
func quectelStands(ctx context.Context, m *Modem, name string) (bool, error) {
	ask := atcmd.Read(name)
	ask.Info = func(line string) bool {
		_, p, err := atcmd.ParseParams(line)
		if err != nil || !strings.HasPrefix(line, name) {
			return false
		}
		return name == "+QMTOPEN" && len(p) == 3 || name == "+QMTCONN" && len(p) == 2
	}
	r, err := m.Do(ctx, ask)
	if atcmd.Refused(err) {
		return false, nil
	}
	for _, l := range r.Info {
		_, p, err := atcmd.ParseParams(l.Head)
		client, errClient := p.Int(0)
		if err == nil && errClient == nil && client == quectelClient && (name == "+QMTOPEN" || p.Text(1) != "1") {
			return true, nil
		}
	}
	return false, err
}

var errNoResult = fmt.Errorf("the result did not come: %w", ErrNoResult)

// quectelResult sends c and waits for our client's result URC, which may come before OK.
func quectelResult(ctx context.Context, m *Modem, urc string, within time.Duration, c atcmd.Command) (atcmd.Params, error) {
	w := m.await(urc+":", func(l atcmd.Line) bool {
		_, p, err := atcmd.ParseParams(l.Head)
		client, errClient := p.Int(0)
		return err == nil && errClient == nil && client == quectelClient
	})
	defer w.stop()
	if _, err := m.Do(ctx, c); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	l, err := w.wait(limited)
	if err != nil {
		if ctx.Err() == nil && limited.Err() != nil {
			return nil, fmt.Errorf("%s: %w within %v", c, errNoResult, within)
		}
		return nil, err
	}
	_, p, err := atcmd.ParseParams(l.Head)
	return p, err
}
