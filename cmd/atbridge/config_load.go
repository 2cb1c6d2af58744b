package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	defaultConfigFile = "/etc/atbridge/atbridge.yaml"
	maxConfigSize     = 1 << 20
)

// need says which parts of the configuration a command cannot do without. Every value is checked for its syntax in
// any case; what is missing and what does not fit together is looked for in the parts that are needed, and only
// their secrets are read, so that send works for a user who may not read the broker's password.
type need uint8

const (
	needFile  need = 1 << iota // a file, and not only flags
	needPort                   // a serial port
	needPath                   // a serial port, or path.mode host
	needCloud                  // a broker or a platform
	needLocal                  // the local side, routes and queue

	needAll = needFile | needPath | needCloud | needLocal
)

// load reads the configuration with the precedence that the user was promised: flag, environment, file, default.
// Its error is of type configErrors where the configuration is wrong, with every problem in it.
func (g *globals) load(n need) (*Config, error) {
	file, data, err := g.readConfig(n)
	if err != nil {
		return nil, err
	}
	return parseConfig(source{file: file, data: data, getenv: g.getenv, overrides: g.overrides(), need: n})
}

// readConfig finds the file and reads it; no file at all is right for a command that does not need one.
func (g *globals) readConfig(n need) (name string, data []byte, err error) {
	name, _ = g.flagOrEnv("config")
	given := name != ""
	if !given {
		name = defaultConfigFile
	}
	f, err := openInput(name)
	switch {
	case err != nil && !given && n&needFile == 0:
		// None there, or one that only the daemon may read: flags and defaults must do.
		return "", nil, nil
	case errors.Is(err, fs.ErrNotExist) && !given:
		return "", nil, usagef("no configuration: give --config FILE or set ATBRIDGE_CONFIG (%s does not exist)", name)
	case err != nil:
		return "", nil, usagef("the configuration cannot be read: %w", err)
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	switch {
	case err != nil:
		return "", nil, usagef("the configuration cannot be read: %w", err)
	case len(data) > maxConfigSize:
		return "", nil, usagef("%s is larger than %d bytes; that is no configuration of atbridge", name, maxConfigSize)
	}
	return name, data, nil
}

// flagOrEnv returns what the user said about a common flag on the command line, else in the environment, and how.
func (g *globals) flagOrEnv(flag string) (text, by string) {
	if f := g.flags.Lookup(flag); f.Changed {
		return f.Value.String(), "--" + flag
	}
	by = "ATBRIDGE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	text, _ = g.getenv(by)
	return text, by
}

func (g *globals) overrides() []override {
	var list []override
	for _, f := range commonFlags {
		if text, by := g.flagOrEnv(f.name); text != "" {
			list = append(list, override{f.key, text, by})
		}
	}
	return list
}

// override is a key that a flag or a variable gives, and its name.
type override struct{ key, text, by string }

// source is everything that a configuration is made of.
type source struct {
	file      string // how errors name it; empty: no file
	data      []byte
	getenv    func(string) (string, bool)
	overrides []override
	need      need
}

// parseConfig makes a Config of src, or says everything that is wrong with it.
func parseConfig(src source) (*Config, error) {
	c := defaultConfig()
	c.File = src.file
	d := &decoder{file: src.file, getenv: src.getenv, places: map[string]place{}, files: map[string]string{}}
	if src.file != "" {
		d.document(src.data, c)
	}
	for _, o := range src.overrides {
		d.override(o, c)
	}
	if !d.unread {
		d.secrets(c, src.need)
		check := checker{decoder: d, c: c, said: slices.Clone(d.problems)}
		check.all(src.need)
	}
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	return c, nil
}

const minimal = `a small configuration holds: modem: {port: /dev/ttyUSB2}, cloud: {broker: "mqtt://broker.example"}, routes: {up: [{from: "#", to: "site7/#"}]}`

// document decodes the one YAML document in data.
func (d *decoder) document(data []byte, c *Config) {
	var root yaml.Node
	reader := yaml.NewDecoder(bytes.NewReader(data))
	err := reader.Decode(&root)
	switch {
	case errors.Is(err, io.EOF) || err == nil && root.Content[0].Tag == "!!null" && root.Content[0].Kind == yaml.ScalarNode:
		d.unread = true
		d.fail(place{name: d.file}, "", "the file is empty; %s", minimal)
		return
	case err != nil:
		d.syntax(data, err)
		return
	}
	d.unread = root.Content[0].Kind != yaml.MappingNode
	d.mapping(root.Content[0], "", reflect.ValueOf(c).Elem())

	var second yaml.Node
	switch err := reader.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(data, err)
	default:
		d.fail(d.at(&second), "", "a second document begins here; a file holds one configuration, without ---")
	}
}

// override sets the key that a flag or a variable gives. --port makes a modem section where there is none.
func (d *decoder) override(o override, c *Config) {
	if strings.HasPrefix(o.key, "modem.") && c.Modem == nil {
		if o.key != "modem.port" {
			return
		}
		c.Modem = new(Modem)
		c.Modem.setDefaults()
	}
	at := place{name: o.by}
	v, tag := lookup(c, o.key)
	text := o.text
	if v.Kind() == reflect.Bool { // ATBRIDGE_WIRE=1
		text = map[string]string{"1": "true", "0": "false"}[text]
		if text == "" {
			text = o.text
		}
	}
	if err := setScalar(v, tag, text); err != nil {
		d.fail(at, "", "%v", err)
	}
	d.places[o.key] = at
}

// beside resolves a file name in the configuration, which is meant from where the configuration lies.
func (c *Config) beside(name string) string {
	if filepath.IsAbs(name) || c.File == "" {
		return name
	}
	return filepath.Join(filepath.Dir(c.File), name)
}

// where is the place of key, else of the section that should hold it.
func (d *decoder) where(key string) place {
	for {
		if p, ok := d.places[key]; ok {
			return p
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return place{name: d.file}
		}
		key = key[:i]
	}
}
