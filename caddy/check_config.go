package caddyesign

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
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

// findNeeds returns the tokens that the handlers and transports of cfg use. It searches
// the JSON for their names, instead of loading the servers around them with their
// certificates, listeners and files.
func findNeeds(cfg *caddy.Config) ([]need, error) {
	var needs []need
	for _, raw := range cfg.AppsRaw {
		var app any
		if err := json.Unmarshal(raw, &app); err != nil {
			return nil, err
		}
		found, err := needsIn(app)
		if err != nil {
			return nil, err
		}
		needs = append(needs, found...)
	}
	return sortNeeds(needs), nil
}

// needsIn returns the tokens that v, or a value inside it, uses.
func needsIn(v any) ([]need, error) {
	var needs []need
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			found, err := needsIn(element)
			if err != nil {
				return nil, err
			}
			needs = append(needs, found...)
		}
	case map[string]any:
		if v["handler"] == "bankid_esign" || v["protocol"] == "bankid_esign" {
			var err error
			if needs, err = needsOf(v); err != nil {
				return nil, err
			}
		}
		for _, member := range v {
			found, err := needsIn(member)
			if err != nil {
				return nil, err
			}
			needs = append(needs, found...)
		}
	}
	return needs, nil
}

// needsOf returns the tokens that a handler or a transport uses.
func needsOf(module map[string]any) ([]need, error) {
	raw, err := json.Marshal(module)
	if err != nil {
		return nil, err
	}
	var access Access
	if err := json.Unmarshal(raw, &access); err != nil {
		return nil, fmt.Errorf("decoding a bankid_esign module: %w", err)
	}
	if err := access.validate(); err != nil {
		return nil, err
	}
	needs := make([]need, len(access.APIs))
	for i, name := range access.APIs {
		api := bankid.API(name)
		needs[i] = need{access.Client, bankid.Scopes(api, access.Scopes), api == bankid.B2B}
	}
	return needs, nil
}

// sortNeeds sorts the needs by client and scopes, and removes duplicates.
func sortNeeds(needs []need) []need {
	slices.SortFunc(needs, func(x, y need) int {
		if c := strings.Compare(x.client, y.client); c != 0 {
			return c
		}
		return slices.Compare(x.scopes, y.scopes)
	})
	return slices.CompactFunc(needs, func(x, y need) bool { return reflect.DeepEqual(x, y) })
}
