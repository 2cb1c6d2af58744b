package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

const maxSecretSize = 64 << 10

// secrets fills the Secrets that the file does not hold itself: from the x_file beside x, else from the systemd
// credential that bears the key.
func (d *decoder) secrets(c *Config, n need) {
	inline := false
	credentials, _ := d.getenv("CREDENTIALS_DIRECTORY")
	eachSecret(reflect.ValueOf(c).Elem(), "", func(key string, s *Secret) {
		file, isFile := d.files[key]
		var err error
		switch {
		case strings.HasPrefix(key, "cloud.") && n&needCloud == 0, strings.HasPrefix(key, "local.") && n&needLocal == 0:
		case *s != "" && isFile:
			d.fail(d.where(key+fileSuffix), key+fileSuffix, "%s is given too; keep one of the two", key)
		case *s != "":
			inline = true
		case isFile:
			file = c.beside(file)
			if *s, err = readSecret(file); err != nil {
				d.fail(d.where(key+fileSuffix), key+fileSuffix, "%v", err)
			} else if worldReadable(file) {
				c.warn("%s%s: %s can be read by everyone; run chmod 600 %s", key, fileSuffix, file, file)
			}
		case credentials != "":
			*s, err = readSecret(filepath.Join(credentials, key))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				d.fail(place{name: "CREDENTIALS_DIRECTORY"}, key, "%v", err)
			}
		}
	})
	if inline && worldReadable(c.File) {
		c.warn("%s holds a secret and can be read by everyone; run chmod 600 %s", c.File, c.File)
	}
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// readSecret reads one line. Its errors name the file, never what is in it.
func readSecret(name string) (Secret, error) {
	f, err := openInput(name)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretSize+1))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	var s Secret
	switch {
	case line == "":
		return "", fmt.Errorf("%s is empty; it holds the secret on one line", name)
	case len(data) > maxSecretSize || setScalar(reflect.ValueOf(&s).Elem(), "", line) != nil:
		return "", fmt.Errorf("%s holds more than one line of text", name)
	}
	return s, nil
}

func worldReadable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}
