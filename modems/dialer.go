package modems

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/atbridge/atbridge/atcmd"
)

// SocketDialer opens TCP connections by the module's own stack.
type SocketDialer interface {
	// DialSocket connects to host, a name or a literal address, which the module resolves.
	DialSocket(ctx context.Context, m *Modem, host string, port int) (net.Conn, error)

	// Sockets is how many there can be at once.
	Sockets() int
}

// ErrName: the module could not resolve the name of a host.
var ErrName = errors.New("the name could not be resolved")

// unresolved marks err, which says it in its own words, as an ErrName.
func unresolved(is bool, err error) error {
	if !is {
		return err
	}
	return nameError{err}
}

type nameError struct{ error }

func (e nameError) Unwrap() error        { return e.error }
func (e nameError) Is(target error) bool { return target == ErrName }

// ErrNoSocket: all sockets of the module are in use.
var ErrNoSocket = errors.New("all sockets of the module are in use")

// DialContext connects through the modem's TCP stack, as net.Dialer's does through the machine's: the modem is a network
// for whatever takes such a function, such as http.Transport. The modem must be online. Network is "tcp" or "tcp4"; names
// are resolved by the module.
func (m *Modem) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := m.dialSocket(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s through the modem: %w", addr, err)
	}
	return c, nil
}

func (m *Modem) dialSocket(ctx context.Context, network, addr string) (net.Conn, error) {
	switch {
	case m.driver.NoSocket != "":
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, m.driver.NoSocket)
	case m.driver.Socket == nil:
		return nil, m.lacks("TCP socket")
	}
	if network != "tcp" && network != "tcp4" {
		return nil, fmt.Errorf("%w: network %s", ErrUnsupported, network)
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(service)
	if err != nil || port < 1 || port > 65535 {
		return nil, fmt.Errorf("%q is no port number", service)
	}
	if _, err := atcmd.Quote(host); err != nil {
		return nil, fmt.Errorf("%w: the host name: %w", ErrUnsupported, err)
	}
	return m.driver.Socket.DialSocket(ctx, m, host, port)
}

// Sockets is how many TCP connections the modem can have at once; 0: none.
func (m *Modem) Sockets() int {
	if m.driver.Socket == nil {
		return 0
	}
	return m.driver.Socket.Sockets()
}

// takeSocket takes one of the module's sockets, 0 to n-1, until free is called.
func (m *Modem) takeSocket(n int) (id int, free func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range n {
		if !m.sockets[id] {
			m.sockets[id] = true
			return id, func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				delete(m.sockets, id)
			}, nil
		}
	}
	return 0, nil, fmt.Errorf("%w (%d)", ErrNoSocket, n)
}
