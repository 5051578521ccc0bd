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
// them see that. Before a reverse_proxy of one's own with the transport bankid_esign, it
// does for the bodies of calls what the gateway does for its own: only there it has the
// answer in its hands. It configures nothing, and puts itself there.
type site struct {
	routes caddyhttp.RouteList // of the site
	name   string              // in Proxy-Status; "" if it is a site without a gateway
	guards bool                // it is one with such a transport

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
	err := s.serve(w, r, body, next)
	if err == nil {
		return nil
	}
	if s.name != "" {
		setErrorPlaceholder(r, setErrorHeader(w.Header(), s.name, err))
	}
	// The gateway has dealt with its own callers.
	places := strangerPlaces
	if body != nil && body.own.Load() != nil {
		places = callerPlaces
	}
	if first, ok := r.Context().Value(caddyhttp.ErrorCtxKey).(error); ok {
		body.settle(w, r, first, false, places) // error routes have failed, and Caddy answers so
	} else {
		body.settle(w, r, err, hasErrorRoutes(r), places)
	}
	return err
}

// serve hands r on to the handlers of the site, with an answer that is written as body
// allows if it is one to a call by a reverse_proxy of one's own.
func (s *site) serve(w http.ResponseWriter, r *http.Request, body *lingeringBody, next caddyhttp.Handler) error {
	if !s.guards || body == nil {
		return s.behind(next).ServeHTTP(w, r)
	}
	answer, returned := &earlyAnswer{
		ResponseWriter: w, body: body,
		deals:   func() bool { return body.own.Load() != nil },
		refused: func() *gatewayError { return nil }, // such an answer is one of the API's
	}, false
	defer func() {
		if !returned { // the proxy panics when an answer breaks off
			answer.breakOff()
		}
	}()
	err := s.behind(next).ServeHTTP(answer, r)
	returned = true
	if err == nil {
		answer.end()
	} else {
		answer.settle()
	}
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
	if routes == nil || !inSetup(*routes) {
		return nil
	}
	s, err := putBefore(ctx, routes, ofServer)
	if err == nil && s.name == "" {
		s.name = name
	}
	return err
}

// guardBodies puts a site before the handlers of the one that is being set up in ctx,
// unless there is one, that sees to the bodies of calls by the transport of a reverse_proxy
// of one's own there. Outside of a server, such as in a test, there are none.
func guardBodies(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	routes, ofServer := siteRoutes(ctx)
	switch {
	case routes != nil && inSetup(*routes):
	case inSetup(server.Routes): // of which this one chooses a host
		routes, ofServer = &server.Routes, true
	case server.Errors != nil && inSetup(server.Errors.Routes):
		routes, ofServer = &server.Errors.Routes, true
	default:
		guardNamed(server)
		return nil
	}
	s, err := putBefore(ctx, routes, ofServer)
	if err == nil {
		s.guards = true
	}
	return err
}

// guardNamed puts a site before the handlers of those named routes of server that are not
// set up yet: it cannot be told which one is. What they have when Caddy loads their handlers
// comes before these.
func guardNamed(server *caddyhttp.Server) {
	for _, route := range server.NamedRoutes {
		if route.HandlersRaw != nil && len(route.Handlers) == 0 {
			route.Handlers = append(route.Handlers, &site{guards: true})
		}
	}
}

// inSetup reports whether a handler of routes, or behind their site, is being set up.
func inSetup(routes caddyhttp.RouteList) bool {
	return slices.ContainsFunc(behindSite(routes), func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
}

// putBefore returns the site that stands before routes, and puts one there if there is
// none. What comes after the routes of a server is always the same.
func putBefore(ctx caddy.Context, routes *caddyhttp.RouteList, ofServer bool) (*site, error) {
	if s := siteOf(*routes); s != nil {
		return s, nil
	}
	// Only Caddy can make a route of a handler, from its configuration. Those that
	// are there are set up in place.
	before := caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{json.RawMessage(`{"handler":"bankid_esign_site"}`)}}}
	if err := before.Provision(ctx); err != nil {
		return nil, err
	}
	s, ok := before[0].Handlers[0].(*site)
	if !ok {
		return nil, errors.New("bankid_esign_site is another module")
	}
	s.routes, s.ofServer = *routes, ofServer
	*routes = before
	return s, nil
}

// siteRoutes returns the routes of the site that is being set up in ctx: those of
// its server, unless that chooses sites by host. It returns nil if the site has no
// list of routes of its own.
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
	if s := siteOf(routes); s != nil {
		return s.routes
	}
	return routes
}

// siteOf returns the site that stands before routes, nil if there is none.
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
