package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// FuzzConfig: whatever the file holds, the loader does not panic, and no error shows what stands where a secret does.
func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	for _, seed := range []string{
		sound, "a: &a [*a]", "? {a: b}\n: c", "<<: {modem: {}}", "modem: {pin: \"${X}\"}", "\xff\xfe", "%YAML 1.1\n---\n", "modem: !!binary aGk=",
		sound + "local: {username: u, password: hunter2}\nlog: {level: x}",
		"modem:\n  pin: hunter2\n  apn_password: [hunter2]\ncloud:\n  password: \"hunter2${\"\n  broker: mqtt://b@hunter2\n",
		"cloud: {onenet: {key: hunter2, key_file: x}, tencent: {psk: hunter2}}",
		"cloud:\n  password: hunter2: x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := defaultConfig()
		d := &decoder{file: "c.yaml", getenv: env("X", "hunter2"), places: map[string]place{}, files: map[string]string{}}
		d.document([]byte(text), c)
		secrets := 0
		eachSecret(reflect.ValueOf(c).Elem(), "", func(_ string, s *Secret) {
			secrets += strings.Count(s.Reveal(), "hunter2")
		})
		_, err := parseConfig(source{file: "c.yaml", data: []byte(text), getenv: env("X", "hunter2"), need: needAll})
		if err == nil {
			return
		}
		// Only a text all of whose marks stand in secrets says anything: elsewhere an error may quote the value.
		if secrets == strings.Count(text, "hunter2") && secrets > 0 && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a secret: %v", err)
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "c.yaml") || strings.HasPrefix(line, "c.yaml: not YAML") {
				t.Errorf("no place: %q", line)
			}
		}
	})
}
