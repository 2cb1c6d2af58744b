package mqtt

import "fmt"

// maxPacket is the largest packet taken from a broker: paho allocates what a header claims, and MQTT allows 256 MB.
const maxPacket = 8 << 20

// Packet types of MQTT 3.1.1, section 2.2.1, as they stand in the first byte.
const (
	connack  = 0x20
	suback   = 0x90
	typeBits = 0xf0
)

// inbound follows the headers of what a broker sends. It keeps no packet.
type inbound struct {
	head    [5]byte // fixed header of the packet that is coming: type and up to four bytes of length
	n       int     // of head
	body    int     // bytes of the packet still to come
	packets int     // whole headers seen
	refusal byte    // return code of the CONNACK
}

// check returns how much of p, the next bytes from the broker, may be passed on, and what is wrong with the rest.
func (in *inbound) check(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if in.body > 0 {
			step := min(in.body, len(p)-i)
			i += step
			in.body -= step
			if in.packets == 1 && in.body == 0 {
				in.refusal = p[i-1] // the last of two bytes [MQTT-3.2.2.3]
			}
			continue
		}
		in.head[in.n] = p[i]
		in.n++
		i++
		if in.n == 1 || in.head[in.n-1] >= 0x80 && in.n < len(in.head) {
			continue // the length is still to come, or goes on
		}
		if err := in.header(); err != nil {
			return max(0, i-in.n), err
		}
		in.n = 0
	}
	return len(p), nil
}

// header judges a whole fixed header.
func (in *inbound) header() error {
	length := 0
	for i, b := range in.head[1:in.n] {
		length |= int(b&0x7f) << (7 * i)
	}
	kind := in.head[0] & typeBits
	in.packets++
	in.body = length
	switch {
	case in.head[in.n-1] >= 0x80:
		return fmt.Errorf("the broker sent a malformed packet length")
	case in.packets == 1 && (kind != connack || length != 2):
		return fmt.Errorf("what answers is not an MQTT broker: its first packet is no CONNACK; check host, port and TLS")
	case kind == suback && length != 3: // packet identifier and one return code: each SUBSCRIBE here has one filter
		return fmt.Errorf("the broker sent a malformed SUBACK")
	case length > maxPacket:
		return fmt.Errorf("the broker sent a packet of %d bytes; more than %d are not taken", length, maxPacket)
	}
	return nil
}
