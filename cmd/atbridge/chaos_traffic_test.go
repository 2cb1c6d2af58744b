//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	publishers = 4   // three local ones, and the cloud's; a message's number tells whose it is
	inTheCloud = 3   // the number of the cloud's
	patience   = 100 // messages that a publisher keeps before it stops to make more
	again      = 100 * time.Millisecond
)

// publisher makes messages and repeats each of them until it has its PUBACK, over as many connections as it takes.
type publisher struct {
	who   int
	addr  string
	topic string
	every time.Duration
	log   *ledger

	next    int
	pending []int // not yet acknowledged, in order
}

// run publishes until ctx ends; it makes no more messages when enough is closed, and returns when all are acknowledged.
func (p *publisher) run(ctx context.Context, enough <-chan struct{}) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for ctx.Err() == nil {
		if p.session(ctx, enough, tick.C) {
			return
		}
		rest(ctx)
	}
}

// session is one connection. It reports whether everything is done.
func (p *publisher) session(ctx context.Context, enough <-chan struct{}, tick <-chan time.Time) (done bool) {
	c, lost, err := dialled(p.addr, fmt.Sprintf("publisher%d", p.who), true)
	if err != nil {
		return false
	}
	defer c.Disconnect(0)
	var flying []paho.Token // of pending, from the first on
	for {
		for len(flying) < len(p.pending) { // those of the last connection go first
			n := p.pending[len(flying)]
			flying = append(flying, c.Publish(p.topic, 1, false, payload(n)))
		}
		var head <-chan struct{}
		if len(flying) > 0 {
			head = flying[0].Done()
		}
		if enough == nil && len(p.pending) == 0 {
			return true
		}
		select {
		case <-head: // a broker acknowledges in order
			if flying[0].Error() != nil {
				return false
			}
			p.log.ack(p.pending[0])
			p.pending, flying = p.pending[1:], flying[1:]
		case <-tick:
			if enough != nil && len(p.pending) < patience {
				p.pending = append(p.pending, p.next*publishers+p.who)
				p.next++
			}
		case <-enough:
			enough = nil
		case <-lost:
			return false
		case <-ctx.Done():
			return true
		}
	}
}

// hear is a persistent subscriber: what comes while it is away waits for it.
func hear(ctx context.Context, addr, filter string, log *ledger) {
	for ctx.Err() == nil {
		c, lost, err := dialled(addr, "listener", false, func(_ paho.Client, m paho.Message) {
			n, ok := number(m.Payload())
			if !ok {
				log.spoiled(m.Payload())
				return
			}
			log.arrive(n, time.Now())
		})
		if err == nil {
			if token := c.Subscribe(filter, 1, nil); token.WaitTimeout(5*time.Second) && token.Error() == nil {
				select {
				case <-lost:
				case <-ctx.Done():
				}
			}
			c.Disconnect(0)
		}
		rest(ctx)
	}
}

func rest(ctx context.Context) {
	select {
	case <-time.After(again):
	case <-ctx.Done():
	}
}

// dialled connects once. lost is closed when the connection is.
func dialled(addr, id string, clean bool, got ...paho.MessageHandler) (c paho.Client, lost <-chan struct{}, err error) {
	gone := make(chan struct{})
	o := paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetProtocolVersion(4).SetAutoReconnect(false).
		SetCleanSession(clean).SetConnectTimeout(2 * time.Second).SetOrderMatters(true).SetKeepAlive(10 * time.Second).
		SetConnectionLostHandler(func(paho.Client, error) { close(gone) })
	for _, handler := range got {
		o.SetDefaultPublishHandler(handler)
	}
	c = paho.NewClient(o)
	token := c.Connect()
	if !token.WaitTimeout(5 * time.Second) {
		c.Disconnect(0)
		return nil, nil, context.DeadlineExceeded
	}
	return c, gone, token.Error()
}
