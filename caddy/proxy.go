package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// These are the reasons why an option of a reverse proxy is refused: it would send a
// token elsewhere, show it, or make a call twice.
const (
	refuseRewrite  = "the method and path of a call decide its authorization"
	refuseUpstream = "calls go to the host of their API only; use 'upstream <api> <url>' to change it"
	refuseRetry    = "the call table decides which calls are retried"
	refuseHeader   = "it is set for each call"
	refuseInsecure = "it would show tokens and documents to others"
	refuseHTTP3    = "over HTTP/3, Caddy changes bodies that are compressed"
	refuseHealth   = "health checks are calls too, and the call table names none for them; use fail_duration"
)

// refusedSubdirectives are the subdirectives of reverse_proxy, and of its transport,
// that are refused, with the reason.
var refusedSubdirectives = map[string]string{
	"to":                       refuseUpstream,
	"dynamic":                  refuseUpstream,
	"rewrite":                  refuseRewrite,
	"method":                   refuseRewrite,
	"lb_retry_match":           refuseRetry,
	"health_uri":               refuseHealth,
	"health_path":              refuseHealth,
	"health_port":              refuseHealth,
	"health_upstream":          refuseHealth,
	"proxy_protocol":           refuseInsecure,
	"tls_insecure_skip_verify": refuseInsecure,
	"tls_except_ports":         refuseInsecure,
}

// refused returns the error for a subdirective or field that is refused.
func refused(name, reason string) error {
	return fmt.Errorf("%s cannot be used here: %s", name, reason)
}

// checkTransport returns an error if an option of an HTTP transport is refused.
func checkTransport(t *reverseproxy.HTTPTransport) error {
	switch {
	case t.ProxyProtocol != "":
		return refused("proxy_protocol", refuseInsecure)
	case t.TLS != nil && t.TLS.InsecureSkipVerify:
		return refused("tls_insecure_skip_verify", refuseInsecure)
	case t.TLS != nil && len(t.TLS.ExceptPorts) > 0:
		return refused("tls_except_ports", refuseInsecure)
	case t.Compression != nil && *t.Compression:
		return refused("compression", "bodies pass unchanged")
	case slices.Contains(t.Versions, "3"):
		return refused("versions 3", refuseHTTP3)
	case strings.Contains(t.ForwardProxyURL, "{") || requestDecides(t.NetworkProxyRaw):
		return refused("network_proxy", "a request must not choose the proxy")
	case t.TLS != nil:
		if err := checkPlaceholders(t.TLS.ServerName); err != nil {
			return fmt.Errorf("tls_server_name: %v", err)
		}
	}
	return nil
}

// requestDecides reports whether a module's configuration contains placeholders other
// than of the environment and of files. A request can set any of those.
func requestDecides(raw json.RawMessage) bool {
	var config any
	_ = json.Unmarshal(raw, &config) // Caddy has parsed it already, if there is one
	var within func(value any) bool
	within = func(value any) bool {
		switch value := value.(type) {
		case string:
			return checkPlaceholders(value) != nil
		case []any:
			return slices.ContainsFunc(value, within)
		case map[string]any:
			return slices.ContainsFunc(slices.Collect(maps.Values(value)), within)
		}
		return false
	}
	return within(config)
}

// checkProxy returns an error if an option of a reverse proxy is refused.
func checkProxy(p *reverseproxy.Handler) error {
	switch {
	case p.DynamicUpstreamsRaw != nil:
		return refused("dynamic_upstreams", refuseUpstream)
	case p.Rewrite != nil:
		return refused("rewrite", refuseRewrite)
	case p.LoadBalancing != nil && len(p.LoadBalancing.RetryMatchRaw) > 0:
		return refused("retry_match", refuseRetry)
	case p.HealthChecks != nil && p.HealthChecks.Active != nil:
		return refused("health_checks.active", refuseHealth)
	}
	if p.Headers == nil || p.Headers.Request == nil {
		return nil
	}
	for _, name := range headerNames(p.Headers.Request) {
		if err := checkHeaderUp(name); err != nil {
			return err
		}
	}
	return nil
}

// checkHeaderUp returns an error if the operator may not set or change the request
// header field name.
func checkHeaderUp(name string) error {
	if strings.ContainsAny(name, "{}*") {
		return refused("header_up "+name, "the name of a field must be written out")
	}
	for _, own := range []string{"Authorization", "DPoP", "Host"} {
		if strings.EqualFold(name, own) {
			return refused("header_up "+name, refuseHeader)
		}
	}
	return nil
}

// headerNames returns the names of the fields that ops adds, sets, replaces or deletes.
func headerNames(ops *headers.HeaderOps) []string {
	names := slices.Clone(ops.Delete)
	for name := range ops.Add {
		names = append(names, name)
	}
	for name := range ops.Set {
		names = append(names, name)
	}
	for name := range ops.Replace {
		names = append(names, name)
	}
	return names
}

// parentHeaders checks the reverse proxy that the transport in ctx belongs to. Its
// upstream must be origin. parentHeaders returns the names of the request header fields
// that the proxy sets, in canonical form.
func parentHeaders(ctx caddy.Context, origin *url.URL) ([]string, error) {
	for _, mod := range slices.Backward(ctx.Modules()) {
		proxy, ok := mod.(*reverseproxy.Handler)
		if !ok {
			continue
		}
		if err := checkProxy(proxy); err != nil {
			return nil, err
		}
		for _, upstream := range proxy.Upstreams {
			if upstream.Dial != dialAddress(origin) {
				return nil, fmt.Errorf("upstream '%s' is not %s, where the calls go", upstream.Dial, origin)
			}
		}
		return setHeaders(proxy.Headers), nil
	}
	return nil, errors.New("it is not the transport of a reverse_proxy")
}

// setHeaders returns the names of the request header fields that h sets, in canonical
// form.
func setHeaders(h *headers.Handler) []string {
	if h == nil || h.Request == nil {
		return nil
	}
	var names []string
	for _, fields := range []http.Header{h.Request.Add, h.Request.Set} {
		for name := range fields {
			if name = http.CanonicalHeaderKey(name); !gateway.Leaves(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
