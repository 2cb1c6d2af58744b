package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atbridge/atbridge/modems/modemsim"
	"github.com/atbridge/atbridge/modems/modemtest"
)

// controller is what a mini-program does: MQTT.js over WebSocket. It asks for the temperature until it comes, switches the
// light on, and ends when the lamp has confirmed it.
const controller = `
const client = require('mqtt').connect(process.argv[2], {clientId: 'phone', protocolVersion: 4, keepalive: 60, reconnectPeriod: 0})
let temperature, light
client.on('error', e => { console.error(String(e)); process.exit(1) })
client.on('connect', () => client.subscribe('site7/#', {qos: 1}, () => client.publish('site7/commands/lamp', 'on', {qos: 1})))
client.on('message', (topic, payload) => {
	if (topic === 'site7/sensors/temperature') temperature = JSON.parse(payload.toString()).celsius
	if (topic === 'site7/sensors/lamp') light = payload.toString()
	if (temperature !== undefined && light !== undefined) { console.log(light, temperature); client.end() }
})
`

// mqttJS says how to run node with the package mqtt. Where one of them is missing the test skips; with ATBRIDGE_CI=1 it fails.
func mqttJS(t *testing.T) (node string, env []string) {
	t.Helper()
	node = program(t, "node")
	env = append(os.Environ(), "NODE_PATH="+strings.Join([]string{os.Getenv("NODE_PATH"), "/usr/share/nodejs", "/usr/lib/node_modules"}, ":"))
	try := exec.Command(node, "-e", "require('mqtt')")
	try.Env = env
	if err := try.Run(); err != nil {
		if os.Getenv("ATBRIDGE_CI") == "1" {
			t.Fatal("the package mqtt of node is not installed (Debian: node-mqtt)")
		}
		t.Skip("the package mqtt of node is not installed (Debian: node-mqtt); this test needs it")
	}
	return node, env
}

// The other end of the line: a phone with MQTT.js over WebSocket and mosquitto switches a light on the simulated module
// and reads a temperature from it, through the bridge.
func TestController(t *testing.T) {
	t.Parallel()
	node, env := mqttJS(t)
	r := newRig(t, modemsim.Config{Model: "ec600", Baud: 115200, RTT: 20 * time.Millisecond})
	web := mosquittoForWeb(t, r)
	r.start()
	r.online()
	house := mustClient(t, r.local(), "lamp")
	collect(t, house, "commands/lamp", func(_ string, p []byte) {
		house.Publish("sensors/lamp", 1, false, "is "+string(p))
		house.Publish("sensors/temperature", 1, false, `{"celsius": 21.5}`)
	})
	script := filepath.Join(t.TempDir(), "controller.js")
	write(t, script, controller, 0o600)
	cmd := exec.CommandContext(t.Context(), node, script, "ws://"+web)
	cmd.Env = env
	ended := time.AfterFunc(60*time.Second, func() { cmd.Process.Kill() })
	defer ended.Stop()
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "is on 21.5\n" {
		t.Errorf("%v: %s", err, out)
	}
	r.stop()
}

// mosquittoForWeb is another broker for r, with a listener for WebSocket whose address it returns.
func mosquittoForWeb(t *testing.T, r *rig) (web string) {
	t.Helper()
	plain, web := modemtest.FreeAddr(t), modemtest.FreeAddr(t)
	port := func(addr string) string {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	write(t, file, fmt.Sprintf("user root\nallow_anonymous true\nlistener %s 127.0.0.1\nlistener %s 127.0.0.1\nprotocol websockets\n", port(plain), port(web)), 0o644)
	cmd := exec.Command(program(t, "mosquitto"), "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for _, addr := range []string{plain, web} {
		eventually(t, "mosquitto to listen", 10*time.Second, func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	r.change(r.cloud, plain)
	r.cloud = plain
	return web
}
