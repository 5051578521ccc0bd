package caddyesign

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(new(site))
}

// A site stands before all handlers of a site that has a gateway. The errors of
// those that come before the gateway, such as request_body, are not BankID's either:
// it marks them with a Proxy-Status field. And it lets callers who are refused by
// them see that. It configures nothing, and puts itself there.
type site struct {
	routes caddyhttp.RouteList // of the site
	name   string              // in Proxy-Status

	// What comes after the routes of a server is always the same, so that they are
	// compiled once, as Caddy does.
	ofServer bool
	once     sync.Once
	compiled caddyhttp.Handler
}

// CaddyModule returns the Caddy module information.
func (*site) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.bankid_esign_site",
		New: func() caddy.Module { return new(site) },
	}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	body := linger(r)
	err := s.behind(next).ServeHTTP(w, r)
	if err == nil {
		return nil
	}
	setErrorPlaceholder(r, setErrorHeader(w.Header(), s.name, err))
	// The gateway has dealt with its own callers.
	body.settle(w, r, err, hasErrorRoutes(r), strangerPlaces)
	return err
}

// behind returns the handlers of the site, and next after them.
func (s *site) behind(next caddyhttp.Handler) caddyhttp.Handler {
	if !s.ofServer {
		return s.routes.Compile(next)
	}
	s.once.Do(func() { s.compiled = s.routes.Compile(next) })
	return s.compiled
}

// standBefore puts a site before the handlers of the one that is being set up in
// ctx, unless there is one.
func standBefore(ctx caddy.Context, name string) error {
	routes, ofServer := siteRoutes(ctx)
	inSetup := func(r caddyhttp.Route) bool { return r.HandlersRaw != nil }
	if routes == nil || !slices.ContainsFunc(*routes, inSetup) {
		return nil
	}
	// Only Caddy can make a route of a handler, from its configuration. Those that
	// are there are set up in place.
	before := caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{json.RawMessage(`{"handler":"bankid_esign_site"}`)}}}
	if err := before.Provision(ctx); err != nil {
		return err
	}
	s, ok := before[0].Handlers[0].(*site)
	if !ok {
		return errors.New("bankid_esign_site is another module")
	}
	s.routes, s.name, s.ofServer = *routes, name, ofServer
	*routes = before
	return nil
}

// siteRoutes returns the routes of the site that is being set up in ctx: those of
// its server, unless that chooses sites by host. It returns nil if the site has no
// list of routes of its own.
func siteRoutes(ctx caddy.Context) (routes *caddyhttp.RouteList, ofServer bool) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil, false
	}
	if !slices.ContainsFunc(server.Routes, choosesHost) {
		return &server.Routes, true
	}
	for _, mod := range ctx.Modules() {
		if subroute, ok := mod.(*caddyhttp.Subroute); ok {
			return &subroute.Routes, false
		}
	}
	return nil, false
}

// choosesHost reports whether a route is for some hosts only.
func choosesHost(r caddyhttp.Route) bool {
	return slices.ContainsFunc(r.MatcherSets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(matcher any) bool {
			_, ok := matcher.(*caddyhttp.MatchHost)
			return ok
		})
	})
}

// behindSite returns the routes that a site stands before, or routes.
func behindSite(routes caddyhttp.RouteList) caddyhttp.RouteList {
	if len(routes) == 1 && len(routes[0].Handlers) == 1 {
		if s, ok := routes[0].Handlers[0].(*site); ok {
			return s.routes
		}
	}
	return routes
}

// hasErrorRoutes reports whether the server of r has error routes.
func hasErrorRoutes(r *http.Request) bool {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return server != nil && server.Errors != nil && len(server.Errors.Routes) > 0
}

// Interface guard
var _ caddyhttp.MiddlewareHandler = (*site)(nil)
