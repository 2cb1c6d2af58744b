package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/atbridge/atbridge/bridge/cloud/cloudtest"
	"github.com/atbridge/atbridge/modems/modemsim"
)

// talk is a device on Aliyun's fake with routes that follow the platform's conventions.
type talk struct {
	*rig
	cloud    *cloudtest.Cloud
	house    paho.Client
	platform chan cloudtest.Message // what has come to the platform
	arrived  chan string            // what has come to local clients, topic and payload
}

func newTalk(t *testing.T, routes string) *talk {
	t.Helper()
	p := &cloudtest.AliyunProduct{Key: "pk"}
	p.Device("dn", "s3cr3t")
	r, c := platformRig(t, modemsim.Config{Model: "ec600", Baud: 460800}, p, "aliyun: {product_key: pk, device_name: dn, device_secret: s3cr3t}", "UP", "DOWN")
	config := readFile(t, r.file)
	i := strings.Index(config, "routes: ")
	j := i + strings.Index(config[i:], "\n")
	write(t, r.file, config[:i]+"routes:"+routes+config[j:], 0o600)
	k := &talk{rig: r, cloud: c, platform: make(chan cloudtest.Message, 100), arrived: make(chan string, 100)}
	c.Watch(func(m cloudtest.Message) { k.platform <- m })
	r.start()
	r.online()
	k.house = mustClient(t, r.local(), "house")
	collect(t, k.house, "from/#", func(topic string, p []byte) { k.arrived <- topic + " " + string(p) })
	return k
}

func (k *talk) say(topic, payload string, retain bool) {
	k.t.Helper()
	token := k.house.Publish(topic, 1, retain, payload)
	if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		k.t.Errorf("publishing to %s: %v", topic, token.Error())
	}
}

// arrives waits for the next message at the platform. N stands for an id of ours.
func (k *talk) arrives(topic, payload string, qos byte) {
	k.t.Helper()
	select {
	case m := <-k.platform:
		got := regexp.MustCompile(`"id":"[0-9]{1,3}","version"`).ReplaceAllString(string(m.Payload), `"id":"N","version"`)
		if m.Topic != topic || got != payload || m.QoS != qos {
			k.t.Errorf("%s %s, QoS %d\nwant %s %s, QoS %d", m.Topic, got, m.QoS, topic, payload, qos)
		}
	case <-time.After(20 * time.Second):
		k.t.Fatalf("nothing arrives on %s", topic)
	}
}

func (k *talk) comes(message string) {
	k.t.Helper()
	select {
	case m := <-k.arrived:
		if m != message {
			k.t.Errorf("%s\nwant %s", m, message)
		}
	case <-time.After(20 * time.Second):
		k.t.Fatalf("%s does not come", message)
	}
}

func (k *talk) sends(topic, payload string) {
	k.t.Helper()
	if err := k.cloud.Send(topic, []byte(payload), 1); err != nil {
		k.t.Fatal(err)
	}
}

// Properties, events and services of Aliyun's things, with their replies.
func TestAlink(t *testing.T) {
	t.Parallel()
	k := newTalk(t, `
  up:
    - {from: "to/properties", to: "/sys/pk/dn/thing/event/property/post", wrap: alink}
    - {from: "to/events/+", to: "/sys/pk/dn/thing/event/+/post", wrap: alink}
    - {from: "to/replies/light", to: "/sys/pk/dn/thing/service/light_reply", wrap: alink}
  down:
    - {from: "/sys/pk/dn/thing/event/property/post_reply", to: "from/replies", wrap: alink}
    - {from: "/sys/pk/dn/thing/service/property/set", to: "from/set", wrap: alink}
    - {from: "/sys/pk/dn/thing/service/light", to: "from/light", wrap: alink}`)
	thing := "/sys/pk/dn/thing/"
	k.say("to/properties", `{"temp": 10.5}`, true) // retained: the fake ends a session that says so
	k.arrives(thing+"event/property/post", `{"id":"N","version":"1.0","sys":{"ack":1},"params":{"temp":10.5},"method":"thing.event.property.post"}`, 1)
	k.say("to/events/alarm", `{"reason":"heat"}`, false)
	k.arrives(thing+"event/alarm/post", `{"id":"N","version":"1.0","sys":{"ack":0},"params":{"value":{"reason":"heat"}},"method":"thing.event.alarm.post"}`, 1)

	k.sends(thing+"event/property/post_reply", `{"code":6813,"data":{},"id":"1","message":"topic illegal"}`)
	k.comes(`from/replies {"code":6813,"data":{},"id":"1","message":"topic illegal"}`)
	eventually(t, "the log to tell of it", 10*time.Second, func() bool {
		return strings.Contains(k.log.String(), "Aliyun refused message 1: code 6813 topic illegal")
	})

	k.sends(thing+"service/property/set", `{"method":"thing.service.property.set","id":"77","params":{"LightSwitch":0},"version":"1.0.0"}`)
	k.comes(`from/set {"LightSwitch":0}`)
	k.arrives(thing+"service/property/set_reply", `{"id":"77","code":200,"data":{}}`, 1)

	for _, id := range []string{"78", "79"} {
		k.sends(thing+"service/light", `{"method":"thing.service.light","id":"`+id+`","params":{"on":1},"version":"1.0.0"}`)
		k.comes(`from/light {"on":1}`)
	}
	for _, id := range []string{"78", "79"} {
		k.say("to/replies/light", `{"lit":true}`, false)
		k.arrives(thing+"service/light_reply", `{"id":"`+id+`","code":200,"data":{"lit":true}}`, 1)
	}

	k.say("to/properties", `no object`, false)
	eventually(t, "it to be set aside", 10*time.Second, func() bool {
		s, err := k.status()
		return err == nil && s.Queue.Poisoned == 1
	})
	for _, why := range k.cloud.Refusals() {
		t.Error(why)
	}
	k.stop()
}

// RRPC, the platform's own topics and one's own: requests and responses by routes.
func TestRRPC(t *testing.T) {
	t.Parallel()
	k := newTalk(t, `
  up:
    - {from: "to/rrpc/+", to: "/sys/pk/dn/rrpc/response/+"}
    - {from: "to/own/+", to: "/ext/rrpc/+/pk/dn/user/get"}
  down:
    - {from: "/sys/pk/dn/rrpc/request/+", to: "from/rrpc/+"}
    - {from: "/ext/rrpc/+/pk/dn/user/get", to: "from/own/+"}`)
	k.sends("/sys/pk/dn/rrpc/request/121307410", "on")
	k.comes("from/rrpc/121307410 on")
	k.say("to/rrpc/121307410", "done", false)
	k.arrives("/sys/pk/dn/rrpc/response/121307410", "done", 0)
	k.sends("/ext/rrpc/5/pk/dn/user/get", "off")
	k.comes("from/own/5 off")
	k.stop()
}
