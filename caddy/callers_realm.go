package caddyesign

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
)

// A realm is an authentication handler, by what it knows of its users.
type realm struct {
	digest string
	when   []caddyhttp.MatcherSets // of the routes around it; all of them match its requests
}

// matches reports whether r passes through the routes of the realm. A matcher may look at
// what has changed since.
func (a realm) matches(r *http.Request) bool {
	for _, sets := range a.when {
		if match, err := sets.AnyMatchWithError(r); err != nil || !match {
			return false
		}
	}
	return true
}

// realmsBefore returns the authentication handlers that a request to server may have passed
// through when it comes to h. If h cannot be found in the server's routes, such as in a
// handler that Caddy does not have, they are all of the server's.
func realmsBefore(server *caddyhttp.Server, h *Handler) []realm {
	if server == nil {
		return nil
	}
	w := realmWalk{server: server, target: h}
	if !w.routes(server.Routes, nil) && !w.reached {
		w = realmWalk{server: server}
		w.routes(server.Routes, nil)
	}
	return w.found
}

// A realmWalk goes through routes in the order of a request, up to the target. If the
// target is in a named route, it goes through all routes.
type realmWalk struct {
	server *caddyhttp.Server
	target *Handler // nil to go through all
	found  []realm

	named   []string // named routes that the walk is in
	reached bool     // whether the target is in a named route, which several ways may lead to
}

// routes goes through routes, up to the target. It reports whether the target is there.
func (w *realmWalk) routes(routes caddyhttp.RouteList, when []caddyhttp.MatcherSets) bool {
	for _, route := range routes {
		before := len(w.found)
		if w.route(route, when) {
			return true
		}
		if route.Terminal && w.target != nil && !w.reached {
			w.found = w.found[:before] // its requests do not get any further
		}
	}
	return false
}

// route is routes for one route.
func (w *realmWalk) route(route caddyhttp.Route, when []caddyhttp.MatcherSets) bool {
	if len(route.MatcherSets) > 0 {
		when = append(slices.Clip(when), route.MatcherSets)
	}
	return slices.ContainsFunc(route.Handlers, func(handler caddyhttp.MiddlewareHandler) bool {
		return w.handler(handler, when)
	})
}

// handler goes through one handler.
func (w *realmWalk) handler(handler caddyhttp.MiddlewareHandler, when []caddyhttp.MatcherSets) bool {
	switch handler := handler.(type) {
	case *Handler:
		if handler == w.target && len(w.named) > 0 {
			w.reached = true
			return false
		}
		return handler == w.target
	case *caddyhttp.Subroute:
		return w.routes(handler.Routes, when)
	case *site:
		return w.routes(handler.routes, when)
	case *caddyhttp.Invoke:
		route := w.server.NamedRoutes[handler.Name]
		if route == nil || slices.Contains(w.named, handler.Name) {
			return false
		}
		w.named = append(w.named, handler.Name)
		defer func() { w.named = w.named[:len(w.named)-1] }()
		return w.route(*route, when)
	case *caddyauth.Authentication:
		w.found = append(w.found, realm{authenticationDigest(handler), when})
	}
	return false
}

// authenticationDigest returns a text that differs for authentication handlers with
// different users: by the realm of passwords, and by the configuration of other providers.
func authenticationDigest(a *caddyauth.Authentication) string {
	var about []string
	for _, name := range slices.Sorted(maps.Keys(a.Providers)) {
		switch provider := a.Providers[name].(type) {
		case *caddyauth.HTTPBasicAuth:
			about = append(about, name, provider.Realm)
		default:
			enc, err := digest(provider)
			if err != nil {
				enc, _ = digest(fmt.Sprintf("%T", provider)) // it is a text
			}
			about = append(about, name, hex.EncodeToString(enc[:]))
		}
	}
	enc, _ := digest(about) // they are texts
	return hex.EncodeToString(enc[:])
}
