package caddyesign

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// userID is the placeholder for the user that an authentication handler has identified.
// Handlers that authenticate nobody can set it too: `vars`, for the access log, and
// `map`, which can set any placeholder. Their value may be text that the caller has
// written.
const userID = "http.auth.user.id"

// namedUser returns the value of the placeholder for r, whatever has set it, or "" if
// nothing has.
func namedUser(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString(userID)
	return id
}

// authenticatedUser returns the user that an authentication handler has set for r: one
// of Caddy's, or any other that sets the placeholder in the replacer itself. It returns
// "" if none has, or if `vars` or `map` set a user.
func authenticatedUser(r *http.Request) string {
	id := namedUser(r)
	if id == "" {
		return ""
	}
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	if _, ok := vars[userID]; ok { // the handler `vars` stores its values here
		return ""
	}
	// A computed value, as from `map`, has a value even when it is not set.
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
