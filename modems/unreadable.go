package modems

import (
	"fmt"
	"strings"

	"github.com/atbridge/atbridge/atcmd"
)

// wholeMessage is Whole of every dialect: of those whose heads end a byte before the payload does (quectelBlock, lierdaBlock)
// the rest of the line is the closing quote, or the CR; of the others it is nothing. A topic may hold `",5,`, and whoever
// sends to a topic that is subscribed to can choose it.
func wholeMessage(head, block, tail []byte) bool {
	if h := string(head); strings.HasPrefix(h, "+MSUB") || strings.HasPrefix(h, `+MQTTURC: "publish"`) {
		return len(tail) == 0
	}
	_, ok := closedPayload(block, string(tail))
	return ok
}

// closedPayload takes off what stands around a payload whose block is a byte longer: its quotes, or the CR behind it.
func closedPayload(block []byte, tail string) (payload []byte, ok bool) {
	last := len(block) - 1
	switch {
	case last < 0:
		return nil, false
	case tail == `"` && block[0] == '"':
		return block[1:], true
	case tail == "" && block[last] == '\r':
		return block[:last], true
	}
	return nil, false
}

// unreadable is a message that cannot be made sense of. It is lost: the module has acknowledged it. The session stands,
// or whoever may send to a topic that is subscribed to could end sessions.
func (s *nativeSession) unreadable(l atcmd.Line, err error) {
	n := s.m.unreadable.Add(1)
	s.m.log.Error("a message from the broker cannot be read; it is lost", "line", fmt.Sprintf("%.200s", l.Head), "error", err, "lost so far", n)
}
