package main

import (
	"path/filepath"
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
	return talking(r, c, "from/#")
}

// talking starts the daemon and listens on both sides: at the platform, and to what local clients are told on down.
func talking(r *rig, c *cloudtest.Cloud, down ...string) *talk {
	r.t.Helper()
	k := &talk{rig: r, cloud: c, platform: make(chan cloudtest.Message, 100), arrived: make(chan string, 100)}
	c.Watch(func(m cloudtest.Message) { k.platform <- m })
	r.start()
	r.online()
	k.house = mustClient(r.t, r.local(), "house")
	for _, filter := range down {
		collect(r.t, k.house, filter, func(topic string, p []byte) { k.arrived <- topic + " " + string(p) })
	}
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

// The example for Aliyun as it stands, with a modem, a secret and places of the test: properties, an event, a service, RRPC and the
// device's own topics.
func TestAliyunExample(t *testing.T) {
	t.Parallel()
	const imei = "864700000000017"
	p := &cloudtest.AliyunProduct{Key: "a1XxxxxxxxX"}
	p.Device("lamp-"+imei, "s3cr3t")
	r, c := platformRig(t, modemsim.Config{Model: "ec600", Baud: 460800, Faults: []string{"imei=" + imei}}, p, "", "x", "y")
	example := readFile(t, "testdata/examples/aliyun.yaml")
	for old, fresh := range map[string]string{
		"modem: {port: /dev/ttyUSB2}": "modem: {port: " + r.sim.Path() + ", baud: 460800}", "${ALIYUN_DEVICE_SECRET}": "s3cr3t",
	} {
		if !strings.Contains(example, old) {
			t.Fatalf("no %s in the example", old)
		}
		example = strings.Replace(example, old, fresh, 1)
	}
	write(t, r.file, example+`
local: {listen: "127.0.0.1:0"}
queue: {dir: `+filepath.Join(r.dir, "queue")+`}
status: {socket: `+filepath.Join(r.dir, "sock")+`}
log: {level: debug, wire: true}
`, 0o600)
	k := talking(r, c, "properties/set", "services/light", "rrpc/requests/+", "down/get")
	own, thing := "/a1XxxxxxxxX/lamp-"+imei+"/user/", "/sys/a1XxxxxxxxX/lamp-"+imei+"/thing/"
	rrpc := strings.TrimSuffix(thing, "thing/") + "rrpc/"

	k.say("properties", `{"temp":10.5}`, false)
	k.arrives(thing+"event/property/post", `{"id":"N","version":"1.0","sys":{"ack":0},"params":{"temp":10.5},"method":"thing.event.property.post"}`, 1)
	k.say("events/alarm", `{"reason":"heat"}`, false)
	k.arrives(thing+"event/alarm/post", `{"id":"N","version":"1.0","sys":{"ack":0},"params":{"value":{"reason":"heat"}},"method":"thing.event.alarm.post"}`, 1)
	k.say("up/update", "hello", false)
	k.arrives(own+"update", "hello", 1)

	k.sends(thing+"service/property/set", `{"method":"thing.service.property.set","id":"123","params":{"LightSwitch":0},"version":"1.0.0"}`)
	k.comes(`properties/set {"LightSwitch":0}`)
	k.arrives(thing+"service/property/set_reply", `{"id":"123","code":200,"data":{}}`, 1)
	k.sends(thing+"service/light", `{"method":"thing.service.light","id":"124","params":{"on":1},"version":"1.0.0"}`)
	k.comes(`services/light {"on":1}`)
	k.arrives(thing+"service/light_reply", `{"id":"124","code":200,"data":{}}`, 1)
	k.sends(own+"get", "hello")
	k.comes("down/get hello")

	k.sends(rrpc+"request/121307410", "on?")
	k.comes("rrpc/requests/121307410 on?")
	k.say("rrpc/answers/121307410", "on", false)
	k.arrives(rrpc+"response/121307410", "on", 0)
	for _, why := range c.Refusals() {
		t.Error(why)
	}
	k.stop()
	k.silent("s3cr3t")
}
