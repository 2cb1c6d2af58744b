package cloud

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"time"
)

// Params are what a platform asks of an MQTT client.
type Params struct {
	Host     string
	Port     int
	TLS      bool
	ClientID string
	Username string
	Password string // a secret

	Expires time.Time // when another Password is to be had, because this one ends; zero: never
	Clocked bool      // the platform compares the time that they are computed for with its own
}

// CheckClock is ErrClock if now, which p was computed for, cannot be the time, and p depends on it.
func (p Params) CheckClock(now time.Time) error {
	if p.Clocked && !Plausible(now) {
		return ErrClock
	}
	return nil
}

// Platform is one device on one platform.
type Platform interface {
	// Params computes the login as of now, whatever time that is. Its error is a sentence that names the configuration's key.
	Params(now time.Time) (Params, error)
	Rules() Rules
}

// ErrClock: the time is not known, and without it nothing can be signed that the platform would accept.
var ErrClock = errors.New("the time is not known yet, and the platform's token needs it: neither this machine's clock nor the modem's network has said a plausible one")

// firstPlausible is a time from which this program may run. A board without a battery begins at 1970, or at the time of its image.
var firstPlausible = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// Plausible reports whether now may be the time.
func Plausible(now time.Time) bool { return !now.Before(firstPlausible) }

// tokenLife is how long a token is valid, and a user name, whose end the configuration leaves open.
const tokenLife = 24 * time.Hour

var hashes = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New}

// mac is the HMAC of text by the hash of that name.
func mac(name string, key []byte, text string) ([]byte, error) {
	h, ok := hashes[name]
	if !ok {
		return nil, fmt.Errorf("%q is no method of signing", name)
	}
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil), nil
}
