package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"

	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/bridge"
	"github.com/atbridge/atbridge/modems"
)

// ErrNoDaemon: nobody serves the socket.
var ErrNoDaemon = errors.New("no atbridge is running here")

// Client speaks to a running daemon.
type Client struct {
	socket string
	http   http.Client
}

// Dial makes sure that a daemon serves socket.
func Dial(socket string) (*Client, error) {
	conn, err := net.Dial("unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("%w (no daemon at %s)", ErrNoDaemon, socket)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s may not be opened by this user; add the user to the group atbridge and log in again", socket)
	case err != nil:
		return nil, fmt.Errorf("the daemon's socket: %w", err)
	}
	conn.Close()
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	return c, nil
}

// Status asks what the daemon is doing.
func (c *Client) Status(ctx context.Context) (bridge.Status, error) {
	var s bridge.Status
	return s, c.do(ctx, http.MethodGet, "/api/status", nil, &s)
}

// Send lets the daemon run commands between its own.
func (c *Client) Send(ctx context.Context, req modems.SendRequest) (SendReply, error) {
	var r SendReply
	body, err := json.Marshal(req)
	if err != nil {
		return r, err
	}
	return r, c.do(ctx, http.MethodPost, "/api/send", body, &r)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	resp, err := c.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// ask returns an answer that is good; its body is to be closed.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://atbridge"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the daemon: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // the status line says enough if it cannot be read
	text = bytes.TrimSpace(text)
	if known := queueStatus[resp.StatusCode]; known != nil {
		return nil, &refusal{string(text), known}
	}
	return nil, fmt.Errorf("the daemon answered %s: %s", resp.Status, text)
}

// refusal is an error of the daemon that is known here too.
type refusal struct {
	text  string
	known error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.known }
