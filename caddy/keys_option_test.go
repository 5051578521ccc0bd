package caddyesign_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
)

func TestKeySecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(file, []byte("planted\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile := caddyesign.KeySecret("{file." + file + "}")
	if secret, err := fromFile.Read(); err != nil || secret.Reveal() != "planted" {
		t.Errorf("it reads %v (%v)", secret, err)
	}
	if fromFile.WrittenOut() || !caddyesign.KeySecret("planted").WrittenOut() || caddyesign.KeySecret("").WrittenOut() {
		t.Error("it does not tell a secret that is written out")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := fromFile.Read(); err == nil || !strings.Contains(err.Error(), "placeholder {file."+file+"}: no such file") {
		t.Errorf("without the file, the error is %v", err)
	}
	if err := fromFile.Validate(); err != nil {
		t.Error(err)
	}
	if err := caddyesign.KeySecret("a{planted}b").Validate(); err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("of a foreign placeholder, the error is %v", err)
	}
	for _, mistyped := range []caddyesign.KeySecret{"/run/planted", "file:/run/planted", "{file./run/planted", "x{env.planted", "env:planted"} {
		if err := mistyped.Validate(); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("of a mistyped placeholder, the error is %v", err)
		}
	}
	for _, right := range []caddyesign.KeySecret{"", "1234", "a/b", "{", "{env.PIN}", "{env.A}/{file./run/b}"} {
		if err := right.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestPlaceholdersInOptionsOfKeys(t *testing.T) {
	for value, want := range map[string]bool{
		"{env.HSM}": true, "/{file./run/x}.so": true, "{http.request.host}": true, "{env:HSM}": true,
		"seals": false, "{3F2504E0-4F89-41D3-9A0C-0305E82C3301}": false, "br{ace}": false, "{": false, "": false,
	} {
		if got := caddyesign.HasPlaceholder(value); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
