package main

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// decoder fills a Config from YAML nodes. yaml's own decoder is not asked, because it reads 0115200 as 39552, and
// because its errors quote values, which may be secrets. The nodes keep each value's text and line.
type decoder struct {
	file     string
	getenv   func(string) (string, bool)
	places   map[string]place  // key -> where it was given
	files    map[string]string // key of a Secret -> the file that holds it
	unread   bool              // the text is no YAML at all: nothing further is worth saying
	problems configErrors
}

// parser is a scalar with a syntax of its own. Its error quotes the text, therefore no Secret is one.
type parser interface{ parse(string) error }

// defaulter is a section that exists only where it is named.
type defaulter interface{ setDefaults() }

func (d *decoder) fail(at place, key, format string, args ...any) {
	d.problems = append(d.problems, problem{at, key, fmt.Sprintf(format, args...)})
}

func (d *decoder) at(n *yaml.Node) place { return place{d.file, n.Line} }

// value decodes n, which stands at key, into v. The tag is that of v's field.
func (d *decoder) value(n *yaml.Node, key string, v reflect.Value, tag reflect.StructTag) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.fail(d.at(n), key, "anchors and aliases (& and *) are not supported; write the value out, in quotes if it begins so")
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(d.at(n), key, "tags (!) are not supported; put a value that begins with ! into quotes")
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		// A key without a value, or a section whose keys are all commented out: the default holds.
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if s, ok := v.Interface().(defaulter); ok {
			s.setDefaults()
		}
		d.mapping(n, key, v.Elem())
	case v.Kind() == reflect.Struct:
		d.mapping(n, key, v)
	case v.Kind() == reflect.Slice:
		d.list(n, key, v)
	case n.Kind != yaml.ScalarNode:
		d.fail(d.at(n), key, "is %s, wants one value", kindOf(n))
	default:
		text, err := d.expandEnv(n.Value)
		if err == nil {
			err = setScalar(v, tag, text)
		}
		if err != nil {
			d.fail(d.at(n), key, "%v", err)
		}
	}
}

// mapping decodes the keys of n into the fields of the struct v.
func (d *decoder) mapping(n *yaml.Node, key string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fail(d.at(n), key, "is %s, wants keys such as %s", kindOf(n), strings.Join(keysOf(v.Type()), ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		path := join(key, name.Value)
		field, isFile := fieldOf(v.Type(), name.Value)
		if name.Kind != yaml.ScalarNode || field.Name == "" {
			d.unknown(name, path, keysOf(v.Type()))
			continue
		}
		if first, again := d.places[path]; again {
			d.fail(d.at(name), path, "stands here again; the first is on line %d", first.line)
			continue
		}
		d.places[path] = d.at(name)
		if !isFile {
			d.value(value, path, v.FieldByIndex(field.Index), field.Tag)
			continue
		}
		var file string
		if d.value(value, path, reflect.ValueOf(&file).Elem(), ""); file != "" {
			d.files[strings.TrimSuffix(path, fileSuffix)] = file
		}
	}
}

// list decodes a sequence; a list of words may also be one word.
func (d *decoder) list(n *yaml.Node, key string, v reflect.Value) {
	words := v.Type().Elem().Kind() == reflect.String
	entries := n.Content
	switch {
	case n.Kind == yaml.ScalarNode && words:
		if n.Value == "" {
			return
		}
		entries = []*yaml.Node{n}
	case n.Kind != yaml.SequenceNode:
		d.fail(d.at(n), key, "is %s, wants a list", kindOf(n))
		return
	}
	for i, entry := range entries {
		path := key
		if n.Kind == yaml.SequenceNode {
			path = fmt.Sprintf("%s[%d]", key, i)
		}
		d.places[path] = d.at(entry)
		item := reflect.New(v.Type().Elem())
		if s, ok := item.Interface().(defaulter); ok {
			s.setDefaults()
		}
		d.value(entry, path, item.Elem(), "")
		v.Set(reflect.Append(v, item.Elem()))
	}
}

func (d *decoder) unknown(name *yaml.Node, path string, keys []string) {
	if name.Kind != yaml.ScalarNode || !utf8.ValidString(name.Value) || strings.ContainsFunc(name.Value, unicode.IsControl) {
		d.fail(d.at(name), "", "a key must be one plain word; use %s", strings.Join(keys, ", "))
		return
	}
	near := nearest(name.Value, keys)
	if near == "" {
		near = elsewhere(name.Value, reflect.TypeFor[Config](), "")
	}
	if near != "" {
		d.fail(d.at(name), path, "unknown key; did you mean %s?", near)
		return
	}
	d.fail(d.at(name), path, "unknown key; use %s", strings.Join(keys, ", "))
}

// setScalar parses text into v, within the bounds of tag. A flag or a variable comes in here too.
func setScalar(v reflect.Value, tag reflect.StructTag, text string) error {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("holds a control character; a value is one line of text")
	}
	if p, ok := v.Addr().Interface().(parser); ok {
		return p.parse(text)
	}
	switch v.Kind() {
	case reflect.String:
		if words := tag.Get("oneof"); words != "" && !slices.Contains(strings.Split(words, ","), text) {
			return fmt.Errorf("%s is not known; use %s", shown(text), strings.ReplaceAll(words, ",", ", "))
		}
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%s is neither true nor false", shown(text))
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := parseInt(text, tag)
		if err != nil {
			return err
		}
		v.SetInt(n)
	default:
		panic("a configuration value of type " + v.Type().String())
	}
	return nil
}

func parseInt(text string, tag reflect.StructTag) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case octal(text):
		return 0, fmt.Errorf("%s begins with 0, which YAML reads to the base 8; write %s", shown(text), shown(strings.TrimLeft(text, "0")))
	case err != nil:
		return 0, fmt.Errorf("%s is not a whole number", shown(text))
	}
	low, high := bound(tag, "min"), bound(tag, "max")
	if low != nil && n < *low || high != nil && n > *high {
		if high == nil {
			return 0, fmt.Errorf("%d is too small; use %d or more", n, *low)
		}
		return 0, fmt.Errorf("%d is out of range; use %d to %d", n, *low, *high)
	}
	return n, nil
}

func bound(tag reflect.StructTag, name string) *int64 {
	n, err := strconv.ParseInt(tag.Get(name), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
