package modems

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// lierdaMQTT drives the LMQTT commands.
type lierdaMQTT struct {
	window int // unacknowledged publishes; how many the module bears is not known
}

// Times from the command, or from its OK, to the result (MQTT; field drivers).
const (
	lierdaOpened = 160 * time.Second // name, PDP context, TCP
	lierdaResult = 30 * time.Second  // CONN, SUBUNSUB, PUB
	lierdaEnded  = 5 * time.Second   // DISC, CLOSE

	lierdaPublish = 10 * time.Second        // the field drivers' 5 s are for an idle module; it may be busy with the radio
	lierdaByte    = 2100 * time.Microsecond // of payload, at 4800 baud
	lierdaMute    = 2 * time.Second         // a QoS 0 publish without a result: some firmware prints none
	lierdaLost    = 5 * time.Second         // CONNACK may still come behind a status that tells of a loss (seen on an EC-01G)
)

var lierdaLimits = textLimits{host: 100, name: lierdaMaxText, topic: lierdaMaxText, will: lierdaMaxText} // AT+LMQTTOPEN and others (MQTT)

var lierdaOpenWords = map[int]string{ // MQTT
	-1: "the network could not be opened",
	1:  "wrong parameter",
	2:  "the client is in use",
	3:  "the data connection could not be brought up",
	4:  "the name of the broker could not be resolved",
	5:  "the network was disconnected",
}

// Limits of AT+LMQTTPUB.
func (q lierdaMQTT) Limits() Limits {
	return Limits{Topic: lierdaMaxText, Payload: lierdaMaxPayload, Window: q.window}
}

// DialMQTT closes what an earlier run has left, writes all settings, opens the network, and connects.
func (q lierdaMQTT) DialMQTT(ctx context.Context, m *Modem, cfg MQTTConfig) (Session, error) {
	if err := lierdaSuits(cfg); err != nil {
		return nil, err
	}
	m.opts.Progress("opening the MQTT session")
	s := newLierdaSession(m, q, cfg.Window)
	if err := s.dial(ctx, cfg); err != nil {
		return nil, s.undo(ctx, err)
	}
	go s.watch()
	return s, nil
}

// lierdaSuits refuses what these commands cannot carry, before a byte is sent.
func lierdaSuits(cfg MQTTConfig) error {
	if cfg.TLS != nil { // AT+LMQTTCFG="sslenable" is there, but no command is known that gives it a certificate
		return fmt.Errorf("%w: mqtts on the module's own stack, because the module could not verify the broker; let the host do it (path.mode: tcp or host), or use mqtt://", ErrUnsupported)
	}
	return lierdaLimits.suits(cfg)
}

// dial goes from whatever there is to a connected client. A client that is in use is of an earlier run: it is closed
// once more, and all settings are lost with it.
func (s *lierdaSession) dial(ctx context.Context, cfg MQTTConfig) error {
	for again := true; ; again = false {
		if err := s.cleanUp(ctx); err != nil {
			return fmt.Errorf("ending an earlier session: %w", err)
		}
		if err := s.configure(ctx, cfg); err != nil {
			return fmt.Errorf("configuring MQTT: %w", err)
		}
		s.forget()
		code, err := s.open(ctx, cfg)
		switch {
		case err != nil:
			return fmt.Errorf("connecting to %s port %d: %w", cfg.Host, cfg.Port, err)
		case code == 2 && again:
			continue
		case code != 0:
			return unresolved(code == 4, fmt.Errorf("the modem cannot reach %s port %d: %s (+LMQTTOPEN)", cfg.Host, cfg.Port, words(lierdaOpenWords, code)))
		}
		return s.connect(ctx, cfg)
	}
}

// cleanUp disconnects and closes, whatever comes of it: mostly there is nothing to end.
func (s *lierdaSession) cleanUp(ctx context.Context) error {
	s.up.Store(false) // what tells of the end is no loss
	for _, name := range []string{"+LMQTTDISC", "+LMQTTCLOSE"} {
		_, err := s.exchange(ctx, atcmd.Set(name, lierdaClient), lierdaEnded, name+":", ofLierdaClient)
		switch {
		case s.m.Err() != nil:
			return s.m.Err()
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, atcmd.ErrReboot):
			return err
		}
	}
	return nil
}

// ofLierdaClient reports whether a result is about our client.
func ofLierdaClient(l atcmd.Line) bool {
	_, p, err := atcmd.ParseParams(l.Head)
	client, errClient := p.Int(0)
	return err == nil && errClient == nil && client == lierdaClient
}

// configure writes every setting. Firmware differs in which it knows; a session can do without most of them.
func (s *lierdaSession) configure(ctx context.Context, cfg MQTTConfig) error {
	m := s.m
	for _, c := range []atcmd.Command{
		lierdaSetting("urc", 1),   // results are printed; some firmware does so only now
		lierdaSetting("cache", 0), // messages are printed, not kept
	} {
		if err := m.try(ctx, c); err != nil {
			return err
		}
	}
	text, err := m.accepts(ctx, lierdaSetting("send/mode", 0)) // payload as it is, not in hexadecimal
	if err != nil {
		return err
	}
	// Payload in the URC, with its length. Without the length a payload is taken to end at its line's end.
	counted, err := m.accepts(ctx, lierdaSetting("recv/mode", 0, 1))
	if err != nil {
		return err
	}
	if !counted {
		m.log.Warn("this firmware does not tell the length of received payloads: one with a line end in it will be cut")
	}
	if !text || !counted {
		if err := m.try(ctx, lierdaSetting("dataformat", 0, 0)); err != nil {
			return err
		}
	}
	if err := m.use(ctx, lierdaGrammar(counted)); err != nil {
		return err
	}
	return s.configureClient(ctx, cfg)
}

// configureClient writes what the broker is told. Without these a session would not be what was asked for.
func (s *lierdaSession) configureClient(ctx context.Context, cfg MQTTConfig) error {
	if err := s.m.try(ctx, lierdaSetting("version", 4)); err != nil { // 3.1.1, the default
		return err
	}
	for _, c := range []atcmd.Command{lierdaSetting("session", cfg.CleanSession), lierdaKeepAlive(cfg.KeepAlive)} {
		if _, err := s.m.Do(ctx, c); err != nil {
			return err
		}
	}
	if err := s.m.try(ctx, lierdaSetting("timeout", lierdaPacket, lierdaRetries, 0)); err != nil {
		return err
	}
	if took, err := s.m.accepts(ctx, lierdaWill(cfg.Will)); err != nil {
		return err
	} else if !took && cfg.Will != nil {
		return fmt.Errorf("%w: this firmware takes no will", ErrUnsupported)
	}
	if cfg.Aliyun == nil {
		return nil
	}
	cloud, auth := lierdaAliyun(cfg.Aliyun)
	if err := s.m.try(ctx, cloud); err != nil {
		return err
	}
	took, err := s.m.accepts(ctx, auth)
	if err == nil && !took {
		err = fmt.Errorf("%w: this firmware has no login to Aliyun", ErrUnsupported)
	}
	return err
}

// open returns the result of opening the network. A failure's reason stands behind -1, or in its place.
func (s *lierdaSession) open(ctx context.Context, cfg MQTTConfig) (code int, err error) {
	l, err := s.exchange(ctx, lierdaOpen(cfg.Host, cfg.Port), lierdaOpened, "+LMQTTOPEN:", ofLierdaClient)
	if err != nil {
		return 0, err
	}
	_, p, err := atcmd.ParseParams(l.Head)
	if err != nil {
		return 0, err
	}
	if code, err = p.Int(1); err != nil {
		return 0, fmt.Errorf("%s: %w", l.Head, err)
	}
	if why, err := p.Int(2); err == nil && code == -1 {
		code = why
	}
	return code, nil
}

// connect sends CONNECT, at once: brokers drop a connection that stays silent. The session itself takes the answer,
// in its order among the URCs.
func (s *lierdaSession) connect(ctx context.Context, cfg MQTTConfig) error {
	if _, err := s.m.Do(ctx, lierdaConnect(cfg)); err != nil {
		return fmt.Errorf("connecting to the broker: %w", err)
	}
	patience := time.NewTimer(lierdaResult)
	defer patience.Stop()
	err := fmt.Errorf("the broker did not answer CONNECT: %w", atcmd.ErrTimeout)
	for {
		select {
		case answer := <-s.connack:
			return answer
		case err = <-s.lost:
			patience.Reset(lierdaLost)
		case <-s.Done():
			return s.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C: // result 1 may have been the last word, or the firmware prints none
			if stands, errState := lierdaStands(ctx, s.m); errState == nil && stands {
				s.up.Store(true)
				return nil
			}
			return err
		}
	}
}

// lierdaStands asks whether our client is connected (3). The answer has one field less than a late result.
func lierdaStands(ctx context.Context, m *Modem) (bool, error) {
	ask := atcmd.Read("+LMQTTCONN")
	ask.Info = func(line string) bool {
		name, p, err := atcmd.ParseParams(line)
		return err == nil && name == "+LMQTTCONN" && len(p) == 2
	}
	r, err := m.Do(ctx, ask)
	for _, l := range r.Info {
		if _, p, err := atcmd.ParseParams(l.Head); err == nil && p.Text(0) == "0" && p.Text(1) == "3" {
			return true, nil
		}
	}
	return false, err
}
