package modems

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// luatMQTT drives the module's one MQTT connection.
type luatMQTT struct {
	payload int // bytes of one AT+MPUBEX, where the firmware does not say how many it takes
	text    int // bytes between the quotes of AT+MPUB
	window  int
}

// Limits of AT+MPUBEX.
func (q luatMQTT) Limits() Limits {
	return Limits{Topic: luatMaxTopic, Payload: q.payload, Window: q.window}
}

const luatMaxTopic = 256 // bytes (MQTT, MSUB)

var luatLimits = textLimits{host: 256, name: 256, password: 256, topic: 256, will: 1360} // MQTT, MCONFIG

const (
	luatOpenTimeout    = 60 * time.Second // seen: 1.4 to 2.3 s with TLS; the name must be resolved, and packets get lost
	luatConnectTimeout = 30 * time.Second // seen: 0.25 s
	luatPoke           = 2 * time.Second  // brokers have been seen to wait 5 s for CONNECT
	luatResult         = 30 * time.Second // SUBACK and PUBACK; seen: 0.3 s
)

// DialMQTT opens the TCP or TLS connection, and connects at once: brokers drop a connection that stays silent. What an
// earlier run has left is closed first; the module's session survives its host.
func (q luatMQTT) DialMQTT(ctx context.Context, m *Modem, cfg MQTTConfig) (Session, error) {
	if err := luatLimits.suits(cfg); err != nil {
		return nil, err
	}
	var certificates []pemFile
	if cfg.TLS != nil {
		var err error
		if certificates, err = readCertificates(cfg); err != nil {
			return nil, err
		}
	}
	m.opts.Progress("opening the MQTT session")
	if err := luatCleanUp(ctx, m); err != nil {
		return nil, err
	}
	err := luatConfigure(ctx, m, cfg)
	counted := 0
	if err == nil {
		counted, err = q.counted(ctx, m)
	}
	if err != nil {
		return nil, fmt.Errorf("configuring MQTT: %w", err)
	}
	if cfg.TLS != nil {
		if err := luatSecure(ctx, m, cfg.Host, certificates); err != nil {
			return nil, fmt.Errorf("configuring TLS: %w", err)
		}
	}
	s := newLuatSession(m, q, counted, cfg.Window)
	if err := luatOpen(ctx, m, cfg); err != nil {
		s.abandon(err)
		return nil, err
	}
	if err := s.connect(ctx, cfg); err != nil {
		return nil, s.undo(ctx, err)
	}
	go s.watch()
	return s, nil
}

// luatCleanUp ends whatever session there is; how it is answered says nothing (FAQ).
func luatCleanUp(ctx context.Context, m *Modem) error {
	for _, name := range []string{"+MDISCONNECT", "+MIPCLOSE"} {
		if err := m.try(ctx, atcmd.Exec(name).WithTimeout(luatConnectTimeout)); err != nil {
			return fmt.Errorf("ending an earlier session: %w", err)
		}
	}
	return nil
}

// luatConfigure writes what is lost with every connection.
func luatConfigure(ctx context.Context, m *Modem, cfg MQTTConfig) error {
	args := []any{cfg.ClientID, cfg.Username, cfg.Password}
	if w := cfg.Will; w != nil {
		args = append(args, min(w.QoS, 2), w.Retain, w.Topic, string(w.Payload))
	}
	for _, c := range []atcmd.Command{
		atcmd.Set("+MQTTMSGSET", 0), // messages come at once; the manual contradicts itself on the default
		atcmd.Set("+MCONFIG", args...).WithSecret(cfg.Password),
	} {
		if _, err := m.Do(ctx, c); err != nil {
			return err
		}
	}
	return m.try(ctx, atcmd.Set("+MQTTMODE", 0)) // text, not hex
}

// `+MPUBEX:<topic>,(0-2),(0-1),<len>` is what the manual shows; where the range of the length stands there, it counts.
var mpubexRange = regexp.MustCompile(`, ?\(?1-([0-9]{1,6})\)?$`)

// counted is how many bytes AT+MPUBEX takes; 0: the firmware does not have it, for it came with V907 in August 2020.
func (q luatMQTT) counted(ctx context.Context, m *Modem) (int, error) {
	r, err := m.Do(ctx, atcmd.Test("+MPUBEX"))
	switch {
	case atcmd.Refused(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	if told := mpubexRange.FindStringSubmatch(r.Text()); told != nil {
		return strconv.Atoi(told[1])
	}
	return q.payload, nil
}

// luatOpen opens the connection. ALREADY CONNECT stands for one that cleaning up has left: it is closed once more.
func luatOpen(ctx context.Context, m *Modem, cfg MQTTConfig) error {
	name := "+MIPSTART"
	if cfg.TLS != nil {
		name = "+SSLMIPSTART"
	}
	for again := true; ; again = false {
		word, err := luatWord(ctx, m, luatMQTTLink, atcmd.Set(name, cfg.Host, cfg.Port), luatOpenTimeout,
			"CONNECT OK", "ALREADY CONNECT", "CONNECT FAIL", "CLOSED", "+PDP")
		switch {
		case errors.Is(err, errNoResult):
			return fmt.Errorf("the modem cannot reach %s port %d: %w", cfg.Host, cfg.Port, err)
		case err != nil:
			return fmt.Errorf("the modem cannot reach %s port %d: %w%s", cfg.Host, cfg.Port, err, luatHint(cfg))
		case word == "CONNECT OK":
			return nil
		case word == "ALREADY CONNECT" && again:
			if err := luatCleanUp(ctx, m); err != nil {
				return err
			}
			continue
		}
		return fmt.Errorf("the modem cannot reach %s port %d (%s)%s", cfg.Host, cfg.Port, word, luatHint(cfg))
	}
}

func luatHint(cfg MQTTConfig) string {
	if cfg.TLS == nil {
		return ""
	}
	return "; is cloud.tls.ca_file the broker's authority?"
}

// luatWord sends c and returns the first of words that comes as a URC, before OK or after it; with AT+CIPMUX=1 the number
// of the link stands before it.
func luatWord(ctx context.Context, m *Modem, link int, c atcmd.Command, within time.Duration, words ...string) (string, error) {
	found := ""
	w := m.await("", func(l atcmd.Line) bool {
		line := luatBare(link, l.Head)
		for _, word := range words {
			if found == "" && strings.HasPrefix(line, word) {
				found = word
				return true
			}
		}
		return false
	})
	defer w.stop()
	if _, err := m.Do(ctx, c); err != nil {
		return "", err
	}
	// Firmware has been seen to leave out the line end behind CONNECT OK. The next answer ends that line.
	for deadline := time.Now().Add(within); ; {
		limited, cancel := context.WithTimeout(ctx, luatPoke)
		_, err := w.wait(limited)
		cancel()
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil || m.Err() != nil:
			return "", err
		case time.Now().After(deadline):
			return "", fmt.Errorf("%w within %v", errNoResult, within)
		}
		if _, err := m.Do(ctx, atcmd.Exec("")); err != nil {
			return "", err
		}
	}
}

// luatMQTTLink is the number of the link that the MQTT commands use.
const luatMQTTLink = 7

// luatBare takes the number of a link, and blanks, off a result.
func luatBare(link int, line string) string {
	if rest, ok := strings.CutPrefix(line, strconv.Itoa(link)+","); ok {
		line = rest
	}
	return strings.TrimSpace(line)
}

// luatState is AT+MQTTSTATU: 0 offline, 1 connected, 2 TCP only. Its answer has a blank before the colon.
func luatState(ctx context.Context, m *Modem) (string, error) {
	r, err := m.Do(ctx, atcmd.Exec("+MQTTSTATU"))
	return bare(r, "+MQTTSTATU"), err
}
