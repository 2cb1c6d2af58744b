package modems

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	// The line of a QMTPUBEX; EC200x&EC600S manuals give no maximum, and 512 is what the family has been seen to take.
	quectelMaxTopic = 480

	// The manual's 300 ms and the 96 ms seen on an EC800M are for an idle module. It may be busy with the radio.
	qmtPublishTimeout = 10 * time.Second
)

var qmtStatWords = map[int]string{ // MQTT 3.3.2
	1: ErrByBroker.Error(),
	2: "the broker did not answer PINGREQ",
	3: "the CONNECT packet could not be sent",
	4: "the broker did not answer CONNECT",
	5: "the broker closed the connection after DISCONNECT",
	6: "the module closed the connection because sending kept failing",
	7: "the link is down or the broker is unavailable",
	8: "the module closed the connection",
}

// quectelSession is one connected client of the module. The module acknowledges what it receives by itself.
type quectelSession struct {
	nativeSession
	publish quectelPublisher
}

func newQuectelSession(m *Modem, q quectelMQTT, publish quectelPublisher, window int) *quectelSession {
	s := &quectelSession{publish: publish}
	s.begin(m, nativeSpec{
		limits:      q.Limits(),
		command:     "AT" + publish.name,
		result:      qmtResult,
		send:        s.send,
		stands:      func(ctx context.Context) (bool, error) { return quectelStands(ctx, m, "+QMTCONN") },
		subscribe:   s.subscribe,
		unsubscribe: s.unsubscribe,
		cleanUp:     func(ctx context.Context) error { return quectelCleanUp(ctx, m, true) },
		within:      qmtCloseTimeout,
	}, window)
	s.listen(s.handle, append([]string{"+QMTPUBEX:", "+QMTPUB:", "+QMTRECV:", "+QMTSTAT:", "+QMTPING:", "+QIURC:"}, quectelReboot...)...)
	return s
}

// What ends a payload without a length, and what gives it up.
const quectelEnds = "\x1a\x1b"

func (s *quectelSession) send(ctx context.Context, id uint16, msg Message) error {
	args := []any{quectelClient, id, msg.QoS, msg.Retain, msg.Topic}
	payload := msg.Payload
	if s.publish.counted {
		args = append(args, len(payload))
	} else {
		if bytes.ContainsAny(payload, quectelEnds) {
			return fmt.Errorf("%w: its payload holds Ctrl-Z or ESC, and this firmware's AT%s takes no length", ErrMessage, s.publish.name)
		}
		payload = append(slices.Clone(payload), quectelEnds[0])
	}
	c := atcmd.Set(s.publish.name, args...).WithTimeout(qmtPublishTimeout)
	c.Payload = payload
	_, err := s.m.Do(ctx, c)
	return err
}

func (s *quectelSession) subscribe(ctx context.Context, filter string, qos byte) error {
	value, err := s.packet(ctx, "+QMTSUB", filter, qos)
	if err == nil && value == "128" {
		err = errNotGranted
	}
	return err
}

func (s *quectelSession) unsubscribe(ctx context.Context, filter string) error {
	_, err := s.packet(ctx, "+QMTUNS", filter)
	return err
}

// packet sends +QMTSUB or +QMTUNS and returns the value behind a good result.
func (s *quectelSession) packet(ctx context.Context, name string, args ...any) (value string, err error) {
	id := s.takeID()
	c := atcmd.Set(name, append([]any{quectelClient, id}, args...)...)
	l, err := s.exchange(ctx, c, qmtResult, name+":", func(l atcmd.Line) bool {
		_, p, err := atcmd.ParseParams(l.Head)
		msgid, errID := p.Int(1)
		return err == nil && errID == nil && msgid == int(id) && p.Text(2) != "1" // 1 tells of a retransmission
	})
	if err != nil {
		return "", err
	}
	_, p, err := atcmd.ParseParams(l.Head)
	if err == nil && p.Text(2) != "0" {
		err = fmt.Errorf("it could not be sent (%s)", l.Head)
	}
	return p.Text(3), err
}

// handle takes one URC. It runs on the router and never blocks.
func (s *quectelSession) handle(l atcmd.Line) {
	if strings.HasPrefix(l.Head, "+QMTRECV:") {
		s.received(l)
		return
	}
	name, p, err := atcmd.ParseParams(l.Head)
	client, errClient := p.Int(0)
	switch {
	case slices.Contains(quectelReboot, l.Head):
		s.end(fmt.Errorf("%w (%s)", atcmd.ErrReboot, l.Head))
	case name == "+QIURC":
		if err == nil && p.Text(0) == "pdpdeact" && p.Text(1) == strconv.Itoa(quectelContext) {
			s.end(errors.New("the network ended the data connection (+QIURC: \"pdpdeact\")"))
		}
	case err != nil || errClient != nil || client != quectelClient:
		// another client's, or garbled: the result that is missed is missed in time
	case name == "+QMTSTAT":
		code, _ := p.Int(1)
		s.end(sessionLost(words(qmtStatWords, code), l.Head))
	case name == "+QMTPING":
		s.end(fmt.Errorf("the broker does not answer any more (%s)", l.Head))
	default:
		s.published(p)
	}
}

// published takes +QMTPUBEX: <client>,<msgid>,<result>[,<value>]; result 1 tells of a retransmission.
func (s *quectelSession) published(p atcmd.Params) {
	id, errID := p.Int(1)
	result, errResult := p.Int(2)
	if errID != nil || errResult != nil || id < 0 || id > 65535 {
		return
	}
	switch result {
	case 0:
		s.settle(uint16(id), Acked)
	case 2:
		s.settle(uint16(id), Failed)
	}
}

func (s *quectelSession) received(l atcmd.Line) {
	client, msg, err := receivedMessage(l)
	if err != nil {
		s.unreadable(l, err)
		return
	}
	if client != quectelClient {
		return
	}
	msg.QoS = 1 // the module does not tell
	s.deliver(msg)
}
