package modems

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// lierdaHealth is how often the module is asked whether it is still connected: field drivers do so, because a loss is
// not always told.
const lierdaHealth = time.Minute

var (
	lierdaStatWords = map[int]string{ // MQTT; the numbers are those of EigenComm's HTTP library
		1:  ErrByBroker.Error(),
		2:  "the module does not understand the broker's address",
		3:  "the name of the broker could not be resolved",
		4:  "the broker broke the protocol",
		7:  "the broker answered in HTTP",
		8:  "the connection to the broker took too long",
		9:  "the connection to the broker failed",
		10: "the module's network stack failed",
		11: "the connection was closed",
		12: "the module waits for more data",
		13: "a buffer of the module overflowed",
		14: "TLS failed",
		15: "the broker refused the connection",
	}
	lierdaCodeWords = map[int]string{ // <ret_code> and <extend> where they are no return code of MQTT (MQTT)
		6:   "the packet could not be sent",
		7:   "wrong parameter",
		128: "the broker refused it",
	}
)

// lierdaSession is the one client of the module. The module acknowledges what it receives by itself.
type lierdaSession struct {
	nativeSession
	up      atomic.Bool // connected, and not closing: what tells of a loss is about this session
	connack chan error  // the answer to CONNECT
	lost    chan error  // a loss that was told before the answer
}

func newLierdaSession(m *Modem, q lierdaMQTT, window int) *lierdaSession {
	s := &lierdaSession{connack: make(chan error, 1), lost: make(chan error, 1)}
	s.begin(m, nativeSpec{
		limits:      q.Limits(),
		command:     "AT+LMQTTPUB",
		result:      lierdaResult,
		mute:        lierdaMute,
		send:        s.send,
		stands:      func(ctx context.Context) (bool, error) { return lierdaStands(ctx, m) },
		subscribe:   s.subscribe,
		unsubscribe: s.unsubscribe,
		cleanUp:     s.cleanUp,
		within:      2 * lierdaEnded,
	}, window)
	s.listen(s.handle, "") // all: a boot message may be any line
	return s
}

// forget drops what an earlier connection has left to be read.
func (s *lierdaSession) forget() {
	s.up.Store(false)
	for _, c := range []chan error{s.connack, s.lost} {
		select {
		case <-c:
		default:
		}
	}
}

// send publishes inline where the text allows it, and by prompt everything else and what was refused inline.
func (s *lierdaSession) send(ctx context.Context, id uint16, msg Message) error {
	if lierdaInlines(msg.Payload) {
		_, err := s.m.Do(ctx, lierdaInline(id, msg))
		if !atcmd.Refused(err) && !errors.Is(err, atcmd.ErrArgument) {
			return err
		}
	}
	_, err := s.m.Do(ctx, lierdaPrompted(id, msg))
	return err
}

func (s *lierdaSession) subscribe(ctx context.Context, filter string, qos byte) error {
	id := s.takeID()
	return s.packet(ctx, lierdaSubscribe(id, filter, qos), id)
}

func (s *lierdaSession) unsubscribe(ctx context.Context, filter string) error {
	id := s.takeID()
	return s.packet(ctx, lierdaUnsubscribe(id, filter), id)
}

// The result of both; the manual's example of an unsubscription spells it in the second way.
var lierdaSubUnsub = []string{"+LMQTTSUBUNSUB", "+LMQTTUNSUNSUB", "+LMQTTUNSUBUNSUB", "+LMQTTUNSUB"}

// packet sends c and takes its result: <client>,<msgid>,<result>[,<extend>]. What <extend> means when all is well, 1 or
// the QoS granted, is not known.
func (s *lierdaSession) packet(ctx context.Context, c atcmd.Command, id uint16) error {
	l, err := s.exchange(ctx, c, lierdaResult, "+LMQTT", func(l atcmd.Line) bool {
		name, p, err := atcmd.ParseParams(l.Head)
		msgid, errID := p.Int(1)
		return err == nil && errID == nil && slices.Contains(lierdaSubUnsub, name) && p.Text(0) == "0" && msgid == int(id)
	})
	if err != nil {
		return err
	}
	_, p, _ := atcmd.ParseParams(l.Head) // it was parsed before
	extend, errExtend := p.Int(3)
	if why, known := lierdaCodeWords[extend]; errExtend == nil && known {
		return fmt.Errorf("%s (%s)", why, l.Head)
	}
	if p.Text(2) != "0" {
		return fmt.Errorf("it failed (%s)", l.Head)
	}
	return nil
}

// handle takes one URC. It runs on the router and never blocks.
func (s *lierdaSession) handle(l atcmd.Line) {
	if _, ok := lierdaCarries(l.Head); ok {
		s.received(l)
		return
	}
	if slices.Contains(lierdaReboot, l.Head) || !strings.HasPrefix(l.Head, "+") && strings.Contains(l.Head, "Lierda") {
		s.end(fmt.Errorf("%w (%s)", atcmd.ErrReboot, l.Head))
		return
	}
	name, p, err := atcmd.ParseParams(l.Head)
	if err != nil {
		return // garbled: the result that is missed is missed in time
	}
	if name == "+LMQTTURC" && strings.EqualFold(p.Text(0), "STATS") {
		s.status(l.Head, p[1:])
		return
	}
	if name == "+CGEV" && lostContext(p.Text(0)) {
		s.end(fmt.Errorf("the network ended the data connection (%s)", l.Head))
		return
	}
	if p.Text(0) != "0" { // another client's
		return
	}
	switch name {
	case "+LMQTTPUB", "+LMQTTPUBEX":
		s.published(p)
	case "+LMQTTCONN":
		s.answered(l.Head, p)
	case "+LMQTTCLOSE", "+LMQTTDISC":
		if s.up.Load() {
			s.end(fmt.Errorf("the module closed the connection (%s)", l.Head))
		}
	}
}

// published takes <client>,<msgid>,<result>. Result 1 is a wrong acknowledgement, or none: the broker may have it.
func (s *lierdaSession) published(p atcmd.Params) {
	id, errID := p.Int(1)
	result, errResult := p.Int(2)
	if errID != nil || errResult != nil || id < 0 || id > 65535 {
		return
	}
	outcome := Failed
	switch result {
	case 0:
		outcome = Acked
	case 1:
		outcome = Unknown
	}
	s.settle(uint16(id), outcome)
}

// answered takes <client>,<result>[,<ret_code>]. The return code of a refusal comes with result 0 or 1; result 1 with
// none may tell of a retransmission, and settles nothing.
func (s *lierdaSession) answered(line string, p atcmd.Params) {
	result, err := p.Int(1)
	code, errCode := p.Int(2)
	var why error
	switch {
	case err != nil:
		return
	case errCode == nil && code > 0 && code <= 5:
		why = ConnackError(code)
	case errCode == nil && code != 0:
		why = fmt.Errorf("connecting to the broker: %s (%s)", words(lierdaCodeWords, code), line)
	case result == 1:
		return
	case result != 0:
		why = fmt.Errorf("CONNECT could not be sent (%s)", line)
	default:
		s.up.Store(true) // here, so that the next URC is about a session that stands
	}
	select {
	case s.connack <- why:
	default:
	}
}

// status takes <client>,<stats>[,<extend>]. Before CONNACK it may be about an earlier connection.
func (s *lierdaSession) status(line string, p atcmd.Params) {
	code, err := p.Int(1)
	if err != nil || code == 0 || p.Text(0) != "0" {
		return
	}
	why := sessionLost(words(lierdaStatWords, code), line)
	if extend, err := p.Int(2); err == nil && code == 15 && extend > 0 && extend <= 5 {
		why = ConnackError(extend)
	}
	if s.up.Load() {
		s.end(why)
		return
	}
	select {
	case s.lost <- why:
	default:
	}
}

func (s *lierdaSession) received(l atcmd.Line) {
	client, msg, err := lierdaMessage(l)
	switch {
	case errors.Is(err, errLierdaCached):
		// It was told not to, and no command that reads it is documented.
		s.m.log.Error("the module keeps a message from the broker back; it is lost", "line", l.Head)
	case err != nil:
		s.unreadable(l, err)
	case client == lierdaClient:
		msg.QoS = 1 // the module does not tell
		s.deliver(msg)
	}
}

// watch ends the session when the line is lost, or the module says that the client is not connected any more.
func (s *lierdaSession) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	health := time.NewTicker(lierdaHealth)
	defer health.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-s.m.Done():
			s.end(s.m.Err())
		case <-health.C:
			if stands, err := lierdaStands(ctx, s.m); err == nil && !stands && s.up.Load() {
				s.end(errors.New("the module is not connected any more (AT+LMQTTCONN?)"))
			}
		}
	}
}
