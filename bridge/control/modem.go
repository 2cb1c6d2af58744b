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

// watchQueue is how many events a watcher may be behind; a slower one misses some.
const watchQueue = 1024

// watch streams modems.Event as a line of JSON each, until the client leaves or the modem is gone.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	m, err := s.bridge.Modem()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	events := make(chan modems.Event, watchQueue)
	stop := m.Watch(r.URL.Query().Get("wire") == "1", func(e modems.Event) {
		select {
		case events <- e:
		default:
		}
	})
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, encode := http.NewResponseController(w), json.NewEncoder(w)
	for err := out.Flush(); err == nil; err = out.Flush() {
		select {
		case e := <-events:
			if err := encode.Encode(e); err != nil {
				return // the client has gone
			}
		case <-r.Context().Done():
			return
		case <-m.Done():
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
	resp, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	ready()
	for d := json.NewDecoder(resp.Body); ; {
		var e modems.Event
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("watching the daemon's line: %w", err)
		}
		tell(e)
	}
}
