package caddyesign_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// at matches the place that an error of a Caddyfile names.
var at = regexp.MustCompile(`Caddyfile:\d+`)

// Any text in the blocks gives either an error that names its place, or a configuration
// without any refused option.
func FuzzCaddyfile(f *testing.F) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(content), separator)
		_, app, _ := strings.Cut(input, "bankid_esign {")
		_, site, _ := strings.Cut(app, "bankid_esign ")
		f.Add(strings.TrimSuffix(strings.TrimSpace(strings.Split(app, "\n}")[0]), "}"), strings.TrimSuffix(strings.TrimSpace(site), "}"))
	}
	adapter := caddyconfig.GetAdapter("caddyfile")
	f.Fuzz(func(t *testing.T, app, site string) {
		if strings.Contains(app+site, "import") || strings.Contains(app+site, "{$") {
			return // these read other files and the environment
		}
		input := fmt.Sprintf("{\nbankid_esign {\n%s\n}\n}\nhttp://localhost {\nbankid_esign %s\n}\n", app, site)
		cfg, _, err := adapter.Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
		if err != nil {
			// Caddy reports errors in matchers and other directives.
			ours := strings.Contains(err.Error(), "tokens for 'bankid_esign'") && !strings.Contains(err.Error(), "unrecognized matcher name")
			if ours && !at.MatchString(err.Error()) {
				t.Errorf("%s\ndoes not say where: %v", input, err)
			}
			return
		}
		var parsed any
		if err := json.Unmarshal(cfg, &parsed); err != nil {
			t.Fatal(err)
		}
		for _, handler := range handlersIn(parsed) {
			proxy, _ := handler["proxy"].(map[string]any)
			transport, _ := proxy["transport"].(map[string]any)
			tls, _ := transport["tls"].(map[string]any)
			balancing, _ := proxy["load_balancing"].(map[string]any)
			checks, _ := proxy["health_checks"].(map[string]any)
			for _, field := range []any{
				proxy["upstreams"], proxy["dynamic_upstreams"], proxy["rewrite"], balancing["retry_match"], checks["active"],
				transport["proxy_protocol"], tls["insecure_skip_verify"], tls["except_ports"],
			} {
				if field != nil {
					t.Errorf("%s\nis adapted to %v", input, handler)
				}
			}
			if protocol := transport["protocol"]; protocol != nil && protocol != "http" {
				t.Errorf("%s\nhas the transport %v", input, protocol)
			}
		}
	})
}

// handlersIn returns the gateway handlers in a configuration.
func handlersIn(config any) []map[string]any {
	var found []map[string]any
	switch config := config.(type) {
	case map[string]any:
		if config["handler"] == "bankid_esign" {
			found = append(found, config)
		}
		for _, value := range config {
			found = append(found, handlersIn(value)...)
		}
	case []any:
		for _, value := range config {
			found = append(found, handlersIn(value)...)
		}
	}
	return found
}
