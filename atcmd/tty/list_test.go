package tty

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// tree makes files with their contents, and symbolic links where the contents begin with "-> ".
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if len(text) > 3 && text[:3] == "-> " {
			err = os.Symlink(text[3:], name)
		} else {
			err = os.WriteFile(name, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// A machine with an EC600N on USB, a CDC-ACM module, the UART of a Raspberry Pi, and what a PC reserves.
var sysfs = map[string]string{
	"devices/usb1/1-2/idVendor":                 "2C7C\n",
	"devices/usb1/1-2/idProduct":                "6002\n",
	"devices/usb1/1-2/product":                  "Android\n",
	"devices/usb1/1-2/1-2:1.3/bInterfaceNumber": "03\n",
	"devices/usb1/1-2/1-2:1.3/ttyUSB10/x":       "",
	"devices/usb1/1-2/1-2:1.a/bInterfaceNumber": "0a\n",
	"devices/usb1/1-2/1-2:1.a/ttyUSB9/x":        "",
	"devices/usb1/1-3/idVendor":                 "3505\n",
	"devices/usb1/1-3/idProduct":                "0001\n",
	"devices/usb1/1-3/1-3:1.0/bInterfaceNumber": "00\n",
	"devices/platform/fe201000.serial/x":        "",
	"devices/platform/serial8250/x":             "",
	"class/tty/ttyUSB10/device":                 "-> ../../../devices/usb1/1-2/1-2:1.3/ttyUSB10",
	"class/tty/ttyUSB9/device":                  "-> ../../../devices/usb1/1-2/1-2:1.a/ttyUSB9",
	"class/tty/ttyACM0/device":                  "-> ../../../devices/usb1/1-3/1-3:1.0",
	"class/tty/ttyAMA0/device":                  "-> ../../../devices/platform/fe201000.serial",
	"class/tty/ttyAMA0/type":                    "32\n",
	"class/tty/ttyS4/device":                    "-> ../../../devices/platform/serial8250",
	"class/tty/ttyS4/type":                      "0\n",
	"class/tty/tty1/x":                          "",
	"class/tty/ptmx/x":                          "",
}

func TestList(t *testing.T) {
	got, err := List(tree(t, sysfs))
	want := []Info{
		{Device: "/dev/ttyACM0", VID: "3505", PID: "0001"},
		{Device: "/dev/ttyAMA0", Interface: -1},
		{Device: "/dev/ttyUSB9", VID: "2c7c", PID: "6002", Interface: 10, Product: "Android"},
		{Device: "/dev/ttyUSB10", VID: "2c7c", PID: "6002", Interface: 3, Product: "Android"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

func TestHolders(t *testing.T) {
	root := tree(t, map[string]string{
		"612/comm":  "ModemManager\n",
		"612/fd/9":  "-> /dev/ttyUSB2",
		"612/fd/10": "-> /dev/ttyUSB2",
		"612/fd/11": "-> socket:[123]",
		"700/comm":  "picocom\n",
		"700/fd/3":  "-> /dev/ttyUSB2",
		"800/comm":  "secret\n", // its fd may not be read
		"self/comm": "no process\n",
		"cpuinfo":   "",
	})
	holders, hidden, err := Holders(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := holders["/dev/ttyUSB2"], []Process{{612, "ModemManager"}, {700, "picocom"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("holders: %v, want %v", got, want)
	}
	if want := []Process{{800, "secret"}}; !reflect.DeepEqual(hidden, want) {
		t.Errorf("hidden: %v, want %v", hidden, want)
	}
}

func TestByID(t *testing.T) {
	dir := tree(t, map[string]string{"usb-Android_Android-if03-port0": "-> ../../ttyUSB2"})
	if got := ByID(dir)["/dev/ttyUSB2"]; got != filepath.Join(dir, "usb-Android_Android-if03-port0") {
		t.Errorf("by-id: %q", got)
	}
	if got := ByID(filepath.Join(dir, "none")); len(got) != 0 {
		t.Errorf("without a directory: %v", got)
	}
}
