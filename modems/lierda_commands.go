package modems

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/atbridge/atbridge/atcmd"
)

const (
	lierdaClient = 0 // <client_idx>; the manual knows 0 to 4 and says that only 0 works (MQTT)

	lierdaMaxText    = 256  // client id, user name, topic, and message of a will (MQTT)
	lierdaMaxInline  = 1024 // payload in the command line (MQTT; AT says 1460)
	lierdaMaxPayload = 8000 // payload behind the prompt (MQTT)

	// A packet is sent once and repeated three times; then the module gives up, before lierdaResult has passed.
	lierdaPacket  = 5
	lierdaRetries = 3
)

// Settings are lost when the connection is closed (seen on an NT26-KCN).
func lierdaSetting(key string, values ...any) atcmd.Command {
	return atcmd.Set("+LMQTTCFG", append([]any{key, lierdaClient}, values...)...)
}

func lierdaKeepAlive(d time.Duration) atcmd.Command {
	return lierdaSetting("keepalive", min(int(d/time.Second), 3600)) // 0: never ping
}

func lierdaWill(w *Message) atcmd.Command {
	if w == nil {
		return lierdaSetting("will", 0)
	}
	return lierdaSetting("will", 1, min(w.QoS, 2), w.Retain, w.Topic, string(w.Payload))
}

// lierdaAliyun are the settings for the module's own login to Aliyun: which cloud (2: Alibaba, 1: JSON), and who.
func lierdaAliyun(a *AliyunAuth) (cloud, auth atcmd.Command) {
	return lierdaSetting("cloud", 2, 1),
		lierdaSetting("aliauth", a.ProductKey, a.DeviceName, a.DeviceSecret).WithSecret(a.DeviceSecret)
}

func lierdaOpen(host string, port int) atcmd.Command {
	return atcmd.Set("+LMQTTOPEN", lierdaClient, host, port)
}

// lierdaConnect leaves out user name and password where there are none: so the login to Aliyun wants it.
func lierdaConnect(cfg MQTTConfig) atcmd.Command {
	args := []any{lierdaClient, cfg.ClientID}
	if cfg.Username != "" || cfg.Password != "" {
		args = append(args, cfg.Username)
	}
	if cfg.Password != "" {
		args = append(args, cfg.Password)
	}
	return atcmd.Set("+LMQTTCONN", args...).WithSecret(cfg.Password)
}

func lierdaSubscribe(id uint16, filter string, qos byte) atcmd.Command {
	return atcmd.Set("+LMQTTSUBUNSUB", lierdaClient, 0, id, filter, min(qos, 2))
}

// lierdaUnsubscribe gives a QoS too, as what has been tried on an NT26-KCN does.
func lierdaUnsubscribe(id uint16, filter string) atcmd.Command {
	return atcmd.Set("+LMQTTSUBUNSUB", lierdaClient, 1, id, filter, 0)
}

// lierdaInlines reports whether payload may stand in the command line: text that fits, without a backslash, which
// relatives of the firmware take for an escape. What atcmd.Counted does not take goes behind the prompt as well.
func lierdaInlines(payload []byte) bool {
	return len(payload) <= lierdaMaxInline && utf8.Valid(payload) && !strings.Contains(string(payload), `\`)
}

// lierdaInline publishes in one line. The module counts the payload: quotes in it are not escaped (seen on an
// NT26-KCN, with JSON).
func lierdaInline(id uint16, msg Message) atcmd.Command {
	return atcmd.Set("+LMQTTPUB", lierdaClient, id, msg.QoS, msg.Retain, msg.Topic, len(msg.Payload), atcmd.Counted(msg.Payload)).
		WithTimeout(lierdaPublish)
}

// lierdaPrompted publishes behind the prompt, where every byte passes. When OK comes is not known.
func lierdaPrompted(id uint16, msg Message) atcmd.Command {
	c := atcmd.Set("+LMQTTPUB", lierdaClient, id, msg.QoS, msg.Retain, msg.Topic, len(msg.Payload))
	c.Payload = msg.Payload
	c.Taken = fmt.Sprintf("+LMQTTPUB: %d,%d,", lierdaClient, id)
	return c.WithTimeout(lierdaPublish + time.Duration(len(msg.Payload))*lierdaByte)
}
