package caddyesign

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// These are the values of Handler.Callers.
const (
	callersAuthenticated = "authenticated"
	callersLocal         = "local"
	callersAny           = "any"
)

// checkCallers returns an error if callers is given and unknown.
func checkCallers(callers string) error {
	switch callers {
	case "", callersAuthenticated, callersLocal, callersAny:
		return nil
	}
	return fmt.Errorf("unknown callers '%s': must be %s, %s or %s", callers, callersAuthenticated, callersLocal, callersAny)
}

// refusal says why a caller is not admitted.
type refusal struct {
	message string // for the caller
	advice  string // for the operator
}

// gatewayError returns the error that the caller gets.
func (r *refusal) gatewayError() *gatewayError {
	return &gatewayError{status: http.StatusForbidden, kind: requestDenied, message: r.message}
}

// admit returns why callers, a value of Handler.Callers, does not admit r, or nil if it
// does.
func admit(r *http.Request, callers string) *refusal {
	if crossOrigin(r) {
		return &refusal{
			"requests that a browser makes for another site are refused",
			"call the gateway from a server; it is not for browsers",
		}
	}
	switch callers {
	case callersAny:
		return nil
	case callersLocal:
		return admitLocal(r)
	default:
		if authenticatedUser(r) != "" || hasVerifiedCertificate(r) {
			return nil
		}
		if namedUser(r) != "" {
			return &refusal{
				"the caller is not authenticated",
				"{" + userID + "} has a value that does not count, since 'vars' or 'map' can give it one: leave that out, and let an authentication handler such as basic_auth set it",
			}
		}
		return &refusal{
			"the caller is not authenticated",
			"add an authentication handler such as basic_auth before bankid_esign, or tls client_auth with mode require_and_verify; 'callers local' admits programs on this machine",
		}
	}
}

// admitLocal admits programs on this machine that call without a proxy.
func admitLocal(r *http.Request) *refusal {
	const advice = "'callers local' admits programs on this machine that call the gateway directly by a loopback address; use 'callers authenticated' for others"
	if forwarded(r.Header) {
		return &refusal{"the request comes through a proxy", advice}
	}
	if !isLocal(r.RemoteAddr) {
		return &refusal{"the caller is not on this machine", advice}
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !isLocalAddr(local) {
		return &refusal{"the request did not come in by a loopback address", advice}
	}
	// The Host must be a loopback address too. Otherwise a website whose name resolves
	// to a loopback address could call, from a browser, as a program on this machine.
	host, ok := hostname(r.Host)
	if !ok || r.URL.User != nil { // an absolute URI may contain user information as well
		return &refusal{"the Host of the request is not well formed", advice}
	}
	if !tokenauth.IsLoopback(host) {
		return &refusal{"the Host of the request is not a loopback address", advice}
	}
	return nil
}

// isLocal reports whether addr, a host and port, is on this machine. A peer on a unix
// socket has the address "@" or "".
func isLocal(addr string) bool {
	if addr == "@" || addr == "" {
		return true
	}
	peer, err := netip.ParseAddrPort(addr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// isLocalAddr reports whether addr can be reached only from this machine.
func isLocalAddr(addr net.Addr) bool {
	if tcp, ok := addr.(*net.TCPAddr); ok { // most are TCP; this avoids formatting them as text
		return tcp.IP.IsLoopback()
	}
	return strings.HasPrefix(addr.Network(), "unix") || isLocal(addr.String())
}

// hasVerifiedCertificate reports whether the server has verified a client certificate
// of the caller. In TLS early data it has not done so yet.
func hasVerifiedCertificate(r *http.Request) bool {
	return r.TLS != nil && r.TLS.HandshakeComplete && len(r.TLS.VerifiedChains) > 0
}

// checkOwnBearer returns an error if call passes the caller's Authorization on, and
// that field may be what authenticated the caller to the gateway itself. Handlers do
// not say which field they looked at, so any handler that has set a user counts.
func checkOwnBearer(call *gateway.Call, r *http.Request) *gatewayError {
	if call.Kind != gateway.Pass || len(r.Header["Authorization"]) == 0 || namedUser(r) == "" {
		return nil
	}
	return &gatewayError{
		status: http.StatusForbidden, kind: requestDenied,
		message: "this call carries a CSC service token in Authorization, so its caller cannot be authenticated by that field too; use a client certificate",
	}
}

// crossOrigin reports whether a browser made r for another site, by the header fields
// that browsers send. It is stricter than net/http.CrossOriginProtection. That lets all
// GET requests pass, but here GET responses contain documents. And crossOrigin compares
// the scheme too: anyone on the network can forge a page that is served by plain http.
func crossOrigin(r *http.Request) bool {
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" {
			return true
		}
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return false
	}
	own := "http://"
	if r.TLS != nil {
		own = "https://"
	}
	own += r.Host
	_, ok := hostname(r.Host)
	return !ok || slices.ContainsFunc(origins, func(origin string) bool { return !strings.EqualFold(origin, own) })
}
