package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// maxExposure is the figure of `systemd-analyze security` that the units may have at most; 10 is the worst.
const maxExposure = 1.5

var units = []string{"atbridge.service", "atbridge@.service"}

// analyze runs systemd-analyze. Where it is missing the test skips; with ATBRIDGE_CI=1 it fails.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("ATBRIDGE_CI") == "1" {
			t.Fatal("systemd-analyze is not installed")
		}
		t.Skip("systemd-analyze is not installed; this test needs it")
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Logf("systemd-analyze %v: %v", args, err) // verify fails for a program that is not installed here
	}
	return string(out)
}

var exposure = regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`)

func TestExposure(t *testing.T) {
	for _, unit := range units {
		out := analyze(t, "security", "--offline=true", "--no-pager", unit)
		found := exposure.FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("%s: no figure in\n%s", unit, out)
		}
		figure, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: exposure %.1f", unit, figure)
		if figure > maxExposure {
			t.Errorf("%s: exposure %.1f, at most %.1f", unit, figure, maxExposure)
		}
	}
}

// newer are keys that systemd knows from 254 on, and says of before that it ignores them.
var newer = []string{"RestartSteps", "RestartMaxDelaySec"}

// systemd knows every key and value of the units and the drop-ins.
func TestUnitsAreUnderstood(t *testing.T) {
	dropIns, err := filepath.Glob("drop-ins/*.conf")
	if err != nil || len(dropIns) == 0 {
		t.Fatalf("no drop-ins: %v", err)
	}
	dir := t.TempDir()
	for _, file := range append(dropIns, units...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.Base(file))
		if filepath.Ext(file) == ".conf" {
			to = filepath.Join(dir, "atbridge.service.d", filepath.Base(file))
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(analyze(t, "verify", "--man=no", filepath.Join(dir, units[0]), filepath.Join(dir, "atbridge@x.service"))) {
		known := strings.Contains(line, "Unknown key '"+newer[0]+"'") || strings.Contains(line, "Unknown key '"+newer[1]+"'")
		if strings.Contains(line, dir+"/") && !known { // what it says of a file and its line; not of programs that are not installed
			t.Error(line)
		}
	}
}

// An instance is allowed what the one service is.
func TestUnitsAreAlike(t *testing.T) {
	text := map[string]string{}
	for _, unit := range units {
		data, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		text[unit] = strings.NewReplacer(
			"the cellular modem %i", "a cellular modem", "/%i.yaml", "/atbridge.yaml", "atbridge.%i.", "atbridge.",
			"StateDirectory=atbridge/%i", "StateDirectory=atbridge", "RuntimeDirectory=atbridge-%i", "RuntimeDirectory=atbridge",
		).Replace(strings.Join(lines, ""))
	}
	if a, b := text[units[0]], text[units[1]]; a != b {
		t.Errorf("%s says\n%s\n%s says\n%s", units[0], a, units[1], b)
	}
}
