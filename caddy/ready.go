package caddyesign

import (
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(MatchReady{})
}

// MatchReady matches if the gateway could make a call now: if each of the given clients
// has a usable access token, with all scopes, for every API that a handler or transport
// uses it for. It lets a load balancer know whether to send calls here:
//
//	@ready bankid_esign_ready
//	handle /readyz {
//	    respond @ready 200
//	    respond 503
//	}
//
// It never waits. If a token is missing or due to be renewed, it starts an attempt to
// obtain the token in the background, unless back-off after the last failure forbids
// it. So the next request may match, and a gateway that is asked regularly does not
// become unready because nobody calls it. While renewal fails, the gateway stays ready
// as long as the present token is valid. A client that nothing uses has no token, and
// is never ready.
type MatchReady struct {
	// The names of the clients; `default` is the default client. Default: all clients
	// that are used.
	Clients []string `json:"clients,omitempty"`

	app *App
}

// CaddyModule returns the Caddy module information.
func (MatchReady) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.bankid_esign_ready",
		New: func() caddy.Module { return new(MatchReady) },
	}
}

// UnmarshalCaddyfile sets up the matcher from Caddyfile tokens. Syntax:
//
//	bankid_esign_ready [<client...>]
func (m *MatchReady) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		for d.NextArg() {
			if slices.Contains(m.Clients, d.Val()) {
				return d.Errf("client '%s' already specified", d.Val())
			}
			m.Clients = append(m.Clients, d.Val())
		}
		if d.NextBlock(0) {
			return d.Errf("unrecognized subdirective '%s': write 'bankid_esign_ready [<client...>]'", d.Val())
		}
	}
	return nil
}

// Provision sets up the matcher.
func (m *MatchReady) Provision(ctx caddy.Context) error {
	var err error
	if m.app, err = loadApp(ctx); err != nil {
		return err
	}
	for _, name := range m.Clients {
		if name == defaultClient {
			name = ""
		}
		if _, err := m.app.client(name); err != nil {
			return err
		}
	}
	return nil
}

// MatchWithError reports whether the gateway is ready. The error is always nil.
func (m *MatchReady) MatchWithError(*http.Request) (bool, error) {
	names := m.Clients
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(m.app.used))
	}
	ready := len(names) > 0
	for _, name := range names {
		sources := m.app.used[name]
		ready = ready && len(sources) > 0
		for _, source := range sources {
			// Every source is asked, so that all missing tokens are obtained at the
			// same time.
			ready = source.Ready() && ready
		}
	}
	return ready, nil
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*MatchReady)(nil)
	_ caddyfile.Unmarshaler             = (*MatchReady)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchReady)(nil)
)
