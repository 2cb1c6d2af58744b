package mqtt

import (
	"context"
	"fmt"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/modems"
)

type delivery struct {
	s *session
	m paho.Message
}

func (d *delivery) Message() modems.Message {
	return modems.Message{Topic: d.m.Topic(), Payload: d.m.Payload(), QoS: min(d.m.Qos(), 1), Retain: d.m.Retained()}
}

// Ack sends PUBACK. Once the session has ended it cannot; the broker then delivers the message again, if the session lasts.
func (d *delivery) Ack() error {
	if d.m.Qos() == 0 {
		return nil
	}
	if err := d.s.Err(); err != nil {
		if d.s.clean { // nobody will send it again, and nobody waits for this
			return nil
		}
		return fmt.Errorf("acknowledge %q: %w", d.m.Topic(), err)
	}
	d.m.Ack()
	return nil
}

// arrived is paho's handler: it puts m into the queue and never blocks.
func (s *session) arrived(m paho.Message) {
	size := len(m.Topic()) + len(m.Payload())
	s.mu.Lock()
	full := len(s.queue) >= maxQueued || len(s.queue) > 0 && s.queued+size > maxQueuedBytes
	if !full {
		s.queue = append(s.queue, &delivery{s, m})
		s.queued += size
	}
	s.mu.Unlock()
	if full {
		s.end(modems.ErrOverrun)
		s.link.fail(modems.ErrOverrun)
		return
	}
	s.announce()
}

func (s *session) announce() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// Receive returns the next message. Once the session has ended it still returns those that the broker will not
// deliver again; the others are left to the next session, which can acknowledge them.
func (s *session) Receive(ctx context.Context) (modems.Delivery, error) {
	for {
		ended := s.Err()
		if d := s.take(ended != nil && !s.clean); d != nil {
			return d, nil
		}
		if ended != nil {
			return nil, fmt.Errorf("receive: %w", ended)
		}
		select {
		case <-s.more:
		case <-s.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("receive: %w", ctx.Err())
		}
	}
}

// take removes the next message from the queue; only one of QoS 0 if unacknowledged ones will come again.
func (s *session) take(comeAgain bool) *delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		d := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.queued -= len(d.m.Topic()) + len(d.m.Payload())
		if !comeAgain || d.m.Qos() == 0 {
			if len(s.queue) > 0 {
				s.announce()
			}
			return d
		}
	}
	return nil
}
