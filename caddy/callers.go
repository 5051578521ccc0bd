package caddyesign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Who may call.
const (
	callersAuthenticated = "authenticated"
	callersLocal         = "local"
	callersAny           = "any"
)

// checkCallers reports an error if callers is given and unknown.
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

// admit returns why r may not be made, nil if it may.
func (h *Handler) admit(r *http.Request) *refusal {
	if crossOrigin(r) {
		return &refusal{
			"requests that a browser makes for another site are refused",
			"call the gateway from a server; it is not for browsers",
		}
	}
	switch h.Callers {
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

// admitLocal admits programs on this machine that call directly.
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
	// A name that resolves to a loopback address lets a website in its browser
	// call as if it were on this machine.
	host, ok := hostname(r.Host)
	if !ok || r.URL.User != nil { // an absolute URI may have more than a host, too
		return &refusal{"the Host of the request is not well formed", advice}
	}
	if !tokenauth.IsLoopback(host) {
		return &refusal{"the Host of the request is not a loopback address", advice}
	}
	return nil
}

// isLocal reports whether addr, a host and port, is of this machine. Peers on a
// unix socket have the address "@", or none.
func isLocal(addr string) bool {
	if addr == "@" || addr == "" {
		return true
	}
	peer, err := netip.ParseAddrPort(addr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// isLocalAddr reports whether addr can be reached on this machine only.
func isLocalAddr(addr net.Addr) bool {
	if tcp, ok := addr.(*net.TCPAddr); ok { // most are, and need no text
		return tcp.IP.IsLoopback()
	}
	return strings.HasPrefix(addr.Network(), "unix") || isLocal(addr.String())
}

// hasVerifiedCertificate reports whether the caller has shown a client
// certificate that the server has verified. In early data, it has not yet.
func hasVerifiedCertificate(r *http.Request) bool {
	return r.TLS != nil && r.TLS.HandshakeComplete && len(r.TLS.VerifiedChains) > 0
}

// callerIdentity returns who makes r, as far as that can be told: by an
// authentication handler, by a verified client certificate, or by being a
// program on this machine. It returns "" if it cannot.
func (h *Handler) callerIdentity(r *http.Request) string {
	if id := authenticatedUser(r); id != "" {
		return "user:" + id
	}
	if hasVerifiedCertificate(r) {
		// A renewed certificate for the same key is of the same caller.
		key := sha256.Sum256(r.TLS.VerifiedChains[0][0].RawSubjectPublicKeyInfo)
		return "key:" + hex.EncodeToString(key[:])
	}
	if h.Callers == callersLocal {
		return callersLocal
	}
	return ""
}

// checkOwnBearer returns an error if the Authorization of a call that passes it
// on may be what the gateway itself has authenticated the caller by. Handlers do
// not say what they looked at, so any that has set a user counts.
func checkOwnBearer(call *tokenauth.Call, r *http.Request) *gatewayError {
	if call.Kind != tokenauth.Pass || len(r.Header["Authorization"]) == 0 || namedUser(r) == "" {
		return nil
	}
	return &gatewayError{
		status: http.StatusForbidden, kind: requestDenied,
		message: "this call carries a CSC service token in Authorization, so its caller cannot be authenticated by that field too; use a client certificate",
	}
}

// crossOrigin reports whether r was made by a browser for another site, by what
// browsers say of their requests. It is stricter than
// net/http.CrossOriginProtection, which lets all GET requests pass: here they
// are answered with documents. And it compares the scheme, too: the page of a host may
// come from whoever is on the network if it is plain http.
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
