package bridge

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// suspect is the message at which the broker seems to end the session: one that is too large for it, or whose topic it
// forbids. MQTT 3.1.1 has no other way to say so, and everything behind it would wait for ever.
//
// The broker also ends sessions for reasons that no message has: it restarts, somebody else takes the identity over, the
// network between forgets the connection. So nothing is concluded from a coincidence. When the same message was the
// oldest without acknowledgement at the end of suspectAfter sessions in a row, it is put to the test: the next session
// stands for a while in which nothing is sent, then it is sent alone. Only a session that stood for longer without it than
// with it speaks against it. One that ends while nothing is sent clears it, and so of course does an acknowledgement. One
// that ends for another reason (line, modem, ping, our own stop), or never stands, says nothing; but where such an end cuts
// the quiet short, all begins anew: on a line that never lasts until the test, nothing would be sent any more.
type suspect struct {
	mu    sync.Mutex
	quiet time.Duration // the least that a session stands before the test

	id   uint64        // 0: nothing is suspected
	ends int           // sessions that speak against it
	took time.Duration // from its last publish to the end of that session
	why  error         // of the last end

	oldest uint64    // what the session that is ending has not acknowledged; 0: nothing
	sent   time.Time // when that was handed to it
	stood  time.Duration
	quiets bool // the session stands in the quiet before a test

	aside int       // messages set aside since one was delivered
	last  time.Time // when the last of them was
}

const (
	// suspectAfter is how many sessions in a row come before the test, which costs time that a message which was in
	// flight when the broker restarted need not pay.
	suspectAfter = 2
	// suspectGuilty is how many sessions speak against what is set aside: the last two of them are tests.
	suspectGuilty = suspectAfter + 2

	// suspectQuiet is several round trips of a bad cellular link. If the last test took longer, which a large message on a
	// slow line does, the session stands for twice as long, up to suspectQuietest.
	suspectQuiet    = 10 * time.Second
	suspectQuietest = 5 * time.Minute

	// A broker that ends the session at every publish has something else against us than the messages, such as an unpaid
	// bill: after suspectAside of them without a delivery in between the next one follows only suspectPause later.
	suspectAside = 3
	suspectPause = time.Hour
)

// errSuspect: one message seems to be why the broker ends the session. It answers, and the modem is well.
var errSuspect = errors.New("the broker ends the session when a message comes")

// tested reports whether id is to be sent alone, and how long the session must have stood before.
func (s *suspect) tested(id uint64) (stand time.Duration, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiets = s.id == id && s.ends >= suspectAfter
	return min(max(s.quiet, 2*s.took), suspectQuietest), s.quiets
}

// testing notes that id is now sent alone, on a session that has stood for so long.
func (s *suspect) testing(stood time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stood, s.quiets = stood, false
}

// guilty returns why id is to be set aside; nil: it is not.
func (s *suspect) guilty(id uint64, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id != id || s.ends < suspectGuilty || s.aside >= suspectAside && now.Sub(s.last) < suspectPause {
		return nil
	}
	why := fmt.Errorf("%w (%d sessions in a row, in the last ones it was sent alone): %w", errSuspect, s.ends, s.why)
	s.aside, s.last = s.aside+1, now
	s.forget()
	return why
}

// delivered clears id. With QoS 0 no broker has said so.
func (s *suspect) delivered(id uint64, qos byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if qos > 0 {
		s.aside = 0
	}
	if s.id == id {
		s.forget()
	}
}

// left notes the oldest message that a session has not acknowledged.
func (s *suspect) left(id uint64, sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest, s.sent = id, sent
}

// cut notes the message whose handing over failed because the session ended: the oldest, if no other is.
func (s *suspect) cut(id uint64, sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.oldest == 0 {
		s.oldest, s.sent = id, sent
	}
}

// ended takes the end of a session, and returns it with what it looks like. lost: the modem has ended it.
func (s *suspect) ended(err error, lost bool, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, stood, took, quiet := s.oldest, s.stood, now.Sub(s.sent), s.quiets
	s.oldest, s.stood, s.quiets = 0, 0, false
	says := !lost && errors.Is(err, modems.ErrByBroker)
	switch {
	case !says && !quiet:
		return err
	case !says, oldest == 0:
		s.forget()
		return err
	case oldest != s.id:
		s.id, s.ends = oldest, 1
	case s.ends < suspectAfter:
		s.ends++
	default:
		if s.took = took; took <= stood {
			s.ends++
		}
	}
	if s.why = err; s.ends < suspectAfter {
		return err
	}
	if s.aside >= suspectAside {
		return fmt.Errorf("%w, whichever it is, since %d were set aside; may this client publish at all? Now at message %d: %w", errSuspect, s.aside, s.id, err)
	}
	return fmt.Errorf("%w: message %d, session %d of %d: %w", errSuspect, s.id, s.ends, suspectGuilty, err)
}

// forget is called with mu held.
func (s *suspect) forget() { s.id, s.ends, s.took, s.why = 0, 0, 0, nil }
