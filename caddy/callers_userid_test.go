package caddyesign_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(ownLogin{})
	httpcaddyfile.RegisterHandlerDirective("own_login", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return ownLogin{}, nil })
	httpcaddyfile.RegisterDirectiveOrder("own_login", httpcaddyfile.Before, "basic_auth")
}

// ownLogin authenticates by itself, like a third-party handler that is not one of
// Caddy's authentication providers.
type ownLogin struct{}

func (ownLogin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.own_login", New: func() caddy.Module { return new(ownLogin) }}
}

func (ownLogin) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Header.Get("X-Login") == "right" {
		r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Set("http.auth.user.id", "app")
	}
	return next.ServeHTTP(w, r)
}

func TestCallersAuthenticatedByAHandlerOfOnesOwn(t *testing.T) {
	f := newFixture(t).start(`own_login
	bankid_esign signdoc csc timestamp {
		UPSTREAM
	}`)
	f.do("GET", path, "", "X-Login", "wrong").is(403)
	f.do("GET", path, "", "X-Login", "right").is(200)
}

// If a request decides the name of a variable, the variable is not known when the
// configuration is loaded.
func TestUserThatARequestNamesIsNone(t *testing.T) {
	f := newFixture(t).start(`vars {http.request.header.X-Name} {http.request.header.X-User}
	own_login
	bankid_esign signdoc csc timestamp {
		UPSTREAM
	}`)
	f.do("GET", path, "", "X-Name", "http.auth.user.id", "X-User", "app").is(403).byGateway("http_request_denied")
	if log := f.logged(); !strings.Contains(log, "does not count") || !strings.Contains(log, "vars") {
		t.Error("the log does not say why")
	}
	f.do("GET", path, "", "X-Name", "other", "X-User", "app").is(403)
	f.do("GET", path, "", "X-Name", "other", "X-User", "app", "X-Login", "right").is(200)
	if calls := f.upstream.seen(); len(calls) != 1 {
		t.Errorf("upstream saw %d calls, want 1", len(calls))
	}
}

// If a handler other than an authentication handler sets the user, the configuration is
// refused when it is loaded, wherever the handler is.
func TestUserThatIsNotAuthenticatedIsRefusedAtLoad(t *testing.T) {
	const (
		setsVars = `{"handler": "vars", "http.auth.user.id": "{http.request.header.X}"}`
		setsMap  = `{"handler": "map", "source": "{http.request.header.X}", "destinations": ["{y}", "{http.auth.user.id}"], "defaults": ["", "{http.request.header.X}"]}`
		gateway  = goodHandler
		other    = `{"handler": "static_response"}`
	)
	route := func(handlers ...string) string { return `{"handle": [` + strings.Join(handlers, ",") + `]}` }
	site := func(host string, handlers ...string) string {
		return `{"match": [{"host": ["` + host + `"]}], "terminal": true, "handle": [{"handler": "subroute", "routes": [` + route(handlers...) + `]}]}`
	}
	subroute := func(routes string) string { return `{"handler": "subroute", "routes": [` + routes + `]}` }
	const here = "/apps/http/servers/s/"
	for _, test := range []struct{ name, server, want string }{
		{"vars", `"routes": [` + route(setsVars, gateway) + `]`, here + "routes/0/handle/0 (vars)"},
		{"map", `"routes": [` + route(setsMap, gateway) + `]`, here + "routes/0/handle/0 (map)"},
		{"another route", `"routes": [` + route(setsVars) + `,` + route(gateway) + `]`, here + "routes/0/handle/0 (vars)"},
		{"a route around it", `"routes": [` + route(setsVars, subroute(route(other)+`,`+route(gateway))) + `]`, here + "routes/0/handle/0 (vars)"},
		{"a subroute", `"routes": [` + route(subroute(route(subroute(route(setsMap))))) + `,` + route(gateway) + `]`, here + "routes/0/handle/0/routes/0/handle/0/routes/0/handle/0 (map)"},
		{"after authentication", `"routes": [` + route(`{"handler": "authentication"}`, setsVars, gateway) + `]`, here + "routes/0/handle/1 (vars)"},
		{"a named route", `"routes": [` + route(`{"handler": "invoke", "name": "n"}`, gateway) + `], "named_routes": {"n": ` + route(setsVars) + `}`, here + "named_routes/n/handle/0 (vars)"},
		{"the gateway in a named route", `"routes": [` + site("x.example", setsVars, `{"handler": "invoke", "name": "n"}`) + `], "named_routes": {"n": ` + route(gateway) + `}`, here + "routes/0/handle/0/routes/0/handle/0 (vars)"},
		{"error routes", `"routes": [` + route(other) + `], "errors": {"routes": [` + route(setsVars, gateway) + `]}`, here + "errors/routes/0/handle/0 (vars)"},
		{"the gateway in error routes", `"routes": [` + site("x.example", setsVars) + `], "errors": {"routes": [` + route(gateway) + `]}`, here + "routes/0/handle/0/routes/0/handle/0 (vars)"},
		{"error routes of a subroute", `"routes": [` + route(`{"handler": "subroute", "routes": [`+route(other)+`], "errors": {"routes": [`+route(setsMap, gateway)+`]}}`) + `]`, here + "routes/0/handle/0/errors/routes/0/handle/0 (map)"},
		{"the same site", `"routes": [` + site("x.example", setsVars, gateway) + `]`, here + "routes/0/handle/0/routes/0/handle/0 (vars)"},
		{"a site that goes on", `"routes": [` + route(subroute(route(setsVars))) + `,` + site("x.example", gateway) + `]`, here + "routes/0/handle/0/routes/0/handle/0 (vars)"},
		{"other spellings", `"ROUTES": [{"Handle": [{"handler": "map", "Destinations": ["{http.auth\u002euser.id}"], "destinations": ["{y}"], "source": "x", "defaults": ["x"]}, {"handler": "bankid_esign", "apis": ["signdoc"], "Callers": "authenticated"}]}]`, here + "ROUTES/0/Handle/0 (map)"},
		{"the response to another proxy", `"routes": [` + route(`{"handler": "reverse_proxy", "upstreams": [{"dial": "127.0.0.1:1"}], "handle_response": [{"routes": [`+route(setsVars)+`]}]}`, gateway) + `]`, here + "routes/0/handle/0/handle_response/0/routes/0/handle/0 (vars)"},

		{"error routes after the gateway", `"routes": [` + route(gateway) + `], "errors": {"routes": [` + route(setsVars) + `]}`, ""},
		{"another site", `"routes": [` + site("x.example", setsVars, other) + `,` + site("y.example", gateway) + `]`, ""},
		{"another variable", `"routes": [` + route(`{"handler": "vars", "user": "{http.request.header.X}"}`, `{"handler": "map", "source": "x", "destinations": ["{http.auth.user.name}"], "defaults": ["x"]}`, gateway) + `]`, ""},
		{"of what is authenticated", `"routes": [` + route(`{"handler": "map", "source": "{http.auth.user.id}", "destinations": ["{role}"], "defaults": ["x"]}`, gateway) + `]`, ""},
		{"callers any, whose access log it is for", `"routes": [` + route(setsVars, `{"handler": "bankid_esign", "apis": ["signdoc"], "callers": "any"}`) + `]`, ""},
		{"no gateway", `"routes": [` + route(setsVars) + `]`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := fmt.Sprintf(`{"admin": {"disabled": true}, "apps": {%s "http": {"servers": {"s": {"listen": [":0"], %s}, "t": {"listen": ["127.0.0.1:0"], "routes": [%s]}}}}}`, goodApp, test.server, route(setsVars))
			var cfg caddy.Config
			if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
				t.Fatalf("%v in %s", err, raw)
			}
			err := caddy.Validate(&cfg)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "http.auth.user.id")):
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}
