package mqtt

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/atbridge/atbridge/modems"
)

// tickets is a session cache that outlives the process: after a restart, too, the handshake is short. What cannot be
// read or written costs a full handshake, and nothing else.
type tickets struct {
	memory tls.ClientSessionCache
	file   string
	owner  string
}

// ticket is what lies in the file. The session is a secret of this host, as a private key is.
type ticket struct {
	Owner  string `json:"owner"` // for whom, and by which roots the broker was verified
	Ticket []byte `json:"ticket"`
	State  []byte `json:"state"`
}

// owner names a broker and what the files hold at the moment: other roots have not verified this broker.
func owner(host string, files modems.TLSConfig) string {
	h := sha256.New()
	for _, name := range []string{files.CAFile, files.CertFile, files.KeyFile} {
		content, err := os.ReadFile(name) // a file that is missing fails the handshake's own way
		fmt.Fprintf(h, "%d %v %s", len(content), err == nil, content)
	}
	fmt.Fprintf(h, "%q %q", host, files.ServerName)
	return hex.EncodeToString(h.Sum(nil))
}

func (t *tickets) Get(key string) (*tls.ClientSessionState, bool) {
	if s, ok := t.memory.Get(key); ok {
		return s, true
	}
	content, err := os.ReadFile(t.file)
	var k ticket
	if err != nil || json.Unmarshal(content, &k) != nil || k.Owner != t.owner {
		return nil, false
	}
	state, err := tls.ParseSessionState(k.State)
	if err != nil {
		return nil, false
	}
	s, err := tls.NewResumptionState(k.Ticket, state)
	return s, err == nil
}

// Put keeps a new session; nil: the old one is of no use.
func (t *tickets) Put(key string, s *tls.ClientSessionState) {
	t.memory.Put(key, s)
	content, err := encode(t.owner, s)
	if err != nil {
		os.Remove(t.file)
		return
	}
	fresh := t.file + ".new"
	if err := os.WriteFile(fresh, content, 0o600); err == nil {
		os.Rename(fresh, t.file)
	}
}

func encode(owner string, s *tls.ClientSessionState) ([]byte, error) {
	if s == nil {
		return nil, os.ErrNotExist
	}
	id, state, err := s.ResumptionState()
	if err != nil {
		return nil, err
	}
	bytes, err := state.Bytes()
	if err != nil {
		return nil, err
	}
	return json.Marshal(ticket{owner, id, bytes})
}
