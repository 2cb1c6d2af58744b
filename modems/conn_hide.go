package modems

import (
	"bytes"
	"net"
)

// Hide keeps secret, which the first bytes on a plain connection will show, out of what a tap is told of the wire. It ends
// when the other side answers.
func Hide(c net.Conn, secret string) {
	if c, ok := c.(*conn); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hidden = secret
	}
}

// leastPiece is the shortest part of a secret that is looked for at the edges of what is sent.
const leastPiece = 4

// secretsIn returns what p shows of the hidden secret, which may begin before p, or end behind it.
func (c *conn) secretsIn(p []byte) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hidden == "" {
		return nil
	}
	found := []string{c.hidden}
	for n := min(len(p), len(c.hidden)-1); n >= leastPiece; n-- {
		if head := c.hidden[:n]; bytes.HasSuffix(p, []byte(head)) {
			found = append(found, head)
		}
		if tail := c.hidden[len(c.hidden)-n:]; bytes.HasPrefix(p, []byte(tail)) {
			found = append(found, tail)
		}
	}
	return found
}
