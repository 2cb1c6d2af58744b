package modems

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const rulesFile = "../scripts/61-atbridge.rules"

// vendors are the names that stand for the ids of makers in /dev/atbridge.
var vendors = map[string]string{"2c7c": "quectel", "1782": "unisoc", "19d1": "airm2m", "3505": "lierda"}

// rulesOf are the lines that the rules must have for a module: the device is not ModemManager's, each port has a name, and
// the one that takes AT commands a second one.
func rulesOf(id string, m usbModule) []string {
	vid, pid, _ := strings.Cut(id, ":")
	port := fmt.Sprintf(`SUBSYSTEM=="tty", ENV{ID_VENDOR_ID}=="%s", ENV{ID_MODEL_ID}=="%s"`, vid, pid)
	name := "atbridge/" + vendors[vid] + "-" + pid
	lines := []string{
		fmt.Sprintf(`ENV{DEVTYPE}=="usb_device", ATTR{idVendor}=="%s", ATTR{idProduct}=="%s", ENV{ID_MM_DEVICE_IGNORE}="1"`, vid, pid),
		fmt.Sprintf(`%s, GROUP="dialout", MODE="0660", SYMLINK+="%s-if$env{ID_USB_INTERFACE_NUM}"`, port, name),
	}
	if m.at >= 0 {
		lines = append(lines, fmt.Sprintf(`%s, ENV{ID_USB_INTERFACE_NUM}=="%02x", SYMLINK+="%s-at"`, port, m.at, name))
	}
	return lines
}

// The udev rules speak of the modules that this package knows, and of no others. On a failure the lines that are printed are
// what the file should have.
func TestUdevRules(t *testing.T) {
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	_, module, ok := strings.Cut(string(text), "# Modules.\n")
	module, _, end := strings.Cut(module, "# Adapters.\n")
	if !ok || !end {
		t.Fatalf("%s lacks the headings # Modules. and # Adapters.", rulesFile)
	}
	var found []string
	for line := range strings.Lines(module) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			found = append(found, line)
		}
	}
	var want []string
	for id, m := range usbModules {
		if vid, _, _ := strings.Cut(id, ":"); vendors[vid] == "" {
			t.Errorf("%s needs a name for its maker in vendors", id)
		}
		want = append(want, rulesOf(id, m)...)
	}
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("%s has for modules\n%s\nwant\n%s", rulesFile, strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}

// udev itself reads the rules: by `udevadm verify` where there is one (systemd 254 and newer), else by a trial with a device that
// is no serial port, among the rules of a /run of its own, which takes root.
func TestUdevVerify(t *testing.T) {
	if _, err := exec.LookPath("udevadm"); err != nil {
		if os.Getenv("ATBRIDGE_CI") == "1" {
			t.Fatal("udevadm is not installed")
		}
		t.Skip("udevadm is not installed; this test needs it")
	}
	if exec.Command("udevadm", "verify", "--help").Run() == nil {
		if out, err := exec.Command("udevadm", "verify", rulesFile).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const trial = "mount -t tmpfs none /run && mkdir -p /run/udev/rules.d && cp " + rulesFile + " /run/udev/rules.d/ && udevadm test /sys/devices/virtual/mem/null"
	out, err := exec.Command("unshare", "--mount", "sh", "-c", trial).CombinedOutput()
	const name = "/run/udev/rules.d/61-atbridge.rules"
	if !strings.Contains(string(out), "Reading rules file: "+name) {
		t.Skipf("udev cannot be asked here; root can ask (%v)", err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, name+":") {
			t.Error(line)
		}
	}
}
