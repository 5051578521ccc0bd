package caddyesign_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

var update = flag.Bool("update", false, "write the results into the golden files")

// separator stands between a Caddyfile and the result of adapting it, which is either
// JSON or an error.
const separator = "\n----------\n"

// Each file in testdata/adapt contains a Caddyfile, a line of dashes, and the JSON that
// the Caddyfile adapts to, or the error.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(content), separator)
			got := adapted(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+separator+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("it adapts to\n%s\nwant\n%s", got, want)
			}
			if !strings.HasPrefix(want, "{") {
				return
			}
			// A configuration that adapts can also be loaded.
			var cfg caddy.Config
			if err := json.Unmarshal([]byte(want), &cfg); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&cfg); err != nil {
				t.Errorf("validating: %v", err)
			}
		})
	}
}

// An error for an unknown subdirective lists the known ones; each of them is accepted.
func TestKnownSubdirectives(t *testing.T) {
	for name, block := range map[string]string{
		"app":       "{\nbankid_esign {\n%s\n}\n}\n",
		"client":    "{\nbankid_esign {\nclient x {\n%s\n}\n}\n}\n",
		"tls":       "{\nbankid_esign {\ntls {\n%s\n}\n}\n}\n",
		"handler":   ":8080 {\nbankid_esign csc {\n%s\n}\n}\n",
		"transport": ":8080 {\nreverse_proxy {\ntransport bankid_esign {\napi csc\n%s\n}\n}\n}\n",
	} {
		message := adapted(t, fmt.Sprintf(block, "nonsense"))
		_, known, ok := strings.Cut(message, "unrecognized subdirective 'nonsense': must be ")
		known, _, _ = strings.Cut(strings.TrimPrefix(known, "one of "), ", at ")
		known, _, _ = strings.Cut(known, ", or one of ")
		if !ok || known == "" {
			t.Errorf("%s: %s", name, message)
			continue
		}
		for subdirective := range strings.SplitSeq(known, ", ") {
			if message := adapted(t, fmt.Sprintf(block, subdirective)); strings.Contains(message, "unrecognized") {
				t.Errorf("%s: %s", name, message)
			}
		}
	}
}

// adapted returns the result of adapting a Caddyfile: JSON, or an error.
func adapted(t *testing.T, input string) string {
	t.Helper()
	cfg, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err.Error() + "\n"
	}
	for _, warning := range warnings {
		if !strings.Contains(warning.Message, "not formatted") {
			t.Errorf("warning: %s", warning)
		}
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, cfg, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String() + "\n"
}
