package modems

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/atbridge/atbridge/atcmd"
)

// lierdaMaxBlock bounds what a line may announce. The module itself publishes at most 8,000 bytes.
const lierdaMaxBlock = 64 << 10

// lierdaReboot are the lines of a module that has just started or is going down. Which ready word Lierda's own
// firmware has is not known; these are its relatives'.
var lierdaReboot = []string{"RDY", "ECRDY", "NORMAL POWER DOWN", bootBanner}

// lierdaGrammar is the dialect of the L firmware. counted: a received message carries the length of its payload
// (recv/mode). "Lierda", which its boot messages hold, is in no table: AT+CGMI is answered with it.
func lierdaGrammar(counted bool) atcmd.Grammar {
	g := atcmd.Grammar{
		URCs: []string{
			"+CREG:", "+CGREG:", "+CEREG:", "+CGEV:", "+CPIN:", "+CFUN:", "+CTZV:", "+CTZE:", "+CMTI:", "+CMT:", "+CDS:", "^MODE:",
			"RDY", "ECRDY", "RING", "NO CARRIER",
			"+LMQTTOPEN:", "+LMQTTCLOSE:", "+LMQTTCONN:", "+LMQTTDISC:", "+LMQTTPUB:", "+LMQTTPUBEX:", "+LMQTTURC:", "+LMQTTRECV:", "+ECMTRECV:", "+QMTRECV:",
			"+LMQTTSUBUNSUB:", "+LMQTTUNSUNSUB:", "+LMQTTUNSUBUNSUB:", "+LMQTTUNSUB:",
		},
		Reboot:      lierdaReboot,
		Banner:      bootBanner,
		PayloadEcho: true, // whether it echoes payloads is not known
		End:         "\r\n",
	}
	if counted {
		g.Block, g.Whole = lierdaBlock, wholeMessage
	}
	return g
}

// lierdaBlock recognises `+LMQTTURC: RECV,0,0,"topic",5,` and asks for one byte more than the payload has: with quotes
// around it that is the opening quote and the payload, and the closing quote is the rest of the line; without quotes
// it is the payload and the CR behind it. Which of them a firmware prints is not known; lierdaMessage tells them apart.
func lierdaBlock(head []byte) (skip, n int, ok bool) {
	if head[len(head)-1] != ',' {
		return 0, 0, false
	}
	r, ok := lierdaSplit(string(head[:len(head)-1]), strings.LastIndex)
	length, err := strconv.Atoi(strings.TrimSpace(r.rest))
	if !ok || err != nil || length < 0 || length > lierdaMaxBlock {
		return 0, 0, false
	}
	if first := bytes.IndexByte(head, ','); head[first+1] == ' ' {
		skip = 1 // this firmware puts a blank behind every comma
	}
	return skip, length + 1, true
}

// lierdaRecv are the lines that carry a message. The last three are what the relatives of the L firmware print.
var lierdaRecv = []string{"+LMQTTURC:RECV,", `+LMQTTURC:"RECV",`, "+LMQTTRECV:", "+ECMTRECV:", "+QMTRECV:"}

// lierdaFields are those of a message behind the name: <client>,<msgid>[,"<topic>"[,<rest>]].
type lierdaFields struct {
	client int
	topic  string
	rest   string
	cached bool // it ends before the topic: the module has kept the message
}

// lierdaCarries reports whether line carries a message, and what stands behind the name.
func lierdaCarries(line string) (fields string, ok bool) {
	name, rest, ok := strings.Cut(line, ":")
	line = name + ":" + strings.TrimLeft(rest, " ")
	for _, prefix := range lierdaRecv {
		if ok && len(line) >= len(prefix) && strings.EqualFold(line[:len(prefix)], prefix) {
			return line[len(prefix):], true
		}
	}
	return "", false
}

// lierdaSplit reads the fields of a message. quote finds the one at which the topic ends: the last where a number follows,
// because a topic may hold quotes; the first where the payload does, which can hold anything.
func lierdaSplit(line string, quote func(s, quote string) int) (r lierdaFields, ok bool) {
	rest, ok := lierdaCarries(line)
	first, rest, ok1 := strings.Cut(rest, ",")
	second, rest, ok2 := strings.Cut(rest, ",")
	client, err1 := strconv.Atoi(strings.TrimSpace(first))
	_, err2 := strconv.Atoi(strings.TrimSpace(second))
	if !ok || !ok1 || err1 != nil || err2 != nil {
		return r, false
	}
	if r.client, r.cached = client, !ok2; r.cached {
		return r, true
	}
	rest, ok1 = strings.CutPrefix(strings.TrimLeft(rest, " "), `"`)
	end := quote(rest, `"`)
	if !ok1 || end <= 0 {
		return r, false
	}
	r.topic = rest[:end]
	r.rest, ok = strings.CutPrefix(strings.TrimLeft(rest[end+1:], " "), ",")
	return r, ok || r.rest == ""
}

var errLierdaCached = errors.New("the module keeps the message back")

// lierdaMessage reads a message with counted payload, or one without a length, whose payload ends where its line does.
func lierdaMessage(l atcmd.Line) (client int, msg Message, err error) {
	r, ok := lierdaSplit(strings.TrimSuffix(l.Head, ","), strings.LastIndex)
	if l.Block == nil {
		r, ok = lierdaSplit(l.Head, strings.Index)
	}
	switch {
	case !ok:
		return 0, msg, fmt.Errorf("%q makes no sense", l.Head)
	case r.cached:
		return r.client, msg, errLierdaCached
	case l.Block == nil:
		payload := r.rest
		if len(payload) >= 2 && payload[0] == '"' && payload[len(payload)-1] == '"' {
			payload = payload[1 : len(payload)-1]
		}
		return r.client, Message{Topic: r.topic, Payload: []byte(payload)}, nil
	}
	payload, ok := closedPayload(l.Block, l.Tail)
	if !ok {
		return 0, msg, fmt.Errorf("%q: the payload does not end where its length says", l.Head)
	}
	return r.client, Message{Topic: r.topic, Payload: payload}, nil
}
