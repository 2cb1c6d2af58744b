package control

import (
	"context"
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
