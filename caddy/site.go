package caddyesign

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
)

func init() {
	caddy.RegisterModule(new(site))
}

// A site stands before all handlers of a site that has a gateway. It configures
// nothing, and is inserted automatically. Errors of handlers before the gateway, such
// as request_body, are not BankID's either: site marks them with a Proxy-Status field,
// and lets the caller send its body to the end, so that it sees the error. Before the
// operator's own reverse_proxy with the transport bankid_esign, it treats the bodies of
// calls as the gateway treats its own, since the transport does not write the response.
type site struct {
	routes   caddyhttp.RouteList // of the site
	name     string              // in Proxy-Status; "" for a site without a gateway
	guards   bool                // whether the site has such a transport
	drainers drainers

	// The handlers after the routes of a server are always the same. So the routes are
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
	x := beginExchange(r)
	err := s.serve(w, r, x, next)
	if err == nil {
		return nil
	}
	x = exchangeOf(r.Context()) // of the gateway that the request has come to
	if s.name != "" && !x.settled {
		_, _ = finish(w.Header(), r, s.name, err) // the status of other handlers stays
	}
	drainer := s.drainers.strangers
	if x.core != nil {
		drainer = s.drainers.callers
	}
	if first, ok := r.Context().Value(caddyhttp.ErrorCtxKey).(error); ok {
		x.settle(w, r, first, false, drainer) // the error routes have failed; Caddy responds with the first error
	} else if !x.settled {
		x.settle(w, r, err, hasErrorRoutes(r), drainer)
	}
	return err
}

// serve calls the handlers of the site. If the operator's own reverse_proxy makes a
// call there, the response is written in a way that fits its body.
func (s *site) serve(w http.ResponseWriter, r *http.Request, x *exchange, next caddyhttp.Handler) error {
	if !s.guards || x.body == nil {
		return s.behind(next).ServeHTTP(w, r)
	}
	early := &upload.EarlyResponse{
		ResponseWriter: w, Body: x.body, Drainer: s.drainers.callers,
		Concerned: func() bool { x := exchangeOf(r.Context()); return x.core != nil && !x.ofHandler },
	}
	return early.Serve(func(w http.ResponseWriter) error { return s.behind(next).ServeHTTP(w, r) })
}

// behind returns the handlers of the site, followed by next.
func (s *site) behind(next caddyhttp.Handler) caddyhttp.Handler {
	if !s.ofServer {
		return s.routes.Compile(next)
	}
	s.once.Do(func() { s.compiled = s.routes.Compile(next) })
	return s.compiled
}

// standBefore inserts a site before the handlers of the site that is being set up in
// ctx, unless there is one already.
func standBefore(ctx caddy.Context, name string, d drainers) error {
	routes, ofServer := siteRoutes(ctx)
	if routes == nil || !inSetup(*routes) {
		return nil
	}
	s, err := putBefore(ctx, routes, ofServer, d)
	if err == nil && s.name == "" {
		s.name = name
	}
	return err
}

// guardBodies inserts a site before the handlers of the site that is being set up in
// ctx, unless there is one already. It deals with the bodies of calls by the transport
// of the operator's own reverse_proxy. Outside of a server, such as in a test, there
// are no handlers, and guardBodies does nothing.
func guardBodies(ctx caddy.Context, d drainers) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	routes, ofServer := siteRoutes(ctx)
	switch {
	case routes != nil && inSetup(*routes):
	case inSetup(server.Routes): // this site chooses a host in that server
		routes, ofServer = &server.Routes, true
	case server.Errors != nil && inSetup(server.Errors.Routes):
		routes, ofServer = &server.Errors.Routes, true
	default:
		guardNamed(server, d)
		return nil
	}
	s, err := putBefore(ctx, routes, ofServer, d)
	if err == nil {
		s.guards = true
	}
	return err
}

// guardNamed inserts a site before the handlers of all named routes of server that are
// not loaded yet, since it is not known which of them is being set up. Caddy appends a
// route's handlers to those that it has, so the site comes first.
func guardNamed(server *caddyhttp.Server, d drainers) {
	for _, route := range server.NamedRoutes {
		if route.HandlersRaw != nil && len(route.Handlers) == 0 {
			route.Handlers = append(route.Handlers, &site{guards: true, drainers: d})
		}
	}
}

// inSetup reports whether a handler of routes, or of the routes behind their site, is
// being set up.
func inSetup(routes caddyhttp.RouteList) bool {
	return slices.ContainsFunc(behindSite(routes), func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
}

// putBefore returns the site before routes. If there is none, it inserts one. ofServer
// says that the handlers after routes are always the same, as they are for a server.
func putBefore(ctx caddy.Context, routes *caddyhttp.RouteList, ofServer bool, d drainers) (*site, error) {
	if s := siteOf(*routes); s != nil {
		return s, nil
	}
	// Only Caddy can make a route of a handler, from its configuration. The present
	// routes are being set up, and stay in place.
	before := caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{json.RawMessage(`{"handler":"bankid_esign_site"}`)}}}
	if err := before.Provision(ctx); err != nil {
		return nil, err
	}
	s, ok := before[0].Handlers[0].(*site)
	if !ok {
		return nil, errors.New("bankid_esign_site is another module")
	}
	s.routes, s.ofServer, s.drainers = *routes, ofServer, d
	*routes = before
	return s, nil
}

// siteRoutes returns the routes of the site that is being set up in ctx. They are the
// routes of the server, unless those choose sites by host. It returns nil if the site
// has no list of routes of its own.
func siteRoutes(ctx caddy.Context) (routes *caddyhttp.RouteList, ofServer bool) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil, false
	}
	if !slices.ContainsFunc(behindSite(server.Routes), choosesHost) {
		return &server.Routes, true
	}
	for _, mod := range ctx.Modules() {
		if subroute, ok := mod.(*caddyhttp.Subroute); ok {
			return &subroute.Routes, false
		}
	}
	return nil, false
}

// choosesHost reports whether a route is only for some hosts.
func choosesHost(r caddyhttp.Route) bool {
	return slices.ContainsFunc(r.MatcherSets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(matcher any) bool {
			_, ok := matcher.(*caddyhttp.MatchHost)
			return ok
		})
	})
}

// behindSite returns the routes that the site before routes has, or routes if there is
// none.
func behindSite(routes caddyhttp.RouteList) caddyhttp.RouteList {
	if s := siteOf(routes); s != nil {
		return s.routes
	}
	return routes
}

// siteOf returns the site that stands before routes, or nil if there is none.
func siteOf(routes caddyhttp.RouteList) *site {
	if len(routes) != 1 || len(routes[0].Handlers) != 1 {
		return nil
	}
	s, _ := routes[0].Handlers[0].(*site)
	return s
}

// hasErrorRoutes reports whether the server of r has error routes.
func hasErrorRoutes(r *http.Request) bool {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return server != nil && server.Errors != nil && len(server.Errors.Routes) > 0
}

// Interface guard
var _ caddyhttp.MiddlewareHandler = (*site)(nil)
