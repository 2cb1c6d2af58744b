package main

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileSuffix makes a Secret's key the key of the file that holds it.
const fileSuffix = "_file"

var secretType = reflect.TypeFor[Secret]()

// keysOf lists the keys of the struct t, those of files not counted.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// fieldOf returns the field of t that bears key; isFile if key names the file of a Secret. No such field has no Name.
func fieldOf(t reflect.Type, key string) (field reflect.StructField, isFile bool) {
	secret, _ := strings.CutSuffix(key, fileSuffix)
	for i := range t.NumField() {
		switch f := t.Field(i); f.Tag.Get("yaml") {
		case "":
		case key:
			return f, false
		case secret:
			if f.Type == secretType {
				field, isFile = f, true
			}
		}
	}
	return field, isFile
}

// eachSecret calls do for every Secret in the struct v, with its key.
func eachSecret(v reflect.Value, key string, do func(key string, s *Secret)) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "" {
			continue
		}
		f := reflect.Indirect(v.Field(i))
		switch {
		case !f.IsValid(): // a section that was not named
		case f.Type() == secretType:
			do(join(key, name), f.Addr().Interface().(*Secret))
		case f.Kind() == reflect.Struct:
			eachSecret(f, join(key, name), do)
		}
	}
}

// lookup finds the field that a key such as modem.baud names in c, and its tag. Its section must exist.
func lookup(c *Config, key string) (reflect.Value, reflect.StructTag) {
	v, tag := reflect.ValueOf(c).Elem(), reflect.StructTag("")
	for part := range strings.SplitSeq(key, ".") {
		v = reflect.Indirect(v)
		f, _ := fieldOf(v.Type(), part)
		v, tag = v.FieldByIndex(f.Index), f.Tag
	}
	return v, tag
}

// elsewhere returns the first key of t, or of the sections in it, whose last part is name: broker is cloud.broker.
func elsewhere(name string, t reflect.Type, at string) string {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		if key == name {
			return join(at, key)
		}
		section := f.Type
		if section.Kind() == reflect.Pointer {
			section = section.Elem()
		}
		if section.Kind() == reflect.Struct {
			if found := elsewhere(name, section, join(at, key)); found != "" {
				return found
			}
		}
	}
	return ""
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a set of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	return "one value"
}

// nearest returns the word that is most like s, or "" if none is near: at most one edit for every three letters.
func nearest(s string, words []string) string {
	best, least := "", len(s)/3+1
	for _, w := range words {
		if d := distance(strings.ToLower(s), w); d <= least && (best == "" || d < least) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, change or swap with a neighbour.
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a) // no key is so long
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
