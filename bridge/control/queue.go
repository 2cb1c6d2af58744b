package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/atbridge/atbridge/bridge"
)

// Queued is a message of the queue. Its JSON is a promise to scripts.
type Queued struct {
	ID       uint64    `json:"id"`
	State    string    `json:"state"`            // waiting, in-flight, poisoned, unreadable
	Reason   string    `json:"reason,omitempty"` // why it is poisoned or unreadable
	Priority string    `json:"priority"`         // normal, high
	LocalQoS byte      `json:"local_qos"`        // 0: the first to go when the queue is full
	Arrival  time.Time `json:"arrival"`
	Age      float64   `json:"age_seconds"`
	Size     int       `json:"size"` // bytes on the disk
	Topic    string    `json:"topic"`
	QoS      byte      `json:"qos"`
	Retain   bool      `json:"retain"`
	Bytes    int       `json:"payload_bytes"`
	Payload  *[]byte   `json:"payload,omitempty"` // base64; nil: it was not asked for
}

// Describe makes of what the queue says of a message what is shown of it; unread is why it could not be read.
func Describe(s bridge.Stored, unread error, payload bool) Queued {
	m := Queued{
		ID: s.ID, State: s.State, Reason: s.Reason, Priority: "normal", LocalQoS: 1,
		Arrival: s.Arrival.Round(0), Age: s.Age.Round(time.Millisecond).Seconds(), Size: s.Size,
		Topic: s.Message.Topic, QoS: s.Message.QoS, Retain: s.Message.Retain, Bytes: len(s.Message.Payload),
	}
	if s.High {
		m.Priority = "high"
	}
	if s.Expendable {
		m.LocalQoS = 0
	}
	if unread != nil {
		m.State, m.Reason = "unreadable", unread.Error()
	} else if payload {
		p := append([]byte{}, s.Message.Payload...)
		m.Payload = &p
	}
	return m
}

// queue answers with one line of JSON for each message: a full queue is too long to be held in memory twice.
func (s *Server) queue(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for m, err := range s.bridge.Queue().All() {
		if enc.Encode(Describe(m, err, r.FormValue("payload") == "true")) != nil {
			return // the client has gone
		}
	}
	if enc.Encode(Queued{}) != nil { // the end: an answer that breaks off has none
		return
	}
}

func (s *Server) message(w http.ResponseWriter, r *http.Request) {
	id, ok := queueID(w, r)
	if !ok {
		return
	}
	m, err := s.bridge.Queue().Lookup(id)
	if errors.Is(err, bridge.ErrNoMessage) {
		refuse(w, err)
		return
	}
	reply(w, Describe(m, err, true))
}

func (s *Server) drop(w http.ResponseWriter, r *http.Request) {
	id, ok := queueID(w, r)
	if !ok {
		return
	}
	if err := s.bridge.Queue().Drop(id); err != nil {
		refuse(w, err)
		return
	}
	reply(w, struct{}{})
}

func queueID(w http.ResponseWriter, r *http.Request) (id uint64, ok bool) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		http.Error(w, fmt.Sprintf("%q is no id of a message", r.PathValue("id")), http.StatusBadRequest)
	}
	return id, err == nil
}

// The errors that a client is to know again, and how they travel.
var queueStatus = map[int]error{
	http.StatusGone:     bridge.ErrNoMessage,
	http.StatusConflict: bridge.ErrInFlight,
}

func refuse(w http.ResponseWriter, err error) {
	for status, known := range queueStatus {
		if errors.Is(err, known) {
			http.Error(w, err.Error(), status)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// Messages yields what is in the daemon's queue, oldest first. After an error nothing follows.
func (c *Client) Messages(ctx context.Context, payload bool) iter.Seq2[Queued, error] {
	return func(yield func(Queued, error) bool) {
		resp, err := c.ask(ctx, http.MethodGet, "/api/queue?payload="+strconv.FormatBool(payload), nil)
		if err != nil {
			yield(Queued{}, err)
			return
		}
		defer resp.Body.Close()
		for dec := json.NewDecoder(resp.Body); ; {
			var m Queued
			if err := dec.Decode(&m); err != nil {
				yield(m, fmt.Errorf("the daemon's answer breaks off: %w", err))
				return
			}
			if m.ID == 0 || !yield(m, nil) {
				return
			}
		}
	}
}

// Message asks for one message, with its payload. The error may be bridge.ErrNoMessage.
func (c *Client) Message(ctx context.Context, id uint64) (m Queued, err error) {
	return m, c.do(ctx, http.MethodGet, fmt.Sprintf("/api/queue/%d", id), nil, &m)
}

// Drop removes a message. The error may be bridge.ErrNoMessage or bridge.ErrInFlight.
func (c *Client) Drop(ctx context.Context, id uint64) error {
	return c.do(ctx, http.MethodDelete, fmt.Sprintf("/api/queue/%d", id), nil, &struct{}{})
}
