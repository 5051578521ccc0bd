package caddyesign

import (
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// route is the way to the host of one or more APIs.
type route struct {
	transport *Transport
	proxy     caddyhttp.MiddlewareHandler // calls the transport
	name      string                      // of the proxy, in Proxy-Status; "" if it has none
}

// origin returns the origin at which api is served.
func (h *Handler) origin(app *App, api bankid.API) (string, error) {
	var u *url.URL
	var err error
	if upstream := h.Upstreams[string(api)]; upstream != "" {
		u, err = resolveUpstream(upstream)
	} else {
		u, err = app.origin(api)
	}
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// provisionRoute loads the way to origin. It is the short way, unless something is
// configured that only Caddy's reverse_proxy does.
func (h *Handler) provisionRoute(ctx caddy.Context, app *App, origin string, apis []string) (*route, error) {
	proxy, transport, err := h.proxyConfig(origin, apis)
	if err != nil {
		return nil, err
	}
	if h.plain() && !app.showsProxy {
		mod, err := ctx.LoadModuleByID(string(transport.CaddyModule().ID), caddyconfig.JSON(transport, nil))
		if err != nil {
			return nil, fmt.Errorf("loading transport: %v", err)
		}
		t := mod.(*Transport)
		return &route{transport: t, proxy: newDirect(t, ctx.Logger(proxy))}, nil
	}
	mod, err := ctx.LoadModuleByID(string(proxy.CaddyModule().ID), caddyconfig.JSON(proxy, nil))
	if err != nil {
		return nil, fmt.Errorf("loading proxy: %v", err)
	}
	loaded := mod.(*reverseproxy.Handler)
	t, ok := loaded.Transport.(*Transport)
	if !ok {
		return nil, fmt.Errorf("loading proxy: its transport is %T", loaded.Transport)
	}
	return &route{transport: t, proxy: loaded, name: loaded.ProxyStatusName}, nil
}

// plain reports whether nothing of the reverse proxy is configured except its transport.
func (h *Handler) plain() bool {
	var options map[string]json.RawMessage
	if len(h.ProxyRaw) > 0 && json.Unmarshal(h.ProxyRaw, &options) != nil {
		return false
	}
	delete(options, "transport")
	return len(options) == 0
}

// proxyConfig returns the reverse proxy to origin as the operator has configured it, with
// the upstream and the transport added, and that transport. They are not loaded yet.
func (h *Handler) proxyConfig(origin string, apis []string) (*reverseproxy.Handler, *Transport, error) {
	u, err := parseUpstream(origin)
	if err != nil {
		return nil, nil, err
	}
	proxy := new(reverseproxy.Handler)
	if len(h.ProxyRaw) > 0 {
		if err := caddy.StrictUnmarshalJSON(h.ProxyRaw, proxy); err != nil {
			return nil, nil, fmt.Errorf("decoding proxy: %v", err)
		}
	}
	if len(proxy.Upstreams) > 0 {
		return nil, nil, refused("proxy.upstreams", refuseUpstream)
	}
	// The operator can configure only the fields of the http transport.
	configured := struct {
		Protocol string `json:"protocol"`
		*reverseproxy.HTTPTransport
	}{HTTPTransport: new(reverseproxy.HTTPTransport)}
	if len(proxy.TransportRaw) > 0 {
		if err := caddy.StrictUnmarshalJSON(proxy.TransportRaw, &configured); err != nil {
			return nil, nil, fmt.Errorf("decoding proxy.transport: %v", err)
		}
	}
	if configured.Protocol != "" && configured.Protocol != "http" {
		return nil, nil, fmt.Errorf("proxy.transport.protocol must be \"http\", not %q", configured.Protocol)
	}
	access := h.Access
	access.APIs, access.Calls = apis, nil // the transport has the table of the handler
	transport := &Transport{HTTPTransport: configured.HTTPTransport, Access: access, Upstream: origin}
	proxy.TransportRaw = caddyconfig.JSONModuleObject(transport, "protocol", "bankid_esign", nil)
	proxy.Upstreams = reverseproxy.UpstreamPool{{Dial: dialAddress(u)}}
	return proxy, transport, nil
}
