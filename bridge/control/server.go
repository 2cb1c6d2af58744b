package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
)

const maxRequest = 1 << 20

// Server serves one Bridge.
type Server struct {
	bridge *bridge.Bridge
	doors  []door
	lost   func()

	dangerous bool
}

// door is one listener that is served.
type door struct {
	server *http.Server
	ended  chan error // why it is not served any more, unless Close ended it
}

// Listen opens the socket, and the address unless it is empty. dangerous: commands that run code on the module are
// allowed. A socket that a dead daemon has left is replaced; one that a living daemon serves is an error. lost is called
// when serving has failed; Close says why.
func Listen(b *bridge.Bridge, socket, address string, dangerous bool, lost func()) (*Server, error) {
	s := &Server{bridge: b, dangerous: dangerous, lost: lost}
	l, err := listenUnix(socket)
	if err != nil {
		return nil, err
	}
	s.serve(l, s.private())
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			err = fmt.Errorf("the status page cannot listen: %w; change status.listen", err)
			return nil, errors.Join(err, s.Close())
		}
		s.serve(l, guard(address, s.public()))
	}
	return s, nil
}

func listenUnix(socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, fmt.Errorf("the control socket: %w; set status.socket to a path that may be written", err)
	}
	if c, err := net.Dial("unix", socket); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s is served by another atbridge; stop it, or give this one its own status.socket", socket)
	}
	switch info, err := os.Lstat(socket); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("the control socket: %w", err)
	case info.Mode()&os.ModeSocket == 0:
		return nil, fmt.Errorf("%s exists and is no socket; give status.socket another path", socket)
	default:
		if err := os.Remove(socket); err != nil {
			return nil, fmt.Errorf("the control socket: %w", err)
		}
	}
	old := unix.Umask(0o117) // 0660 from the first moment
	l, err := net.Listen("unix", socket)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("the control socket: %w; set status.socket to a path that may be written", err)
	}
	if err := shareWithGroup(socket); err != nil {
		l.Close()
		return nil, fmt.Errorf("the control socket: %w", err)
	}
	return l, nil
}

// shareWithGroup gives the socket the group of its directory: who is in it may use the modem. A user who may not give
// files away keeps the socket for itself.
func shareWithGroup(socket string) error {
	var dir unix.Stat_t
	if err := unix.Stat(filepath.Dir(socket), &dir); err != nil {
		return err
	}
	var own unix.Stat_t
	if err := unix.Stat(socket, &own); err != nil {
		return err
	}
	if own.Gid == dir.Gid {
		return nil
	}
	if err := os.Chown(socket, -1, int(dir.Gid)); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// monitoring is what both doors show. GET includes HEAD; another method is answered by 405.
func (s *Server) monitoring() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /api/status", s.status)
	mux.HandleFunc("GET /metrics", s.metrics)
	return mux
}

// public is for the address: it changes nothing.
func (s *Server) public() http.Handler {
	mux := s.monitoring()
	mux.HandleFunc("GET /{$}", s.page)
	return mux
}

// private is for the socket.
func (s *Server) private() http.Handler {
	mux := s.monitoring()
	mux.HandleFunc("POST /api/send", s.send)
	mux.HandleFunc("GET /api/queue", s.queue)
	mux.HandleFunc("GET /api/queue/{id}", s.message)
	mux.HandleFunc("DELETE /api/queue/{id}", s.drop)
	mux.HandleFunc("GET /api/info", s.info)
	mux.HandleFunc("GET /api/watch", s.watch)
	mux.HandleFunc("POST /api/pub", s.pub)
	mux.HandleFunc("GET /api/sub", s.sub)
	return mux
}

func (s *Server) serve(l net.Listener, h http.Handler) {
	d := door{
		server: &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second},
		ended:  make(chan error, 1),
	}
	s.doors = append(s.doors, d)
	go func() {
		defer close(d.ended)
		if err := d.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.ended <- fmt.Errorf("%s is not served any more: %w", l.Addr(), err)
			s.lost()
		}
	}()
}

// Close ends all requests and removes the socket. Its error says why serving has failed before, if it has.
func (s *Server) Close() error {
	var err error
	for _, d := range s.doors {
		err = errors.Join(err, d.server.Close(), <-d.ended)
	}
	return err
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	st := s.bridge.Status()
	if st.State != bridge.Online {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, strings.TrimSpace(string(st.State)+" "+st.Reason))
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) { reply(w, s.bridge.Status()) }

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return // the client has gone
	}
}

// Failure is an error on its way through the socket.
type Failure struct {
	Text string         `json:"text"`
	Kind modems.Failure `json:"kind"`
}

// SendReply is the answer to POST /api/send.
type SendReply struct {
	Answers []modems.SendAnswer `json:"answers"`
	Failure *Failure            `json:"failure,omitempty"`
}

func (s *Server) send(w http.ResponseWriter, r *http.Request) {
	var req modems.SendRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := modems.Permit(req, s.dangerous); err != nil {
		reply(w, SendReply{Failure: &Failure{err.Error(), modems.Forbidden}})
		return
	}
	answers, err := s.bridge.Send(r.Context(), req)
	reply(w, SendReply{Answers: answers, Failure: failure(err)})
}
