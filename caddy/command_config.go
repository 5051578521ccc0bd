package caddyesign

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// readConfig reads a configuration as `caddy validate` does: as JSON, or with the given
// adapter. The default adapter is the Caddyfile's if the file's name looks like a
// Caddyfile's. The file "-" is the standard input.
func readConfig(file, adapter string, stdin io.Reader) (*caddy.Config, error) {
	var raw []byte
	var err error
	if file == "-" {
		raw, err = io.ReadAll(stdin)
	} else {
		raw, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	name := strings.ToLower(filepath.Base(file))
	if adapter == "" && !strings.HasSuffix(name, ".json") && (strings.HasPrefix(name, "caddyfile") || strings.HasSuffix(name, ".caddyfile")) {
		adapter = "caddyfile"
	}
	if adapter != "" {
		a := caddyconfig.GetAdapter(adapter)
		if a == nil {
			return nil, fmt.Errorf("unrecognized config adapter: %s", adapter)
		}
		if raw, _, err = a.Adapt(raw, map[string]any{"filename": file}); err != nil {
			return nil, fmt.Errorf("adapting the configuration using %s: %w", adapter, err)
		}
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(caddy.RemoveMetaFields(raw), cfg); err != nil {
		if adapter == "" {
			return nil, fmt.Errorf("decoding the configuration %s: %w; if it is not JSON, name its adapter by --adapter", file, err)
		}
		return nil, fmt.Errorf("decoding the configuration %s: %w", file, err)
	}
	return cfg, nil
}
