package modems

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// harmless are the names in the drivers' code that anybody may send through the daemon, and why.
var harmless = map[string]string{
	"only tells": "+CSQ +CGMI +CGMM +CGMR +CGSN +ICCID +QCCID +LCCID +MCCID +ECICCID +LGMR +CGPADDR +CIFSR +QIGETERROR +QFLST " +
		"+MQTTSTATU +MQTTSTATE",
	"a URC or a result, or how some begin, no command":                                                     "+CGEV +PDP +MATREADY +MQTT +LMQTT +LMQTTURC +LMQTTUNSUB +LMQTTUNSUNSUB +LMQTTUNSUBUNSUB +MQTTURC +QIURC +QMTSTAT +QMTPING",
	"writes a new file only; the driver compares its own by size, and the checksum of what it has written": "+QFUPL",
}

// What a driver itself sends to change something would change it for the running session, too: the daemon sends no such
// command for others.
func TestDisruptiveCommands(t *testing.T) {
	reason := map[string]string{}
	for why, names := range harmless {
		for _, name := range strings.Fields(names) {
			reason[name] = why
		}
	}
	used := commandNames(t)
	for name := range used {
		for _, form := range []string{"", "=1"} {
			err := permit("AT"+name+form, true, false, false)
			switch {
			case err != nil && !errors.Is(err, ErrForbidden):
				t.Errorf("AT%s%s: %v", name, form, err)
			case err == nil && reason[name] == "":
				t.Errorf("AT%s%s, which a driver sends (%s), passes without --force: name it as Disruptive, or say why it is harmless", name, form, used[name])
			case err != nil && reason[name] != "":
				t.Errorf("AT%s%s is said to be harmless (%s): %v", name, form, reason[name], err)
			}
		}
	}
	for name := range reason {
		if used[name] == "" {
			t.Errorf("no driver sends AT%s: it is harmless no more", name)
		}
	}
	if len(used) < 80 {
		t.Errorf("only %d command names were found", len(used))
	}
	for _, d := range registry {
		for i, name := range d.Disruptive {
			if slices.Contains(d.Disruptive[:i], name) {
				t.Errorf("%s: %s stands twice", d.Name, name)
			}
		}
	}
}

// A module that sleeps does not hear the next command.
func TestSleepIsDisruptive(t *testing.T) {
	for _, line := range []string{"AT+CSCLK=1", "AT+QSCLK=1", "AT+CPSMS=1", "AT+CEDRXS=1"} {
		if err := permit(line, true, false, false); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

var commandName = regexp.MustCompile(`^(\+[A-Z]{2}[A-Z0-9]*)(=.*)?$`)

// What is said of commands, and sends none: the lists of a Driver, of the general commands, and of the console.
var lists = []string{"Disruptive", "Secretive", "URCs", "disruptive", "dangerous", "secretive", "typedPrompts", "prompts"}

// commandNames are the names of commands in this package's string literals, and where the last of each stands.
func commandNames(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found, fset := map[string]string{}, token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "_known.go") || file == "explain.go" {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				name, ok := n.Key.(*ast.Ident)
				return !ok || !slices.Contains(lists, name.Name)
			case *ast.ValueSpec:
				return !slices.Contains(lists, n.Names[0].Name)
			case *ast.FuncDecl:
				return !slices.Contains(lists, n.Name.Name)
			case *ast.BasicLit:
				text, err := strconv.Unquote(n.Value)
				if m := commandName.FindStringSubmatch(text); n.Kind == token.STRING && err == nil && m != nil {
					found[m[1]] = fset.Position(n.Pos()).String()
				}
			}
			return true
		})
	}
	return found
}
