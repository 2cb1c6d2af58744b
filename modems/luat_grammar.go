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
	return atcmd.Grammar{
		URCs: []string{
			"+CPIN:", "+CREG:", "+CGREG:", "+CEREG:", "+CGEV:", "+CIEV:", "+CMTI:", "+CMT:", "+CDS:", "RING", "NO CARRIER",
			"+NITZ:", "^MODE:", "^CINIT:", "+E_UTRAN Service", "+GSM Service", "*CSQ:", "+CESQ:", "*CESQ:", "SMS READY",
			"RDY", "UART Boot Completed", "NORMAL POWER DOWN", "+PDP:", "+PDP DEACT", "+SAPBR", "+UPGRADEIND:",
			"CONNECT OK", "7,CONNECT OK", "7, CONNECT OK", "ALREADY CONNECT", "7,ALREADY CONNECT", "7, ALREADY CONNECT",
			"CONNECT FAIL", "7,CONNECT FAIL", "7, CONNECT FAIL", "STATE:", "CLOSED", "7,CLOSED", "7, CLOSED", "TCP ERROR:",
			"CONNACK OK", "SUBACK", "UNSUBACK", "PUBACK", "PUBREC", "PUBCOMP", "+MSUB:",
		},
		Reboot: []string{"RDY", "UART Boot Completed", "NORMAL POWER DOWN"},
		Banner: "^boot.rom",
		Block:  luatBlock,
		End:    "\r\n",
	}
}

// `+MSUB: "topic",11 byte,` in direct mode; the buffered form has no quotes around the topic. The blank behind the
// colon comes and goes.
var msubHead = regexp.MustCompile(`^\+MSUB: ?(?:"([^"]*)"|([^"]*)), ?([0-9]{1,6}) byte,$`)

// luatBlock recognises the head of +MSUB; the payload stands raw behind it and may hold anything.
func luatBlock(head []byte) (skip, n int, ok bool) {
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
	if !ok || len(l.Block) != n {
		return Message{}, fmt.Errorf("%q makes no sense", l.Head)
	}
	return Message{Topic: topic, Payload: l.Block, QoS: 1}, nil // the module does not tell the QoS
}
