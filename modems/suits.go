package modems

import (
	"fmt"

	"github.com/atbridge/atbridge/atcmd"
)

// textLimits is how many bytes of each setting a family's commands take; zero: not known.
type textLimits struct {
	host     int
	name     int // client identifier and user name
	password int
	topic    int // of the will
	will     int // its message
}

// suits refuses what a command cannot carry, before a byte is sent: texts that are too long, or cannot stand in quotes.
func (l textLimits) suits(cfg MQTTConfig) error {
	type text struct {
		key, value string
		limit      int
	}
	texts := []text{
		{"cloud.broker", cfg.Host, l.host},
		{"cloud.client_id", cfg.ClientID, l.name},
		{"cloud.username", cfg.Username, l.name},
		{"cloud.password", cfg.Password, l.password},
	}
	if w := cfg.Will; w != nil {
		texts = append(texts, text{"the will's topic", w.Topic, l.topic}, text{"the will's message", string(w.Payload), l.will})
	}
	if a := cfg.Aliyun; a != nil {
		texts = append(texts, text{"the product key", a.ProductKey, 0}, text{"the device name", a.DeviceName, 0}, text{"the device secret", a.DeviceSecret, 0})
	}
	for _, t := range texts {
		if _, err := atcmd.Quote(t.value); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnsupported, t.key, err)
		}
		if t.limit > 0 && len(t.value) > t.limit {
			return fmt.Errorf("%w: %s has %d bytes; the module takes %d", ErrUnsupported, t.key, len(t.value), t.limit)
		}
	}
	return nil
}
