package caddyesign

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

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

// need is a token that a configuration uses.
type need struct {
	client string // "" for the default client
	scopes []string
	dpop   bool
}
