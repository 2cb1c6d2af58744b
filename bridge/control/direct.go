package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/atbridge/atbridge/modems"
)

// maxMessage bounds a message on its way through the socket: the largest that MQTT can carry is of no use over a modem.
const maxMessage = 16 << 20

// Undelivered: the broker has not acknowledged the message.
const Undelivered modems.Failure = "undelivered"

// Message is one of MQTT.
type Message struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain,omitempty"`
}

// PubReply is the answer to POST /api/pub.
type PubReply struct {
	Failure *Failure `json:"failure,omitempty"`
}

func (s *Server) pub(w http.ResponseWriter, r *http.Request) {
	var m Message
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage)).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err := s.bridge.Publish(r.Context(), modems.Message(m))
	if err != nil {
		reply(w, PubReply{&Failure{err.Error(), Undelivered}})
		return
	}
	reply(w, PubReply{})
}

// subQueue is how many messages a listener may be behind.
const subQueue = 4096

func (s *Server) sub(w http.ResponseWriter, r *http.Request) {
	filter := r.URL.Query().Get("filter")
	qos, err := strconv.ParseUint(r.URL.Query().Get("qos"), 10, 8)
	if err != nil {
		http.Error(w, "qos: "+err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	messages := newBacklog(subQueue, func(missed int) SubReply { return SubReply{Missed: missed} })
	failed := make(chan error, 1)
	go func() {
		failed <- s.bridge.Subscribe(ctx, filter, byte(qos), func(m modems.Message) {
			messages.put(SubReply{Message: (*Message)(&m)})
		})
		cancel()
	}()
	sendAll(ctx, w, messages, nil)
	gone := r.Context().Err() != nil
	cancel()
	if err := <-failed; err != nil && !gone {
		kind := modems.KindOf(err)
		if errors.Is(err, modems.ErrMessage) {
			kind = modems.BadArgument
		}
		reply(w, SubReply{Failure: &Failure{err.Error(), kind}})
	}
}

// SubReply is one line of the answer to GET /api/sub: a message, how many are missing here because the listener is too slow,
// or why there are no more.
type SubReply struct {
	Message *Message `json:"message,omitempty"`
	Missed  int      `json:"missed,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
}

// Publish lets the daemon publish m on its session.
func (c *Client) Publish(ctx context.Context, m modems.Message) (PubReply, error) {
	var r PubReply
	body, err := json.Marshal(Message(m))
	if err != nil {
		return r, err
	}
	return r, c.do(ctx, http.MethodPost, "/api/pub", body, &r)
}

// Subscribe tells of what the daemon receives for filter, until ctx ends or the daemon.
func (c *Client) Subscribe(ctx context.Context, filter string, qos byte, tell func(SubReply)) error {
	q := url.Values{"filter": {filter}, "qos": {strconv.Itoa(int(qos))}}
	return stream(ctx, c, "/api/sub?"+q.Encode(), func() {}, tell)
}
