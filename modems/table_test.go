package modems

import (
	"os"
	"strings"
	"testing"
)

// The README shows what the drivers say of themselves. ATBRIDGE_UPDATE=1 writes it there.
func TestTableInREADME(t *testing.T) {
	const readme, begin, end = "../README.md", "| modem | driver |", "\n\n"
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("the README has no table of modems")
	}
	if begin+old+"\n" == Table() {
		return
	}
	if os.Getenv("ATBRIDGE_UPDATE") == "" {
		t.Errorf("the README's table of modems is not what the drivers say; ATBRIDGE_UPDATE=1 go test ./modems writes it:\n%s", Table())
		return
	}
	if err := os.WriteFile(readme, []byte(before+strings.TrimSuffix(Table(), "\n")+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
