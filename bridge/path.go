package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/atbridge/atbridge/bridge/mqtt"
	"github.com/atbridge/atbridge/modems"
)

const (
	// nativeTries is how often in a row the module's own MQTT stack may fail before the host encodes MQTT itself.
	nativeTries = 3
	// nativeHold is how long the host then does, before the module's stack is tried again.
	nativeHold = 30 * time.Minute

	// tcpWindow is how many publishes may be in flight on path tcp: at 115200 baud about 80 small ones leave in a second,
	// and a cellular round trip can take that long.
	tcpWindow = 128
)

// paths says who encodes MQTT over a modem: the module's own stack (native), or the host over the module's TCP socket
// (tcp). Mode auto takes native first, and tcp where native cannot carry what is asked, or keeps failing.
type paths struct {
	mode     string
	hold     time.Duration
	failures int       // of native, in a row
	astray   int       // of tcp, in a row
	unfit    error     // why native can never carry this configuration on this module
	until    time.Time // tcp until then
	why      error     // and for this reason

	detours int // to tcp for the sake of a message, in a row, that came to nothing
	bar     bar
}

// bar: until then tcp carries no message that native cannot, because of why.
type bar struct {
	until time.Time
	why   error
}

func (r bar) stands(now time.Time) bool { return now.Before(r.until) }

// errOtherPath ends a session on native that holds a message which only tcp can carry: otherPath says which, and why.
var errOtherPath = errors.New("a message needs the other path")

type otherPath struct {
	id  uint64 // 0: a person's own
	why error
}

func (e otherPath) Error() string {
	which := "a message"
	if e.id > 0 {
		which = fmt.Sprintf("message %d", e.id)
	}
	return which + " could not pass the module's own stack: " + strings.TrimPrefix(e.why.Error(), modems.ErrMessage.Error()+": ")
}
func (e otherPath) Is(target error) bool { return target == errOtherPath }
func (e otherPath) Unwrap() error        { return e.why }

// errHoldOver ends a session on tcp: native is to be tried again.
var errHoldOver = errors.New("the module's own MQTT stack is tried again")

// choose returns the path of the next session, and why it is not native where native comes first.
func (p *paths) choose(now time.Time) (path string, why error) {
	switch {
	case p.mode != "auto":
		return p.mode, nil
	case p.unfit != nil:
		return "tcp", p.unfit
	case now.Before(p.until):
		return "tcp", p.why
	}
	return "native", nil
}

// left is how long tcp still holds; zero: for as long as the modem is attached, or there is nothing to hold.
func (p *paths) left(now time.Time) time.Duration {
	if p.mode != "auto" || p.unfit != nil {
		return 0
	}
	return max(0, p.until.Sub(now))
}

// lasted is how far a session came.
type lasted int

const (
	never   lasted = iota // there was none
	shortly               // it stood
	long                  // it stood for so long that what ends it is another matter
)

// ended takes the end of a session, or of the attempt to open one, and reports whether the next one takes the other path.
// sockets: there is another path.
func (p *paths) ended(path string, err error, stood lasted, sockets bool, now time.Time) bool {
	var refused modems.ConnackError
	var target targetError
	var login loginError
	switch {
	case p.mode != "auto" || !sockets || err == nil:
	case errors.As(err, &target), errors.As(err, &login), errors.Is(err, ErrNoTime): // no path was tried
	case path == "tcp":
		if stood > never {
			p.detours = 0
		}
		if errors.Is(err, errHoldOver) {
			p.until, p.failures = time.Time{}, nativeTries-1 // one more failure is enough
			return true
		}
		if p.astray++; stood == long || errors.As(err, &refused) || errors.Is(err, errSuspect) {
			p.astray = 0
		}
		if p.astray >= nativeTries && p.unfit == nil { // tcp does not work either
			p.astrayed(err, stood, now)
			return true
		}
	case errors.Is(err, modems.ErrUnsupported):
		p.unfit = err
		return true
	case errors.Is(err, errOtherPath):
		p.until, p.why = now.Add(p.hold), err
		return true
	case errors.As(err, &refused), errors.Is(err, errRivals), errors.Is(err, errSuspect): // the stack works
	case stood == long:
		p.failures = 1
	default:
		if p.failures++; p.failures >= nativeTries {
			p.until, p.why = now.Add(p.hold), fmt.Errorf("the module's own MQTT stack has failed %d times in a row: %w", p.failures, err)
			return true
		}
	}
	return false
}

// astrayed goes back to native. Where that works, and it was a message that had to take tcp, the two would be tried in turn
// for ever, and all behind the message would wait: after some rounds there is no other path for a while.
func (p *paths) astrayed(err error, stood lasted, now time.Time) {
	if stood == never && errors.Is(p.why, errOtherPath) {
		p.detours++
	}
	if p.detours >= nativeTries {
		p.detours, p.bar = nativeTries-1, bar{now.Add(p.hold), err} // then one more round is enough
	}
	p.until, p.failures, p.astray = time.Time{}, nativeTries-1, 0
}

// dialTCP is path tcp: the host encodes MQTT, and TLS, over a socket of the module.
func dialTCP(m *modems.Modem) dialFunc {
	return func(ctx context.Context, cfg modems.MQTTConfig) (modems.Session, error) {
		if cfg.Window == 0 {
			cfg.Window = tcpWindow
		}
		return mqtt.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
			c, err := m.DialContext(ctx, "tcp", address(cfg))
			if err == nil && cfg.TLS == nil {
				modems.Hide(c, cfg.Password)
			}
			return c, err
		}, cfg)
	}
}

// dialHost is path host: the machine's own network.
func dialHost(ctx context.Context, cfg modems.MQTTConfig) (modems.Session, error) {
	return mqtt.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address(cfg))
	}, cfg)
}

func address(cfg modems.MQTTConfig) string { return net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)) }
