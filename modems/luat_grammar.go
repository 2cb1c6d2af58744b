package modems

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/atbridge/atbridge/atcmd"
)

// luatMaxBlock bounds what +MSUB may announce: 4,100 bytes are documented for the newest firmware.
const luatMaxBlock = 64 << 10

// luatGrammar is the dialect. A leading LF of a payload is swallowed behind a bare CR (TCPIP, CIPSEND), so command
// lines end in CR LF.
func luatGrammar() atcmd.Grammar {
	g := atcmd.Grammar{
		URCs: []string{
			"+CPIN:", "+CREG:", "+CGREG:", "+CEREG:", "+CGEV:", "+CIEV:", "+CMTI:", "+CMT:", "+CDS:", "RING", "NO CARRIER",
			"+NITZ:", "^MODE:", "^CINIT:", "+E_UTRAN Service", "+GSM Service", "*CSQ:", "+CESQ:", "*CESQ:", "SMS READY",
			"RDY", "UART Boot Completed", "NORMAL POWER DOWN", "+PDP:", "+PDP DEACT", "+SAPBR", "+UPGRADEIND:",
			"STATE:", "TCP ERROR:", "+RECEIVE,", "+CIPRXGET: 1", "+CIPRXGET:1", "CONNACK OK", "SUBACK", "UNSUBACK", "PUBACK", "PUBREC", "PUBCOMP", "+MSUB:",
		},
		Reboot: luatReboot,
		Banner: "^boot.rom",
		Block:  luatBlock,
		Whole:  wholeMessage,
		End:    "\r\n",
	}
	for _, word := range []string{"CONNECT OK", "ALREADY CONNECT", "CONNECT FAIL", "CLOSED"} {
		g.URCs = append(g.URCs, word)
		for link := range luatMQTTLink + 1 { // with AT+CIPMUX=1; some firmware puts a blank behind the comma
			g.URCs = append(g.URCs, fmt.Sprintf("%d,%s", link, word), fmt.Sprintf("%d, %s", link, word))
		}
	}
	return g
}

// luatReboot are the lines of a module that has just started or is going down.
var luatReboot = []string{"RDY", "UART Boot Completed", "NORMAL POWER DOWN"}

// `+MSUB: "topic",11 byte,` in direct mode; the buffered form has no quotes around the topic. The blank behind the
// colon comes and goes. The topic may hold quotes.
var msubHead = regexp.MustCompile(`^\+MSUB: ?(?:"(.*)"|([^"]*)), ?([0-9]{1,6}) byte,$`)

// luatBlock recognises the heads of +MSUB and +RECEIVE; the payload stands raw behind them and may hold anything.
func luatBlock(head []byte) (skip, n int, ok bool) {
	if _, n, ok = receiveHead(string(head)); ok {
		return len("\r\n"), n, true
	}
	if n, ok = pulledHead(string(head)); ok {
		return len("\n"), n, true
	}
	_, n, ok = luatHead(string(head))
	return 0, n, ok
}

func luatHead(head string) (topic string, n int, ok bool) {
	m := msubHead.FindStringSubmatch(head)
	if m == nil {
		return "", 0, false
	}
	n, err := strconv.Atoi(m[3])
	return m[1] + m[2], n, err == nil && n <= luatMaxBlock
}

// luatMessage reads a +MSUB line with its payload.
func luatMessage(l atcmd.Line) (Message, error) {
	topic, n, ok := luatHead(l.Head)
	if !ok || len(l.Block) != n || l.Tail != "" {
		return Message{}, fmt.Errorf("%q makes no sense", l.Head)
	}
	return Message{Topic: topic, Payload: l.Block, QoS: 1}, nil // the module does not tell the QoS
}
