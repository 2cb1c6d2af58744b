package mqtt

import (
	"bytes"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// FuzzInbound: what check lets through does not depend on how the bytes were cut, and paho's reader survives it.
func FuzzInbound(f *testing.F) {
	for _, seed := range []string{
		"\x20\x02\x00\x00", "\x20\x02\x00\x05\x90\x03\x00\x01\x01", "\x20\x02\x00\x00\x30\x03\x00\x01t\x40\x02\x00\x01",
		"\x20\x02\x00\x00\x30\xff\xff\xff\x7f", "\x20\x02\x00\x00\x32\x80\x01" + string(make([]byte, 128)), "\x20\xff\xff\xff\xff\x01",
		"\x20\x02\x00\x00\x90\x04\x00\x01\x00\x00", "HTTP/1.1 400", "\x20\x02\x00\x00\x32\x02\x00\x09", "\x20\x02\x00\x00\xd0\x00\xd0\x00",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var whole, parts inbound
		n, err := whole.check(data)
		cut = min(max(cut, 0), len(data))
		m, err2 := parts.check(data[:cut])
		if err2 == nil {
			m, err2 = parts.check(data[cut:])
			m += cut
		}
		// A header that lies across the cut has been passed on in part when the rest of it turns out bad.
		if (err == nil) != (err2 == nil) || err == nil && n != m || err != nil && (m < n || m > n+len(whole.head)) || whole.refusal != parts.refusal {
			t.Fatalf("whole: %d, %v; in parts: %d, %v", n, err, m, err2)
		}
		r := bytes.NewReader(data[:n])
		for {
			if _, err := packets.ReadPacket(r); err != nil {
				return
			}
		}
	})
}
