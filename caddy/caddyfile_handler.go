package caddyesign

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("bankid_esign", parseHandler)
	httpcaddyfile.RegisterDirectiveOrder("bankid_esign", httpcaddyfile.Before, "reverse_proxy")
}

// parseHandler sets up the handler from the directive. Syntax:
//
//	bankid_esign [<matcher>] <api...> {
//	    client        <name>
//	    scope         <scopes...>
//	    callers       authenticated|local|any
//	    upstream      <api> <url>
//	    call          <api> <method> <path> bearer|dpop|pass|none [safe|rejected|never]
//	    request_buffer <size>
//
//	    # any subdirective of reverse_proxy, except those that could send a
//	    # token elsewhere, change a body or make a call twice
//	    ...
//	}
//
// APIs are csc, signdoc, timestamp and b2b.
func parseHandler(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	d := helper.Dispenser
	app, err := globalApp(helper)
	if err != nil {
		return nil, err
	}
	h := new(Handler)
	if err := h.unmarshalOwn(d, app); err != nil {
		return nil, err
	}
	// The remaining tokens are for the reverse proxy.
	d.Reset()
	proxy := new(reverseproxy.Handler)
	if err := proxy.UnmarshalCaddyfile(d); err != nil {
		return nil, unrecognizedBy(d, err, "client, scope, callers, upstream, call, request_buffer, or one of reverse_proxy")
	}
	if err := proxy.FinalizeUnmarshalCaddyfile(helper); err != nil {
		return nil, err
	}
	if raw := caddyconfig.JSON(proxy, nil); string(raw) != "{}" {
		h.ProxyRaw = raw
	}
	return h, nil
}

// globalApp returns the app that the global option configures. Without that option it
// returns an app with the sandbox, which can have every client and API; that the option
// is missing is reported when the configuration is loaded.
func globalApp(helper httpcaddyfile.Helper) (*App, error) {
	option, ok := helper.Option("bankid_esign").(httpcaddyfile.App)
	if !ok {
		return &App{Environment: bankid.Sandbox.Name}, nil
	}
	app := new(App)
	return app, json.Unmarshal(option.Value, app)
}

// checkClient returns an error if the app has no client of that name, as far as this is
// known before the app is provisioned.
func (a *App) checkClient(name string) error {
	if a.maybeSandbox() && (name == "" || a.needless()) {
		return nil
	}
	_, err := a.configuredClient(name)
	return err
}

// checkUpstreams returns an error if the host of an API of h is not known, or if calls
// must not go to that host.
func (a *App) checkUpstreams(h *Handler) error {
	for _, name := range h.APIs {
		if upstream := h.Upstreams[name]; upstream != "" && len(placeholders(upstream)) == 0 {
			u, err := resolveUpstream(upstream)
			if err != nil {
				return err
			}
			if err := a.checkOrigin(u); err != nil {
				return err
			}
		}
		if a.Issuer == "" || h.Upstreams[name] != "" {
			continue
		}
		if _, err := a.origin(bankid.API(name)); err != nil {
			return err
		}
	}
	return nil
}

// unmarshalOwn sets up the handler from its own tokens, and deletes them from d. The
// error says if the handler does not fit app.
func (h *Handler) unmarshalOwn(d *caddyfile.Dispenser, app *App) error {
	d.Next() // consume directive name
	names := d.RemainingArgs()
	if err := h.unmarshalAPIs(d, names); err != nil {
		return err
	}
	d.DeleteN(len(names))
	for d.NextBlock(0) {
		// A copy of the segment is parsed. So all tokens of a subdirective of
		// reverse_proxy stay in place.
		segment := d.NewFromNextSegment()
		segment.Next()
		name := segment.Val()
		ours, err := h.unmarshalSubdirective(segment)
		if err == nil && name == "client" {
			err = wrapErr(segment, app.checkClient(h.Client))
		}
		if err != nil {
			return err
		}
		if !ours {
			if err := checkSegment(segment); err != nil {
				return err
			}
			continue
		}
		if err := deleteSegment(d, segment); err != nil {
			return err
		}
	}
	d.Reset()
	d.Next() // errors about the whole directive point to its first line
	if err := h.Access.validate(); err != nil {
		return d.WrapErr(err)
	}
	if h.Client == "" { // else it was checked where it is given
		if err := app.checkClient(""); err != nil {
			return d.WrapErr(err)
		}
	}
	return wrapErr(d, app.checkUpstreams(h))
}

// unmarshalSubdirective sets a field of the handler. It reports whether the
// subdirective is one of the handler's own.
func (h *Handler) unmarshalSubdirective(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "callers":
		if err := onceString(d, &h.Callers); err != nil {
			return true, err
		}
		return true, wrapErr(d, checkCallers(h.Callers))
	case "upstream":
		return true, h.unmarshalUpstream(d)
	}
	return h.Access.unmarshalSubdirective(d)
}

// unmarshalUpstream sets the origin of an API.
func (h *Handler) unmarshalUpstream(d *caddyfile.Dispenser) error {
	var api, upstream string
	if !d.AllArgs(&api, &upstream) {
		return d.Errf("wrong argument count after 'upstream': write 'upstream <api> <url>'")
	}
	if !slices.Contains(h.APIs, api) {
		return d.Errf("API '%s' is not among those of this directive: %s", api, strings.Join(h.APIs, ", "))
	}
	if _, ok := h.Upstreams[api]; ok {
		return d.Errf("upstream of '%s' already specified", api)
	}
	if err := checkUpstream(upstream); err != nil {
		return d.WrapErr(err)
	}
	if h.Upstreams == nil {
		h.Upstreams = make(map[string]string)
	}
	h.Upstreams[api] = upstream
	return nil
}

// checkSegment returns an error if a subdirective of reverse_proxy cannot be used here.
// d has just read its name.
func checkSegment(d *caddyfile.Dispenser) error {
	name := d.Val()
	if reason, ok := refusedSubdirectives[name]; ok {
		return d.WrapErr(refused(name, reason))
	}
	switch name {
	case "header_up":
		if d.NextArg() {
			field := strings.TrimSuffix(strings.TrimLeft(d.Val(), "+-?>"), ":")
			return wrapErr(d, checkHeaderUp(field))
		}
	case "transport":
		if d.NextArg() && d.Val() != "http" {
			return d.Errf("transport '%s' cannot be used here: bankid_esign brings its own, which takes the subdirectives of 'transport http'", d.Val())
		}
		return checkTransportSegment(d)
	}
	return nil
}

// checkTransportSegment returns an error if a subdirective of the http transport cannot
// be used. d has just read the name of the transport.
func checkTransportSegment(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		segment := d.NewFromNextSegment()
		segment.Next()
		if err := checkTransportSubdirective(segment); err != nil {
			return err
		}
	}
	return nil
}
