package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
)

// The steps behind the data connection.

func (p *patient) overHost() bool { return p.c.Path.Mode == "host" || p.c.Modem == nil }

// broker is the first one, or why there is nothing to look at.
func (p *patient) broker(ctx context.Context) (modems.MQTTConfig, error) {
	switch {
	case p.daemon != nil:
		return modems.MQTTConfig{}, skip("the daemon has it")
	case len(p.c.Cloud.Broker) == 0 && p.c.Platform() == "":
		return modems.MQTTConfig{}, skip("no broker is configured")
	}
	if len(p.target.Brokers) == 0 {
		var id modems.Identity
		if p.modem != nil {
			id = p.modem.Identity()
		}
		var err error
		if p.target, err = p.c.loginOnce(ctx, p.modem, id); err != nil {
			return modems.MQTTConfig{}, err
		}
		p.c.asPerson(p.target.Brokers, "")
		p.target.Brokers = p.target.Brokers[:1]
	}
	return p.target.Brokers[0], nil
}

// checkLogin computes, or fetches, what the broker is told: a platform's may fail before it is asked for a connection.
func (p *patient) checkLogin(ctx context.Context) (string, error) {
	b, err := p.broker(ctx)
	return "as " + b.ClientID, err
}

func (p *patient) checkDNS(ctx context.Context) (string, error) {
	b, err := p.broker(ctx)
	switch {
	case err != nil:
		return "", err
	case net.ParseIP(b.Host) != nil:
		return "", skip(b.Host + " is no name")
	case p.overHost():
		found, err := net.DefaultResolver.LookupHost(ctx, b.Host)
		return strings.Join(found, ", "), err
	case p.modem.Sockets() == 0:
		return "", skip("the module resolves the name when it connects")
	}
	if p.dial(ctx, b); errors.Is(p.dialError, modems.ErrName) {
		return "", p.dialError
	}
	return "the module resolves " + b.Host, nil
}

// dial opens a connection for checkTCP, over whatever network is in use.
func (p *patient) dial(ctx context.Context, b modems.MQTTConfig) {
	addr := net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
	if p.overHost() {
		p.conn, p.dialError = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		return
	}
	p.conn, p.dialError = p.modem.DialContext(ctx, "tcp", addr)
}

func (p *patient) checkTCP(ctx context.Context) (string, error) {
	b, err := p.broker(ctx)
	switch {
	case err != nil:
		return "", err
	case !p.overHost() && p.modem.Sockets() == 0:
		return "", skip("the module connects by itself, to the broker alone")
	case p.conn == nil && p.dialError == nil:
		p.dial(ctx, b)
	}
	if p.dialError != nil {
		return "", p.dialError
	}
	err = p.conn.Close()
	p.conn = nil
	return fmt.Sprintf("%s port %d answers", b.Host, b.Port), err
}

func (p *patient) checkTLS(ctx context.Context) (string, error) {
	b, err := p.broker(ctx)
	switch {
	case err != nil:
		return "", err
	case b.TLS == nil:
		return "", skip("the broker is configured without TLS")
	}
	var path string
	var refused modems.ConnackError
	p.session, path, p.dialError = bridge.Dial(ctx, p.modem, p.c.Path.Mode, p.target)
	if p.dialError != nil && !errors.As(p.dialError, &refused) {
		return "", p.dialError
	}
	return "by path " + path, nil
}

func (p *patient) checkConnack(ctx context.Context) (string, error) {
	b, err := p.broker(ctx)
	if err != nil {
		return "", err
	}
	if p.session == nil && b.TLS == nil {
		p.session, _, p.dialError = bridge.Dial(ctx, p.modem, p.c.Path.Mode, p.target)
	}
	if p.dialError != nil {
		return "", p.dialError
	}
	return "accepted as " + b.ClientID, nil
}

func (p *patient) checkPublish(ctx context.Context) (string, error) {
	m := modems.Message{Topic: "atbridge/doctor", Payload: []byte("doctor"), QoS: 1}
	if len(p.c.Routes.Up) > 0 {
		m.Topic = strings.NewReplacer("#", "doctor", "+", "doctor").Replace(p.c.Routes.Up[0].To)
	}
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	if p.daemon != nil {
		r, err := p.daemon.Publish(ctx, m)
		if err == nil && r.Failure != nil {
			err = errors.New(r.Failure.Text)
		}
		return m.Topic + " acknowledged", err
	}
	if _, err := p.broker(ctx); err != nil {
		return "", err
	}
	if p.target.Topic != nil {
		m.Topic = p.target.Topic(m.Topic)
	}
	return m.Topic + " acknowledged", bridge.Deliver(ctx, p.session, m)
}
