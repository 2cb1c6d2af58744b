package modems

import (
	"errors"
	"strings"
	"testing"
)

// Whatever a family's commands cannot carry is refused by name, at its own limit, and without the value.
func TestSuits(t *testing.T) {
	for family, limits := range map[string]textLimits{"quectel": qmtLimits, "luat": luatLimits, "lierda": lierdaLimits} {
		for what, test := range map[string]struct {
			limit int
			set   func(cfg *MQTTConfig, value string)
		}{
			"cloud.broker":       {limits.host, func(cfg *MQTTConfig, v string) { cfg.Host = v }},
			"cloud.client_id":    {limits.name, func(cfg *MQTTConfig, v string) { cfg.ClientID = v }},
			"cloud.username":     {limits.name, func(cfg *MQTTConfig, v string) { cfg.Username = v }},
			"cloud.password":     {limits.password, func(cfg *MQTTConfig, v string) { cfg.Password = v }},
			"the will's topic":   {limits.topic, func(cfg *MQTTConfig, v string) { cfg.Will = &Message{Topic: v} }},
			"the will's message": {limits.will, func(cfg *MQTTConfig, v string) { cfg.Will = &Message{Topic: "t", Payload: []byte(v)} }},
			"the device secret":  {0, func(cfg *MQTTConfig, v string) { cfg.Aliyun = &AliyunAuth{DeviceSecret: v} }},
		} {
			refused := func(value string) bool {
				t.Helper()
				cfg := MQTTConfig{Host: "broker.example"}
				test.set(&cfg, value)
				err := limits.suits(cfg)
				if err != nil && (!errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), what+" ") && !strings.Contains(err.Error(), what+":") || strings.Contains(err.Error(), value)) {
					t.Errorf("%s, %s: %v", family, what, err)
				}
				return err != nil
			}
			for _, value := range []string{`say "AT"`, "line\rAT+CFUN=0", "\x1a"} {
				if !refused(value) {
					t.Errorf("%s, %s: %q passes", family, what, value)
				}
			}
			if test.limit > 0 && (refused(strings.Repeat("x", test.limit)) || !refused(strings.Repeat("x", test.limit+1))) {
				t.Errorf("%s, %s: %d bytes are not the limit", family, what, test.limit)
			}
		}
	}
}
