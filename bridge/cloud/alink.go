package cloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Alink puts Aliyun's frames around the payloads of local clients, and takes them off:
//
//	local payload          topic on the platform              frame
//	{"temp": 10.0}         .../thing/event/property/post      {"id","version","sys","params": the payload,"method"}
//	{"reason": "heat"}     .../thing/event/ALARM/post         the same, with {"value": the payload} for params
//	{"light": 1}           .../thing/service/NAME             comes: the payload is the frame's params
//	{"done": true}         .../thing/service/NAME_reply       {"id" of the oldest request that waits,"code","data": the payload}
//
// It remembers the requests that wait for a reply, and the reply that a message was, in case that it is sent again.
type Alink struct {
	mu      sync.Mutex
	waiting map[string][]alinkCall // by the topic of the reply
	replies map[uint64]string      // message -> id of its request
	order   []uint64               // of the keys of replies
	now     func() time.Time
}

type alinkCall struct {
	id   string
	came time.Time
}

const (
	alinkPatience = time.Minute // a request that nobody has replied to; the platform itself waits for 8 s in a call
	alinkWaiting  = 64          // requests, and replies, that are remembered
	alinkReply    = "_reply"
)

// NewAlink has nothing that waits.
func NewAlink() *Alink {
	return &Alink{waiting: map[string][]alinkCall{}, replies: map[uint64]string{}, now: time.Now}
}

// ErrFrame: a payload that no frame can be put around, or taken from.
var ErrFrame = errors.New("no Alink frame is possible")

// IsAlink reports whether topic is one of those whose messages have frames.
func IsAlink(topic string) bool {
	level := strings.Split(topic, "/")
	return len(level) >= 6 && level[0] == "" && level[1] == "sys" && level[4] == "thing"
}

// Wrap makes the frame of message id. ack asks the platform for a reply.
func (a *Alink) Wrap(topic string, id uint64, payload []byte, ack bool) ([]byte, error) {
	if payload = bytes.TrimSpace(payload); !json.Valid(payload) || payload[0] != '{' {
		return nil, fmt.Errorf("%w: the payload is no JSON object", ErrFrame)
	}
	if !IsAlink(topic) {
		return nil, fmt.Errorf("%w: %s is no topic of a thing", ErrFrame, topic)
	}
	if strings.HasSuffix(topic, alinkReply) {
		request, err := a.request(topic, id)
		if err != nil {
			return nil, err
		}
		return reply(request, payload)
	}
	method := strings.Split(topic, "/")[4:]
	if len(method) == 4 && method[1] == "event" && method[2] != "property" {
		payload = append(append([]byte(`{"value":`), payload...), '}')
	}
	frame := struct {
		ID      string          `json:"id"`
		Version string          `json:"version"`
		Sys     map[string]int  `json:"sys"`
		Params  json.RawMessage `json:"params"`
		Method  string          `json:"method"`
	}{fmt.Sprint(uint32(id)), "1.0", map[string]int{"ack": 0}, payload, strings.Join(method, ".")}
	if ack {
		frame.Sys["ack"] = 1
	}
	return json.Marshal(frame)
}

func reply(request string, data []byte) ([]byte, error) {
	return json.Marshal(struct {
		ID   string          `json:"id"`
		Code int             `json:"code"`
		Data json.RawMessage `json:"data"`
	}{request, 200, data})
}

// request is the one that message id replies to: the oldest that waits.
func (a *Alink) request(topic string, id uint64) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, again := a.replies[id]; again {
		return r, nil
	}
	calls := a.waiting[topic]
	for len(calls) > 0 && a.now().Sub(calls[0].came) > alinkPatience {
		calls = calls[1:]
	}
	if len(calls) == 0 {
		delete(a.waiting, topic)
		return "", fmt.Errorf("%w: no request waits for a reply on %s", ErrFrame, topic)
	}
	r := calls[0].id
	a.waiting[topic] = calls[1:]
	a.replies[id] = r
	if a.order = append(a.order, id); len(a.order) > alinkWaiting {
		delete(a.replies, a.order[0])
		a.order = a.order[1:]
	}
	return r, nil
}

// Unwrapped is what a frame from the platform holds.
type Unwrapped struct {
	Payload []byte
	ReplyTo string // topic of the reply that the frame asks for; empty: none
	Reply   []byte // that says that it was done, without more
	Failed  error  // the platform's answer to a message of ours, whose id it names, is no success
}

// Unwrap takes a frame apart. later: somebody here replies to requests on that topic, so that it is remembered.
func (a *Alink) Unwrap(topic string, payload []byte, later func(replyTo string) bool) (Unwrapped, error) {
	var frame struct {
		ID      string          `json:"id"`
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Params  json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(payload, &frame); err != nil {
		return Unwrapped{}, fmt.Errorf("%w: what came on %s: %w", ErrFrame, topic, err)
	}
	if strings.HasSuffix(topic, alinkReply) {
		u := Unwrapped{Payload: payload}
		if frame.Code != 200 {
			u.Failed = fmt.Errorf("Aliyun refused message %s: code %d %s", frame.ID, frame.Code, frame.Message)
		}
		return u, nil
	}
	if len(frame.Params) == 0 || frame.ID == "" {
		return Unwrapped{}, fmt.Errorf("%w: what came on %s has no id or no params", ErrFrame, topic)
	}
	u := Unwrapped{Payload: frame.Params}
	replyTo := topic + alinkReply
	if later(replyTo) {
		a.mu.Lock()
		defer a.mu.Unlock()
		calls := append(a.waiting[replyTo], alinkCall{frame.ID, a.now()})
		a.waiting[replyTo] = calls[max(0, len(calls)-alinkWaiting):]
		return u, nil
	}
	u.ReplyTo = replyTo
	var err error
	u.Reply, err = reply(frame.ID, []byte("{}"))
	return u, err
}
