package caddyesign

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// What a reverse proxy in front of BankID cannot do, since it would send a
// token elsewhere, show it, or make a call twice.
const (
	refuseRewrite  = "the method and path of a call decide its authorization"
	refuseUpstream = "calls go to the host of their API only; use 'upstream <api> <url>' to change it"
	refuseRetry    = "the call table decides which calls are repeated"
	refuseHeader   = "it is set for each call"
	refuseInsecure = "it would show tokens and documents to others"
)

// refusedSubdirectives are those of reverse_proxy, and of its transport, that
// cannot be used, with the reason.
var refusedSubdirectives = map[string]string{
	"to":                       refuseUpstream,
	"dynamic":                  refuseUpstream,
	"rewrite":                  refuseRewrite,
	"method":                   refuseRewrite,
	"lb_retry_match":           refuseRetry,
	"proxy_protocol":           refuseInsecure,
	"tls_insecure_skip_verify": refuseInsecure,
	"tls_except_ports":         refuseInsecure,
}

// refused returns the error for a subdirective or field that cannot be used.
func refused(name, reason string) error {
	return fmt.Errorf("%s cannot be used here: %s", name, reason)
}

// checkTransport reports what of an HTTP transport cannot be used.
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
	}
	return nil
}

// checkProxy reports what of a reverse proxy cannot be used.
func checkProxy(p *reverseproxy.Handler) error {
	switch {
	case p.DynamicUpstreamsRaw != nil:
		return refused("dynamic_upstreams", refuseUpstream)
	case p.Rewrite != nil:
		return refused("rewrite", refuseRewrite)
	case p.LoadBalancing != nil && len(p.LoadBalancing.RetryMatchRaw) > 0:
		return refused("retry_match", refuseRetry)
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

// checkHeaderUp reports an error if the operator may not set or change the
// request header field name.
func checkHeaderUp(name string) error {
	if strings.ContainsAny(name, "{}") {
		return refused("header_up "+name, "the name of a field must not depend on the request")
	}
	for _, own := range []string{"Authorization", "DPoP", "Host"} {
		if strings.EqualFold(name, own) {
			return refused("header_up "+name, refuseHeader)
		}
	}
	return nil
}

// headerNames returns the fields that ops add, set, replace or delete.
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

// parentHeaders checks the reverse proxy that the transport in ctx belongs to,
// and returns which request header fields it sets, in canonical form.
func parentHeaders(ctx caddy.Context) ([]string, error) {
	modules := ctx.Modules()
	for _, mod := range slices.Backward(modules) {
		proxy, ok := mod.(*reverseproxy.Handler)
		if !ok {
			continue
		}
		if err := checkProxy(proxy); err != nil {
			return nil, err
		}
		return setHeaders(proxy.Headers), nil
	}
	return nil, errors.New("it is not the transport of a reverse_proxy")
}

// setHeaders returns the request header fields that h sets, in canonical form.
func setHeaders(h *headers.Handler) []string {
	if h == nil || h.Request == nil {
		return nil
	}
	var names []string
	for _, fields := range []http.Header{h.Request.Add, h.Request.Set} {
		for name := range fields {
			if name = http.CanonicalHeaderKey(name); !tokenauth.Leaves(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
