// Package scripts holds what keeps the house in order: the gate (check.sh), the mutants, and the test of who may
// import whom.
package scripts

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/atbridge/atbridge/"

// never: the packages that match from do not import those that match to. A pattern ending in /... covers what lies
// below as well. Tests may, unless tests is set.
var never = []struct {
	from, to string
	tests    bool
	why      string
}{
	{"modems/...", "bridge/...", true, "one chain of imports: cmd/atbridge -> bridge -> modems -> atcmd; a modem does not know what it is used for"},
	{"modems/...", "cmd/...", true, "one chain of imports: cmd/atbridge -> bridge -> modems -> atcmd"},
	{"bridge/...", "cmd/...", true, "one chain of imports: cmd/atbridge -> bridge -> modems -> atcmd"},
	{"bridge/...", "atcmd/...", true, "the bridge holds no AT string: a modem is a session or a dialer to it"},
	{"bridge/mqtt", "bridge", true, "bridge/mqtt is a leaf, so that bridge/cloud can register over MQTT without a circle"},
	{"bridge/cloud", "bridge", true, "bridge/cloud is a leaf: it computes and registers, and knows no queue"},
	{"bridge/cloud/cloudtest", "bridge/...", true, "the fakes are a second reading of the platforms' documents: they share nothing with the code that signs"},
	{"bridge/cloud", "bridge/cloud/cloudtest", false, "the fakes are for tests"},
	{"modems", "modems/modemsim", false, "drivers and simulator share no parser: they are two readings of the same manual"},
	{"modems/modemsim", "modems", false, "simulator and drivers share no formatter: they are two readings of the same manual"},
	{"modems/modemsim", "atcmd/...", false, "the simulator must not make the engine's mistakes"},
	{"modems/modemsim", "bridge/...", true, "the simulator knows the wire alone"},
	{"atcmd/...", "modems/...", true, "the engine knows no maker's command"},
	{"atcmd/...", "bridge/...", true, "the engine knows no MQTT"},
}

// onlyIn: the import, and what lies below it, is used in these packages alone; and in tests, if tests is set.
var onlyIn = []struct {
	what, why string
	in        []string
	tests     bool
}{
	{"go.bug.st/serial", "its traps (write after close, exclusive access, enumeration) are dealt with in one place; all others take an io.ReadWriteCloser", []string{"atcmd/tty"}, false},
	{"github.com/eclipse/paho.mqtt.golang", "its traps are dealt with in one place; the simulator plays the module's own MQTT stack with it", []string{"bridge/mqtt", "modems/modemsim"}, true},
	{"github.com/hashicorp", "the store can be replaced as long as one package knows it", []string{"bridge"}, false},
	{"github.com/mochi-mqtt/server/v2", "the embedded broker is a matter of bridge, and so is the demo's cloud; the fakes of platforms are brokers too", []string{"bridge", "bridge/cloud/cloudtest"}, true},
	{"github.com/spf13", "commands and flags end in cmd/atbridge", []string{"cmd/atbridge"}, false},
	{"golang.org/x/term", "a terminal is a matter of the command line", []string{"cmd/atbridge"}, false},
	{"go.yaml.in/yaml/v3", "the configuration file ends in cmd/atbridge; packages take structs", []string{"cmd/atbridge"}, false},
}

// atcmdImports is all that package atcmd may import besides the standard library; its tests compare it with more.
var atcmdImports = []string{"github.com/warthog618/modem/info"}

// folders are the only ones at the top.
var folders = []string{"atcmd", "modems", "bridge", "cmd", "scripts"}

type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// name is the path inside the module.
func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func (p pkg) imports(tests bool) []string {
	if !tests {
		return p.Imports
	}
	return slices.Concat(p.Imports, p.TestImports, p.XTestImports)
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-buildvcs=false", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...")
	cmd.Dir, cmd.Stderr = "..", os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// match: name is pattern, or lies below it where pattern ends in /...
func match(pattern, name string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	return name == base || below && strings.HasPrefix(name, base+"/")
}

func TestImports(t *testing.T) {
	list := packages(t)
	exists := func(pattern string) bool {
		return slices.ContainsFunc(list, func(p pkg) bool { return match(pattern, p.name()) })
	}
	for _, rule := range never {
		for _, pattern := range []string{rule.from, rule.to} {
			if !exists(pattern) {
				t.Errorf("a rule speaks of %s, which does not exist: mend the rule", pattern)
			}
		}
		for _, p := range list {
			if !match(rule.from, p.name()) {
				continue
			}
			for _, imported := range p.imports(rule.tests) {
				to, ours := strings.CutPrefix(imported, module)
				if ours && match(rule.to, to) && to != p.name() {
					t.Errorf("%s imports %s: %s", p.name(), to, rule.why)
				}
			}
		}
	}
}

func TestImportsOfOthers(t *testing.T) {
	list := packages(t)
	for _, rule := range onlyIn {
		used := map[string]bool{}
		for _, p := range list {
			if slices.ContainsFunc(p.Imports, func(i string) bool { return match(rule.what+"/...", i) }) {
				used[p.name()] = true
			}
			if slices.Contains(rule.in, p.name()) {
				continue
			}
			for _, imported := range p.imports(!rule.tests) {
				if match(rule.what+"/...", imported) {
					t.Errorf("%s imports %s: %s", p.name(), imported, rule.why)
				}
			}
		}
		for _, name := range rule.in {
			if !used[name] {
				t.Errorf("%s does not import %s, though a rule allows it: mend the rule", name, rule.what)
			}
		}
	}
}

func TestEngineImportsNothing(t *testing.T) {
	for _, p := range packages(t) {
		if p.name() != "atcmd" {
			continue
		}
		for _, imported := range p.Imports {
			first, _, _ := strings.Cut(imported, "/")
			if strings.Contains(first, ".") && !slices.Contains(atcmdImports, imported) {
				t.Errorf("atcmd imports %s: the engine stands on the standard library alone", imported)
			}
		}
		return
	}
	t.Error("there is no package atcmd: mend the rule")
}

func TestFiveFolders(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			found = append(found, e.Name())
		}
	}
	slices.Sort(found)
	want := slices.Sorted(slices.Values(folders))
	if !slices.Equal(found, want) {
		t.Errorf("folders at the top: %v, want %v", found, want)
	}
}

// Each package explains itself to a newcomer.
func TestEveryPackageHasDoc(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.Imports) == 0 && p.name() == "scripts" {
			continue // tests only
		}
		if _, err := os.Stat(path.Join("..", p.name(), "doc.go")); err != nil {
			t.Errorf("%s has no doc.go", p.name())
		}
	}
}
