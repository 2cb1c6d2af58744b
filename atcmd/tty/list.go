package tty

import (
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Info is one serial port, as the kernel describes it.
type Info struct {
	Device    string // /dev/ttyUSB2
	VID, PID  string // USB ids, four lower-case hex digits; empty: no USB device
	Interface int    // bInterfaceNumber; -1: no USB device
	Product   string // what the USB device calls itself
}

// List reads the serial ports from sysfs, below root ("/sys" on a real machine). No port is opened: opening one sets
// its lines and may wake or reset what hangs on it. Ports without hardware behind them are left out.
func List(root string) ([]Info, error) {
	class := filepath.Join(root, "class/tty")
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, err
	}
	var ports []Info
	for _, e := range entries {
		device, err := filepath.EvalSymlinks(filepath.Join(class, e.Name(), "device"))
		if err != nil || !interesting(e.Name()) {
			continue // a console or a pseudo-terminal: it has no device
		}
		if read(filepath.Join(class, e.Name()), "type") == "0" {
			continue // the driver has reserved the name, and no UART is there (PORT_UNKNOWN of serial_core.h)
		}
		p := Info{Device: "/dev/" + e.Name(), Interface: -1}
		// ttyUSB: .../1-2:1.3/ttyUSB2 is the device, its parent the USB interface; ttyACM: the device is the interface.
		for dir := device; dir != root && len(dir) > 1; dir = filepath.Dir(dir) {
			if n, err := strconv.ParseInt(read(dir, "bInterfaceNumber"), 16, 16); err == nil && p.Interface < 0 {
				p.Interface = int(n)
			}
			if v := read(dir, "idVendor"); v != "" {
				p.VID, p.PID = strings.ToLower(v), strings.ToLower(read(dir, "idProduct"))
				p.Product = read(dir, "product")
				break
			}
		}
		ports = append(ports, p)
	}
	sort.Slice(ports, func(i, j int) bool { return natural(ports[i].Device) < natural(ports[j].Device) })
	return ports, nil
}

func interesting(name string) bool {
	for _, prefix := range []string{"ttyUSB", "ttyACM", "ttyAMA", "ttySC", "ttyS", "ttymxc", "ttyO", "ttyHS"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func read(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// natural makes ttyUSB10 come after ttyUSB2.
func natural(device string) string {
	i := len(device)
	for i > 0 && device[i-1] >= '0' && device[i-1] <= '9' {
		i--
	}
	return device[:i] + strings.Repeat("0", max(0, 6-(len(device)-i))) + device[i:]
}
