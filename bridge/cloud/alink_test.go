package cloud

import (
	"errors"
	"testing"
	"time"
)

const thing = "/sys/pk/dn/thing/"

func never(string) bool  { return false }
func always(string) bool { return true }

func TestAlinkWrap(t *testing.T) {
	a := NewAlink()
	for _, v := range []struct {
		topic, payload, want string
		ack                  bool
	}{
		{thing + "event/property/post", ` {"temp": 10.0} `, `{"id":"123","version":"1.0","sys":{"ack":0},"params":{"temp":10.0},"method":"thing.event.property.post"}`, false},
		{thing + "event/property/post", `{"temp":10}`, `{"id":"123","version":"1.0","sys":{"ack":1},"params":{"temp":10},"method":"thing.event.property.post"}`, true},
		{thing + "event/alarm/post", `{"reason":"heat"}`, `{"id":"123","version":"1.0","sys":{"ack":0},"params":{"value":{"reason":"heat"}},"method":"thing.event.alarm.post"}`, false},
		{thing + "deviceinfo/update", `{}`, `{"id":"123","version":"1.0","sys":{"ack":0},"params":{},"method":"thing.deviceinfo.update"}`, false},
	} {
		got, err := a.Wrap(v.topic, 123+1<<32, []byte(v.payload), v.ack)
		if err != nil || string(got) != v.want {
			t.Errorf("%s, %v\nwant %s", got, err, v.want)
		}
	}
	for topic, payload := range map[string]string{
		thing + "event/property/post": "10", thing + "event/x/post": "", thing + "event/y/post": `{"a":`, "/pk/dn/user/update": "{}",
		thing + "service/light_reply": "{}", // nothing waits
	} {
		if got, err := a.Wrap(topic, 1, []byte(payload), false); !errors.Is(err, ErrFrame) {
			t.Errorf("%s %q: %s, %v", topic, payload, got, err)
		}
	}
}

// Replies go to their requests in order, the same when they are sent again, and never to one that has waited for too long.
func TestAlinkReplies(t *testing.T) {
	a := NewAlink()
	now := time.Now()
	a.now = func() time.Time { return now }
	call := func(id string) {
		u, err := a.Unwrap(thing+"service/light", []byte(`{"method":"thing.service.light","id":"`+id+`","params":{"on":1},"version":"1.0.0"}`), always)
		if err != nil || string(u.Payload) != `{"on":1}` || u.ReplyTo != "" {
			t.Errorf("%+v, %v", u, err)
		}
	}
	answer := func(message uint64, want string) {
		got, err := a.Wrap(thing+"service/light_reply", message, []byte(`{"done":true}`), false)
		if err != nil || string(got) != `{"id":"`+want+`","code":200,"data":{"done":true}}` {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	call("0")
	now = now.Add(alinkPatience + time.Second)
	call("1")
	call("2")
	answer(11, "1")
	answer(12, "2")
	answer(11, "1")
	if _, err := a.Wrap(thing+"service/light_reply", 13, []byte("{}"), false); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
}

func TestAlinkUnwrap(t *testing.T) {
	a := NewAlink()
	u, err := a.Unwrap(thing+"service/property/set", []byte(`{"method":"thing.service.property.set","id":"123","params":{"LightSwitch":0},"version":"1.0.0"}`), never)
	if err != nil || string(u.Payload) != `{"LightSwitch":0}` || u.ReplyTo != thing+"service/property/set_reply" || string(u.Reply) != `{"id":"123","code":200,"data":{}}` {
		t.Errorf("%+v, %v", u, err)
	}
	good := `{"code":200,"data":{},"id":"123","message":"success","method":"thing.event.property.post","version":"1.0"}`
	if u, err = a.Unwrap(thing+"event/property/post_reply", []byte(good), never); err != nil || string(u.Payload) != good || u.Failed != nil || u.ReplyTo != "" {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err = a.Unwrap(thing+"event/property/post_reply", []byte(`{"code":6813,"id":"123","message":"topic illegal"}`), never); err != nil || u.Failed == nil || u.Failed.Error() != "Aliyun refused message 123: code 6813 topic illegal" {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range []string{"", "on", `{"id":"1"}`, `{"params":{}}`} {
		if _, err := a.Unwrap(thing+"service/x", []byte(bad), never); !errors.Is(err, ErrFrame) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
