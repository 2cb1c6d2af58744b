package cloud

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems"
)

// What each platform's table of limits says, at the limit and one beyond.
func TestRules(t *testing.T) {
	id := func(n int) string { return strings.Repeat("i", n) }
	message := func(topic string, payload int, retain bool) modems.Message {
		return modems.Message{Topic: topic, Payload: make([]byte, payload), Retain: retain}
	}
	for _, v := range []struct {
		p             Platform
		least, most   time.Duration
		takes, refuse []modems.Message
		id, idNot     string
		subscriptions int
	}{
		{Aliyun{}, 30 * time.Second, 1200 * time.Second, []modems.Message{message("/pk/dn/user/a", 1, false)}, []modems.Message{message("/pk/dn/user/a", 1, true)}, id(200), "", 0},
		{Easemob{}, time.Second, 180 * time.Second,
			[]modems.Message{message(id(64), 64<<10, true), message("$a/b-_+#@/9", 1, false)},
			[]modems.Message{message(id(65), 1, false), message("a", 64<<10+1, false), message("a.b", 1, false), message("a$b", 1, false), message("$a$", 1, false)}, id(60) + "-_@7", id(65), 0},
		{OneNET{}, 10 * time.Second, 1800 * time.Second, []modems.Message{message("$sys/p/d/dp/post/json", 1<<20, true)}, nil, id(200), "", 0},
		{Tencent{}, 0, 900 * time.Second,
			[]modems.Message{message(id(255), 16<<10, false), message("1/2/3/4/5/6/7/8/9/0", 1, false)},
			[]modems.Message{message(id(256), 1, false), message("1/2/3/4/5/6/7/8/9/0/1", 1, false), message("a", 16<<10+1, false), message("a", 1, true)}, id(200), "", 0},
		{Huawei{}, 30 * time.Second, 1200 * time.Second, []modems.Message{message("a", 1<<20, false)}, []modems.Message{message("a", 1<<20+1, false), message("a", 1, true)}, id(200), "", 100},
		{Baidu{}, 30 * time.Second, 1200 * time.Second, []modems.Message{message("a", 32<<10, true)}, []modems.Message{message("a", 32<<10+1, false)}, id(126) + "_-", id(129), 100},
	} {
		r := v.p.Rules()
		if r.KeepAliveMin != v.least || r.KeepAliveMax != v.most || r.Subscriptions != v.subscriptions {
			t.Errorf("%s: keepalive %v to %v, %d subscriptions", r.Name, r.KeepAliveMin, r.KeepAliveMax, r.Subscriptions)
		}
		for _, m := range v.takes {
			if err := r.Check(m); err != nil {
				t.Error(err)
			}
		}
		for _, m := range v.refuse {
			if err := r.Check(m); !errors.Is(err, modems.ErrMessage) {
				t.Errorf("%s takes %s with %d bytes, retain %v", r.Name, m.Topic, len(m.Payload), m.Retain)
			}
		}
		if err := r.CheckClientID(v.id); err != nil {
			t.Error(err)
		}
		if v.idNot != "" && (r.CheckClientID(v.idNot) == nil || r.CheckClientID("a.b") == nil || r.CheckClientID("\u00e9") == nil) {
			t.Errorf("%s takes %s as a client id, or a.b", r.Name, v.idNot)
		}
	}
}
