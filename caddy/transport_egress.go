package caddyesign

import (
	"context"
	"errors"
	"net"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// egressVar is the variable in which Caddy's HTTP transport keeps the URL of the
// egress proxy of a request (reverseproxy/hosts.go in Caddy 2.11).
const egressVar = "reverse_proxy.proxy"

// An egressError is the error of a call that went through an egress proxy. Its text
// names the proxy; the text of the error below seldom does.
type egressError struct {
	proxy string
	err   error
	// connectTimedOut is whether the proxy did not connect in time.
	connectTimedOut bool
}

// throughEgress returns err together with the egress proxy of the request in ctx. If
// the request has none, it returns err itself.
func throughEgress(ctx context.Context, err error) error {
	proxy, ok := caddyhttp.GetVar(ctx, egressVar).(*url.URL)
	if !ok {
		return err
	}
	return &egressError{
		proxy: tokenauth.EgressProxy(proxy), err: err,
		// net/http gives a proxy a minute, and then returns the bare error of its own
		// context.
		connectTimedOut: err == context.DeadlineExceeded && ctx.Err() == nil, //nolint:errorlint // others only look like it
	}
}

// Error implements error.
func (e *egressError) Error() string {
	return "through the egress proxy " + e.proxy + ": " + e.err.Error()
}

// Unwrap returns the error of the call.
func (e *egressError) Unwrap() error { return e.err }

// Timeout implements net.Error. Caddy chooses the status by it.
func (e *egressError) Timeout() bool {
	netErr, ok := errors.AsType[net.Error](e.err)
	return ok && netErr.Timeout()
}

// Temporary implements net.Error.
func (e *egressError) Temporary() bool { return e.Timeout() }
