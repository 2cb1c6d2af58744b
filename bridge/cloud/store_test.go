package cloud_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/atbridge/atbridge/bridge/cloud"
)

// The files of earlier releases are read, the present form is written, and a newer one is refused by what to do, never taken for
// damage: its advice would throw the identity away.
func TestIdentityVersions(t *testing.T) {
	want := cloud.Identity{ProductKey: "pk", DeviceName: "dn", DeviceSecret: "s3cr3t"}
	for _, golden := range []string{"testdata/identity-v0.json", "testdata/identity-v1.json"} {
		if got, err := cloud.LoadIdentity(golden); err != nil || *got != want {
			t.Errorf("%s: %+v, %v", golden, got, err)
		}
	}
	current, err := os.ReadFile("testdata/identity-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "identity.json")
	place, err := cloud.Reserve(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := place.Store(want); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(bytes.TrimRight(written, " "), current) {
		t.Errorf("what is written is not version 1: %s, %v", written, err)
	}
	newer := bytes.Replace(current, []byte(`"version": 1`), []byte(`"version": 2`), 1)
	if err := os.WriteFile(file, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.LoadIdentity(file); err == nil || !strings.Contains(err.Error(), "was written by a newer atbridge") {
		t.Errorf("a newer file: %v", err)
	}
}
