package caddyesign

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// checkUserID returns an error if a handler in cfg that authenticates nobody sets the
// user in a place where a gateway admits users. The error names the handler by its path
// in cfg.
func checkUserID(cfg *caddy.Config) error {
	var app any
	if cfg == nil || json.Unmarshal(cfg.AppsRaw["http"], &app) != nil {
		return nil // Caddy reports what is wrong with it
	}
	for _, value := range members(app, "servers") {
		servers, _ := value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(servers)) {
			for _, part := range beforeGateways(servers[name], "/apps/http/servers/"+name) {
				if at := namesUser(part.value, part.path); at != "" {
					return fmt.Errorf("%s sets {%s}, which admits callers to a gateway of the same server, and authenticates nobody: leave it out, or put an authentication handler such as basic_auth there instead; where something else decides who may call, use 'callers any'", at, userID)
				}
			}
		}
	}
	return nil
}

// configPart is a value in a configuration, and its path as the admin API writes it.
type configPart struct {
	value any
	path  string
}

// beforeGateways returns the parts of a server that a request may have passed through
// before it reaches a gateway that admits users. A site of the server that ends the
// routing of its requests, and has no gateway, is left out.
func beforeGateways(server any, path string) []configPart {
	all, _ := server.(map[string]any)
	var parts, routes []configPart
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list, ok := all[name].([]any)
		if !ok || !strings.EqualFold(name, "routes") {
			part := configPart{all[name], path + "/" + name}
			if strings.EqualFold(name, "errors") && !part.admitsUsers() {
				continue // error routes come after any gateway
			}
			parts = append(parts, part)
			continue
		}
		for i, route := range list {
			routes = append(routes, configPart{route, path + "/" + name + "/" + strconv.Itoa(i)})
		}
	}
	// A gateway outside of the routes may come after any of them.
	everywhere := slices.ContainsFunc(parts, configPart.admitsUsers)
	if !everywhere && !slices.ContainsFunc(routes, configPart.admitsUsers) {
		return nil
	}
	for _, route := range routes {
		terminal := slices.Contains(members(route.value, "terminal"), any(true))
		if everywhere || !terminal || route.admitsUsers() {
			parts = append(parts, route)
		}
	}
	return parts
}

// admitsUsers reports whether p contains a gateway whose callers are authenticated.
func (p configPart) admitsUsers() bool {
	return findHandler(p.value, p.path, func(handler map[string]any) bool {
		if handler["handler"] != "bankid_esign" {
			return false
		}
		callers := members(handler, "callers")
		return len(callers) == 0 || slices.Contains(callers, any("")) || slices.Contains(callers, any(callersAuthenticated))
	}) != ""
}

// namesUser returns the path of the first handler in v that sets the user and
// authenticates nobody, or "" if there is none.
func namesUser(v any, path string) string {
	return findHandler(v, path, func(handler map[string]any) bool {
		switch handler["handler"] {
		case "vars":
			_, ok := handler[userID]
			return ok
		case "map":
			return slices.ContainsFunc(members(handler, "destinations"), func(value any) bool {
				destinations, _ := value.([]any)
				return slices.Contains(destinations, any("{"+userID+"}"))
			})
		}
		return false
	})
}

// findHandler returns the path and the name of the first handler in v for which wanted
// is true, or "" if there is none. It searches all values, since any handler may
// contain routes.
func findHandler(v any, path string, wanted func(handler map[string]any) bool) string {
	switch v := v.(type) {
	case []any:
		for i, element := range v {
			if at := findHandler(element, path+"/"+strconv.Itoa(i), wanted); at != "" {
				return at
			}
		}
	case map[string]any:
		if wanted(v) {
			return fmt.Sprintf("%s (%s)", path, v["handler"])
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if at := findHandler(v[name], path+"/"+name, wanted); at != "" {
				return at
			}
		}
	}
	return ""
}

// members returns the values of all members of object whose name equals name in any
// case, as Caddy compares the names of a module's fields. So there may be several.
func members(object any, name string) []any {
	var values []any
	all, _ := object.(map[string]any)
	for key, value := range all {
		if strings.EqualFold(key, name) {
			values = append(values, value)
		}
	}
	return values
}
