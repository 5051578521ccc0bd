package caddyesign

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// userID is the placeholder for who an authentication handler has found to be calling.
// Handlers that authenticate nobody can give it a value, too: `vars`, for the access
// log, and `map`, any placeholder. What they give may be what the caller has written.
const userID = "http.auth.user.id"

// namedUser returns who makes r by the placeholder, whatever has set it; "" if nothing
// has.
func namedUser(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString(userID)
	return id
}

// authenticatedUser returns who makes r by what an authentication handler has set: one
// of Caddy's, or whatever else sets the placeholder in the replacer itself. It returns
// "" if none has, or if `vars` or `map` have their say.
func authenticatedUser(r *http.Request) string {
	id := namedUser(r)
	if id == "" {
		return ""
	}
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	if _, ok := vars[userID]; ok { // where the handler `vars` leaves what it sets
		return ""
	}
	// What is computed, as by `map`, is there without being set.
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	set, _ := repl.Get(userID)
	repl.Delete(userID)
	_, computed := repl.Get(userID)
	repl.Set(userID, set)
	if computed {
		return ""
	}
	return id
}

// checkUserID reports an error if a handler of cfg that authenticates nobody names the
// user where a gateway admits users. It names the handler by its path in cfg.
func checkUserID(cfg *caddy.Config) error {
	var app any
	if cfg == nil || json.Unmarshal(cfg.AppsRaw["http"], &app) != nil {
		return nil // Caddy says what is wrong with it
	}
	for _, value := range members(app, "servers") {
		servers, _ := value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(servers)) {
			for _, part := range beforeGateways(servers[name], "/apps/http/servers/"+name) {
				if at := namesUser(part.value, part.path); at != "" {
					return fmt.Errorf("%s sets {%s}, which admits callers to a gateway of the same server, and authenticates nobody: leave it out, or put an authentication handler such as basic_auth there instead; where something else decides who may call, say 'callers any'", at, userID)
				}
			}
		}
	}
	return nil
}

// configPart is a value in a configuration, at a path like those of the admin API.
type configPart struct {
	value any
	path  string
}

// beforeGateways returns the parts of a server that a request may have been through
// when it comes to a gateway for users. Of the sites of a server, those that end the
// routing of their requests and have no gateway are apart from the others.
func beforeGateways(server any, path string) []configPart {
	all, _ := server.(map[string]any)
	var parts, routes []configPart
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list, ok := all[name].([]any)
		if !ok || !strings.EqualFold(name, "routes") {
			part := configPart{all[name], path + "/" + name}
			if strings.EqualFold(name, "errors") && !part.admitsUsers() {
				continue // they come after any gateway
			}
			parts = append(parts, part)
			continue
		}
		for i, route := range list {
			routes = append(routes, configPart{route, path + "/" + name + "/" + strconv.Itoa(i)})
		}
	}
	// A gateway there may be after any other route.
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

// admitsUsers reports whether there is a gateway in p whose callers are authenticated.
func (p configPart) admitsUsers() bool {
	return findHandler(p.value, p.path, func(handler map[string]any) bool {
		if handler["handler"] != "bankid_esign" {
			return false
		}
		callers := members(handler, "callers")
		return len(callers) == 0 || slices.Contains(callers, any("")) || slices.Contains(callers, any(callersAuthenticated))
	}) != ""
}

// namesUser returns the path of the first handler in v that names the user and
// authenticates nobody, "" if there is none.
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

// findHandler returns the path, and the name, of the first handler in v that is one of
// those wanted, "" if there is none. It looks everywhere, since routes stand in handlers of
// all kinds.
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

// members returns the values of an object's members of a name, which may be in other
// case, as Caddy has it for the fields of its modules; and so there may be several.
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
