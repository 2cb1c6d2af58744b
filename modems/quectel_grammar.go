package modems

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/atbridge/atbridge/atcmd"
)

// quectelMaxBlock bounds what a line may announce: the largest payload of the family is 4,096 bytes, and a broker may
// send more than a host may publish.
const quectelMaxBlock = 64 << 10

// quectelReboot are the lines of a module that has just started or is going down. ECRDY: firmware of others on EC718.
var quectelReboot = []string{"RDY", "ECRDY", "POWERED DOWN", "NORMAL POWER DOWN", bootBanner}

// quectelGrammar is the dialect. counted: +QMTRECV carries the length of its payload (recv/mode). echo: the module
// echoes payloads (view/mode). edit: its edit timeout; zero: it has none.
func quectelGrammar(counted, echo bool, edit time.Duration) atcmd.Grammar {
	return atcmd.Grammar{
		URCs: []string{
			"+CREG:", "+CGREG:", "+CEREG:", "+CGEV:", "+CPIN:", "+CFUN:", "+CTZV:", "+CTZE:", "+CMTI:", "+CMT:", "+CDS:",
			"+QUSIM:", "+QIND:", "+QSIMSTAT:", "+QSIMSTAT :", "RDY", "POWERED DOWN", "RING", "NO CARRIER", "APP RDY",
			"+QMTOPEN:", "+QMTCLOSE:", "+QMTCONN:", "+QMTDISC:", "+QMTSUB:", "+QMTUNS:", "+QMTPUBEX:", "+QMTPUB:",
			"+QMTRECV:", "+QMTSTAT:", "+QMTPING:", "+QIOPEN:", "+QIURC:",
		},
		Reboot:      quectelReboot,
		Banner:      bootBanner,
		PayloadEcho: echo,
		EditTimeout: edit,
		Block:       quectelBlocks(counted),
		Whole:       wholeMessage,
	}
}

// quectelBlock recognises `+QMTRECV: 0,0,"topic",5,` and asks for one byte more than the payload has: with quotes
// around it that is the opening quote and the payload, and the closing quote is the rest of the line; without quotes
// it is the payload and the CR behind it. MQTT 3.3.1 prints both; receivedMessage tells them apart.
func quectelBlock(head []byte) (skip, n int, ok bool) {
	if !bytes.HasPrefix(head, []byte("+QMTRECV:")) || head[len(head)-1] != ',' {
		return 0, 0, false
	}
	_, _, _, length, ok := receivedHead(string(head[:len(head)-1]))
	if !ok || length > quectelMaxBlock {
		return 0, 0, false
	}
	if first := bytes.IndexByte(head, ','); head[first+1] == ' ' {
		skip = 1 // this firmware puts a blank behind every comma
	}
	return skip, length + 1, true
}

// receivedHead splits `+QMTRECV: <client>,<msgid>,"<topic>",<length>`; the topic may stand without quotes.
func receivedHead(head string) (client, id int, topic string, length int, ok bool) {
	rest := strings.TrimLeft(strings.TrimPrefix(head, "+QMTRECV:"), " ")
	first, rest, ok1 := strings.Cut(rest, ",")
	second, rest, ok2 := strings.Cut(rest, ",")
	cut := strings.LastIndexByte(rest, ',')
	if !ok1 || !ok2 || cut < 0 {
		return 0, 0, "", 0, false
	}
	topic, ok = unquote(strings.TrimSpace(rest[:cut]))
	client, err1 := strconv.Atoi(strings.TrimSpace(first))
	id, err2 := strconv.Atoi(strings.TrimSpace(second))
	length, err3 := strconv.Atoi(strings.TrimSpace(rest[cut+1:]))
	if !ok || err1 != nil || err2 != nil || err3 != nil || length < 0 {
		return 0, 0, "", 0, false
	}
	return client, id, topic, length, true
}

// unquote takes the quotes off a whole topic; a part of a quoted one is not a topic yet.
func unquote(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, s != ""
	}
	if len(s) < 2 || !strings.HasSuffix(s, `"`) {
		return "", false
	}
	return s[1 : len(s)-1], true
}

// receivedMessage reads a +QMTRECV line with counted payload, or one without a length.
func receivedMessage(l atcmd.Line) (client int, msg Message, err error) {
	if l.Block == nil {
		return receivedUncounted(l.Head)
	}
	client, _, topic, length, ok := receivedHead(strings.TrimSuffix(l.Head, ","))
	if !ok || len(l.Block) != length+1 {
		return 0, Message{}, fmt.Errorf("%q makes no sense", l.Head)
	}
	payload, ok := closedPayload(l.Block, l.Tail)
	if !ok {
		return 0, Message{}, fmt.Errorf("%q: the payload does not end where its length says", l.Head)
	}
	return client, Message{Topic: topic, Payload: payload}, nil
}

// receivedUncounted reads `+QMTRECV: 0,1,"topic","payload"`, which some firmware sends whatever recv/mode says. The
// payload ends where the line ends.
func receivedUncounted(line string) (client int, msg Message, err error) {
	rest := strings.TrimLeft(strings.TrimPrefix(line, "+QMTRECV:"), " ")
	first, rest, ok1 := strings.Cut(rest, ",")
	_, rest, ok2 := strings.Cut(rest, ",")
	client, err = strconv.Atoi(first)
	if !ok1 || !ok2 || err != nil {
		return 0, Message{}, fmt.Errorf("%q makes no sense", line)
	}
	rest = strings.TrimLeft(rest, " ")
	sep := ","
	if strings.HasPrefix(rest, `"`) {
		rest, sep = rest[1:], `",`
	}
	topic, payload, ok := strings.Cut(rest, sep)
	if !ok {
		return 0, Message{}, fmt.Errorf("%q has no payload", line)
	}
	if len(payload) >= 2 && payload[0] == '"' && payload[len(payload)-1] == '"' {
		payload = payload[1 : len(payload)-1]
	}
	return client, Message{Topic: topic, Payload: []byte(payload)}, nil
}
