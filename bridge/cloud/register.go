package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// Dial is a way into the network, such as that of net.Dialer or of a modem.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Registrable is a device that can be given its own secret by the secret of its product.
type Registrable interface {
	Platform
	Names() (product, device string)
	With(Identity) Platform // the device with what it has been given

	// register asks the platform once.
	register(ctx context.Context, r Registration) (Identity, error)
}

// Registration gets a device its own secret, by the secret of its product.
type Registration struct {
	Device        Registrable
	How           string // Aliyun: preregistered, unregistered; Tencent: dynamic, dynamic-old
	ProductSecret string
	Dial          Dial
	TLS           modems.TLSConfig
	Clock         Clock  // by which certificates are checked and requests are signed; nil: this machine's
	Place         *Place // where the identity goes as soon as it is here
}

// ErrRegistration: the platform has refused, and would refuse again.
var ErrRegistration = errors.New("refused the registration")

const (
	registerTimeout = 60 * time.Second // a cellular handshake takes some
	maxAnswer       = 64 << 10
)

// Register asks the platform once, and stores what it hands out.
func (r Registration) Register(ctx context.Context) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if r.Clock == nil {
		r.Clock = machineClock
	}
	i, err := r.Device.register(ctx, r)
	if err == nil || errors.Is(err, ErrRegistration) {
		return i, err
	}
	return i, fmt.Errorf("registering with %s: %w", r.Device.Rules().Name, err)
}

// refused says that the platform has refused, and why: what follows "refused the registration".
func (r Registration) refused(format string, args ...any) error {
	return fmt.Errorf("%s %w"+format, append([]any{r.Device.Rules().Name, ErrRegistration}, args...)...)
}

// keep stores i, if it is what was asked for.
func (r Registration) keep(i Identity) (Identity, error) {
	switch {
	case !i.Of(r.Device):
		return i, r.refused(": it answered for another device, %s of %s", i.DeviceName, i.ProductKey)
	case i.DeviceSecret == "" && (i.Token == nil || i.Token.ClientID == "" || i.Token.Token == ""):
		return i, errors.New("its answer holds no secret")
	}
	return i, r.Place.Store(i)
}
