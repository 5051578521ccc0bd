package caddyesign

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// route is the way to the host of one or more APIs.
type route struct {
	proxy     *reverseproxy.Handler
	transport *Transport
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

// provisionRoute loads the reverse proxy to origin.
func (h *Handler) provisionRoute(ctx caddy.Context, origin string, apis []string) (*route, error) {
	raw, err := h.proxyConfig(origin, apis)
	if err != nil {
		return nil, err
	}
	mod, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", raw)
	if err != nil {
		return nil, fmt.Errorf("loading proxy: %v", err)
	}
	proxy := mod.(*reverseproxy.Handler)
	transport, ok := proxy.Transport.(*Transport)
	if !ok {
		return nil, fmt.Errorf("loading proxy: its transport is %T", proxy.Transport)
	}
	return &route{proxy: proxy, transport: transport}, nil
}

// proxyConfig returns the configuration of the reverse proxy to origin: the operator's
// configuration, with the upstream and the transport added.
func (h *Handler) proxyConfig(origin string, apis []string) (json.RawMessage, error) {
	u, err := parseUpstream(origin)
	if err != nil {
		return nil, err
	}
	proxy := new(reverseproxy.Handler)
	if len(h.ProxyRaw) > 0 {
		if err := caddy.StrictUnmarshalJSON(h.ProxyRaw, proxy); err != nil {
			return nil, fmt.Errorf("decoding proxy: %v", err)
		}
	}
	if len(proxy.Upstreams) > 0 {
		return nil, refused("proxy.upstreams", refuseUpstream)
	}
	// The operator can configure only the fields of the http transport.
	configured := struct {
		Protocol string `json:"protocol"`
		*reverseproxy.HTTPTransport
	}{HTTPTransport: new(reverseproxy.HTTPTransport)}
	if len(proxy.TransportRaw) > 0 {
		if err := caddy.StrictUnmarshalJSON(proxy.TransportRaw, &configured); err != nil {
			return nil, fmt.Errorf("decoding proxy.transport: %v", err)
		}
	}
	if configured.Protocol != "" && configured.Protocol != "http" {
		return nil, fmt.Errorf("proxy.transport.protocol must be \"http\", not %q", configured.Protocol)
	}
	access := h.Access
	access.APIs = apis
	access.Calls = slices.DeleteFunc(slices.Clone(h.Calls), func(c Call) bool { return !slices.Contains(apis, c.API) })
	transport := &Transport{HTTPTransport: configured.HTTPTransport, Access: access, Upstream: origin}
	proxy.TransportRaw = caddyconfig.JSONModuleObject(transport, "protocol", "bankid_esign", nil)
	proxy.Upstreams = reverseproxy.UpstreamPool{{Dial: dialAddress(u)}}
	return json.Marshal(proxy)
}
