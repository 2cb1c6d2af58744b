package mqtt

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// The packets that the host encodes, byte for byte, against those that others have published: the first is that of an
// article about an NT35E and Aliyun, with the 0x10 that it leaves out, the others are frames from logs of working logins.
func TestPackets(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg     modems.MQTTConfig
		connect string
		msg     modems.Message
		publish string
	}{
		"article": {
			modems.MQTTConfig{ClientID: "abc|securemode=3,signmethod=hmacsha1,timestamp=120|", Username: "5678&1234",
				Password: "222750DEDFE4F774002EE87EED29CFD0638C5F66", KeepAlive: 120 * time.Second},
			"107400044d51545404c0007800336162637c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861312c74696d657374616d703d3132307c0009353637382631323334" +
				"002832323237353044454446453446373734303032454538374545443239434644303633384335463636",
			modems.Message{Topic: "/sys/post", Payload: []byte("{params:{temp:10}}")},
			"301d00092f7379732f706f73747b706172616d733a7b74656d703a31307d7d",
		},
		"a remaining length of two bytes": {
			modems.MQTTConfig{ClientID: "12345|securemode=3,signmethod=hmacsha1,timestamp=10|", Username: "Norra_Device_000001&a1BekCto7zj",
				Password: "72770e19f50540d4a17b376808630ecd5c9a0fc9", KeepAlive: 120 * time.Second, CleanSession: true},
			"108b0100044d51545404c20078003431323334357c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861312c74696d657374616d703d31307c" +
				"001f4e6f7272615f4465766963655f30303030303126613142656b43746f377a6a002837323737306531396635303534306434613137623337363830383633306563643563396130666339",
			modems.Message{Topic: "t", Payload: []byte("x"), QoS: 1},
			"3206000174000178",
		},
		"another keep alive": {
			modems.MQTTConfig{ClientID: "XP001|securemode=3,signmethod=hmacsha1|", Username: "XP001&a1Ze3BcsQ5x",
				Password: "cc4e388e7f1ea1e5bdaf15891b76f2dfcfeffb06", KeepAlive: 100 * time.Second, CleanSession: true},
			"107000044d51545404c20064002758503030317c7365637572656d6f64653d332c7369676e6d6574686f643d686d6163736861317c001158503030312661315a6533426373513578" +
				"002863633465333838653766316561316535626461663135383931623736663264666366656666623036",
			modems.Message{Topic: "t", Retain: true},
			"3103000174",
		},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			ctx := within(t, 10*time.Second)
			read := func(want string) {
				got := make([]byte, len(want)/2)
				if _, err := io.ReadFull(far, got); err != nil || hex.EncodeToString(got) != want {
					t.Errorf("got  %x\nwant %s (%v)", got, want, err)
				}
			}
			greeted := make(chan struct{})
			go func() {
				defer close(greeted)
				read(tc.connect)
				far.Write([]byte{0x20, 2, 0, 0}) // CONNACK
			}()
			s, err := Dial(ctx, func(context.Context) (net.Conn, error) { return near, nil }, tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			<-greeted
			if _, err := s.Publish(ctx, tc.msg); err != nil {
				t.Fatal(err)
			}
			read(tc.publish)
			far.Close()
			s.Close(ctx)
		})
	}
}
