package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bench is a machine made of real directories: an EC600N of which ModemManager holds a port, and a UART on the board.
func bench(t *testing.T, files map[string]string) machine {
	t.Helper()
	root := t.TempDir()
	links := map[string]string{
		"sys/class/tty/ttyUSB1/device":              "../../../devices/1-2/1-2:1.3/ttyUSB1",
		"sys/class/tty/ttyAMA0/device":              "../../../devices/fe201000.serial",
		"by-id/usb-Android_Android_0000-if03-port0": "../../ttyUSB1",
		"proc/612/fd/9":                             "/dev/ttyUSB1",
	}
	texts := map[string]string{
		"sys/devices/1-2/idVendor":                 "2c7c\n",
		"sys/devices/1-2/idProduct":                "6002\n",
		"sys/devices/1-2/1-2:1.3/bInterfaceNumber": "03\n",
		"sys/devices/1-2/1-2:1.3/ttyUSB1/x":        "",
		"sys/devices/fe201000.serial/x":            "",
		"proc/612/comm":                            "ModemManager\n",
	}
	for name, text := range files {
		texts[name] = text
	}
	for name, text := range texts {
		mkdirs(t, filepath.Join(root, name))
		write(t, filepath.Join(root, name), text, 0o644)
	}
	for name, target := range links {
		mkdirs(t, filepath.Join(root, name))
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return machine{filepath.Join(root, "sys"), filepath.Join(root, "proc"), filepath.Join(root, "by-id")}
}

func mkdirs(t *testing.T, file string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestPorts(t *testing.T) {
	m := bench(t, nil)
	ports, hidden, err := m.ports()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printPorts(&out, ports, hidden); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(out.String(), m.byID, "/dev/serial/by-id")
	want := `DEVICE        USB        IF  WHAT                                                                HELD BY             STABLE NAME
/dev/ttyAMA0  -          -   -                                                                   -                   -
/dev/ttyUSB1  2c7c:6002  03  EC600S-CN (LA, LB), EC600N, EC200S, EC800M, EG800K: AT commands  ModemManager (612)  /dev/serial/by-id/usb-Android_Android_0000-if03-port0

ModemManager holds /dev/ttyUSB1; keep it away with this line in /etc/udev/rules.d/99-atbridge.rules, then plug the modem in anew:
  SUBSYSTEM=="tty", ATTRS{idVendor}=="2c7c", ATTRS{idProduct}=="6002", ENV{ID_MM_PORT_IGNORE}="1"
`
	if squeeze(text) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if got := strings.ReplaceAll(asJSON(ports), m.byID, "D"); got != `[{"device":"/dev/ttyAMA0","by_id":"","usb":"","interface":null,"module":"","at":false,"product":"","held_by":[]},`+
		`{"device":"/dev/ttyUSB1","by_id":"D/usb-Android_Android_0000-if03-port0","usb":"2c7c:6002","interface":3,"module":"EC600S-CN (LA, LB), EC600N, EC200S, EC800M, EG800K","at":true,"product":"","held_by":[{"pid":612,"name":"ModemManager"}]}]` {
		t.Error(got)
	}
}

// squeeze makes every run of spaces one.
func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// Who is not root does not see that ModemManager holds the port, but that it runs.
func TestPortsHidden(t *testing.T) {
	m := bench(t, nil)
	if err := os.RemoveAll(filepath.Join(m.proc, "612/fd")); err != nil {
		t.Fatal(err)
	}
	ports, hidden, err := m.ports()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printPorts(&out, ports, hidden); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "ModemManager runs, and may hold a port") || !strings.Contains(out.String(), "ID_MM_PORT_IGNORE") {
		t.Errorf("no word of ModemManager:\n%s", out.String())
	}
}

// On whatever machine this runs, the answer is a list.
func TestPortsHere(t *testing.T) {
	code, stdout, stderr := call("ports", "--json")
	if _, err := os.Stat("/sys/class/tty"); err != nil {
		t.Skip("no sysfs here")
	}
	var list []portEntry
	if err := json.Unmarshal([]byte(stdout), &list); code != 0 || err != nil || list == nil {
		t.Errorf("exit %d, %q, %q, %v", code, stdout, stderr, err)
	}
}

// Where the kernel does not describe the machine there is no list, and no empty one either. It comes before the tests that
// run side by side, and so changes what nobody else reads meanwhile.
func TestPortsUnreadable(t *testing.T) {
	before := thisMachine
	defer func() { thisMachine = before }()
	thisMachine.sys = filepath.Join(t.TempDir(), "none")
	if code, stdout, stderr := call("ports"); code != exitPort || stdout != "" || !strings.HasPrefix(stderr, "atbridge: listing the serial ports: ") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}
