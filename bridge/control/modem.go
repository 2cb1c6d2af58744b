package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/atbridge/atbridge/modems"
)

// InfoReply is the answer to GET /api/info.
type InfoReply struct {
	Info    modems.Info `json:"info"`
	Failure *Failure    `json:"failure,omitempty"`
}

func (s *Server) info(w http.ResponseWriter, r *http.Request) {
	m, err := s.bridge.Modem()
	var out InfoReply
	if err == nil {
		out.Info, err = m.Info(r.Context())
	}
	out.Failure = failure(err)
	reply(w, out)
}

// failure is err for the way through the socket; nil stays nil.
func failure(err error) *Failure {
	if err == nil {
		return nil
	}
	return &Failure{err.Error(), modems.KindOf(err)}
}

// Info asks the daemon's modem who and where it is.
func (c *Client) Info(ctx context.Context) (InfoReply, error) {
	var r InfoReply
	return r, c.do(ctx, http.MethodGet, "/api/info", nil, &r)
}

// watchQueue is how many events a watcher may be behind.
const watchQueue = 1024

// watch streams modems.Event as a line of JSON each, until the client leaves or the modem is gone.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	m, err := s.bridge.Modem()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	events := newBacklog(watchQueue, func(missed int) modems.Event { return modems.Event{Missed: missed} })
	stop := m.Watch(r.URL.Query().Get("wire") == "1", events.put)
	defer stop()
	sendAll(r.Context(), w, events, m.Done())
}

// sendAll streams what comes as a line of JSON each, until ctx or end.
func sendAll[T any](ctx context.Context, w http.ResponseWriter, what *backlog[T], end <-chan struct{}) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, encode := http.NewResponseController(w), json.NewEncoder(w)
	for err := out.Flush(); err == nil; err = out.Flush() {
		select {
		case e := <-what.waiting:
			what.flush()
			if err := encode.Encode(e); err != nil {
				return // the client has gone
			}
		case <-ctx.Done():
			return
		case <-end:
			return
		}
	}
}

// Watch tells of what passes on the daemon's wire until ctx ends, or the daemon's modem is gone: then it returns. It
// calls ready once it listens.
func (c *Client) Watch(ctx context.Context, wire bool, ready func(), tell func(modems.Event)) error {
	path := "/api/watch"
	if wire {
		path += "?wire=1"
	}
	return stream(ctx, c, path, ready, tell)
}

// stream hands on one JSON object after the other until ctx ends or there are no more.
func stream[T any](ctx context.Context, c *Client, path string, ready func(), tell func(T)) error {
	resp, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	ready()
	for d := json.NewDecoder(resp.Body); ; {
		var e T
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("listening to the daemon: %w", err)
		}
		tell(e)
	}
}
