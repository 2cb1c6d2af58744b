package mqtt

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems"
)

// receipt settles when paho has the PUBACK, or when the session has ended without it.
type receipt struct {
	token paho.Token
	done  <-chan struct{} // of the session

	once    sync.Once
	outcome modems.Outcome
}

func (r *receipt) Wait(ctx context.Context) modems.Outcome {
	select {
	case <-r.token.Done():
	case <-r.done:
	case <-ctx.Done():
		select {
		case <-r.token.Done():
		default:
			return modems.Unknown
		}
	}
	r.once.Do(func() {
		select {
		case <-r.token.Done():
			if r.token.Error() == nil {
				r.outcome = modems.Acked
			}
		default: // the session ended first: Unknown for good
		}
	})
	return r.outcome
}

// Publish waits for a place in the window and for room in the link's buffer, and then hands m over.
func (s *session) Publish(ctx context.Context, m modems.Message) (modems.Receipt, error) {
	r, err := s.publish(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	return r, nil
}

func (s *session) publish(ctx context.Context, m modems.Message) (*receipt, error) {
	if err := checkMessage(m); err != nil {
		return nil, err
	}
	select {
	case s.slots <- struct{}{}:
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	err := s.link.wait(ctx)
	if ended := s.Err(); ended != nil {
		err = ended
	}
	if err != nil {
		<-s.slots
		return nil, err
	}
	// A copy, because paho writes it when Publish has long returned.
	r := &receipt{token: s.client.Publish(m.Topic, min(m.QoS, 1), m.Retain, bytes.Clone(m.Payload)), done: s.done}
	s.flying <- r // has room for as many as there are slots
	select {
	case <-r.token.Done():
		if err := r.token.Error(); err != nil {
			return nil, s.why(err)
		}
	default:
	}
	return r, nil
}

// settle gives the places in the window back. A broker acknowledges in the order of the publishes [MQTT-4.6.0-2],
// so one goroutine that waits in that order is enough.
func (s *session) settle() {
	defer close(s.settled)
	for {
		select {
		case r := <-s.flying:
			if !s.acknowledged(r) {
				return
			}
			<-s.slots
		case <-s.done:
			return
		}
	}
}

// acknowledged waits for the PUBACK of r, the oldest publish in flight. A broker that does not send it ends the session.
func (s *session) acknowledged(r *receipt) bool {
	overdue := time.NewTimer(ackTimeout)
	defer overdue.Stop()
	for {
		select {
		case <-r.token.Done():
			return true
		case <-s.done:
			return false
		case <-overdue.C:
			if s.link.busy() { // a slow line is still at it
				overdue.Reset(ackTimeout)
				continue
			}
			err := fmt.Errorf("the broker has not acknowledged a publish within %v: %w", ackTimeout, modems.ErrNoResult)
			s.end(err)
			s.link.fail(err)
			return false
		}
	}
}

func checkMessage(m modems.Message) error {
	if err := checkString(m.Topic); err != nil {
		return err
	}
	if strings.ContainsAny(m.Topic, "+#") { // [MQTT-3.3.2-2]
		return fmt.Errorf("%w: a topic to publish to has no + or #", modems.ErrMessage)
	}
	if len(m.Payload) > maxPayload {
		return fmt.Errorf("%w: the payload has %d bytes, at most %d are possible", modems.ErrMessage, len(m.Payload), maxPayload)
	}
	return nil
}
