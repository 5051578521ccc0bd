package caddyesign

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Requests from and to addresses that a test on loopback cannot have.
func TestAdmitLocalByAddress(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8080} }
	for _, test := range []struct {
		name   string
		remote string
		local  net.Addr
		host   string
		admit  bool
	}{
		{"loopback", "127.0.0.1:1", tcp("127.0.0.1"), "localhost:8080", true},
		{"IPv6 loopback", "[::1]:1", tcp("::1"), "[::1]:8080", true},
		{"loopback mapped to IPv6", "[::ffff:127.0.0.1]:1", tcp("127.0.0.1"), "LOCALHOST", true},
		{"loopback by HTTP/3", "127.0.0.1:1", &net.UDPAddr{IP: net.ParseIP("127.0.0.1")}, "localhost:8080", true},
		{"host without a port", "127.0.0.1:1", tcp("127.0.0.1"), "[::1]", true},
		{"unix socket", "@", &net.UnixAddr{Net: "unix", Name: "/run/x"}, "localhost", true},
		{"other peer", "192.0.2.1:1", tcp("127.0.0.1"), "localhost:8080", false},
		{"other local address", "127.0.0.1:1", tcp("192.0.2.1"), "localhost:8080", false},
		{"other local address by HTTP/3", "127.0.0.1:1", &net.UDPAddr{IP: net.ParseIP("192.0.2.1")}, "localhost:8080", false},
		{"no local address", "127.0.0.1:1", nil, "localhost:8080", false},
		{"other host", "127.0.0.1:1", tcp("127.0.0.1"), "gateway.example", false},
		{"no host", "127.0.0.1:1", tcp("127.0.0.1"), "", false},
		{"peer that is a name", "localhost:1", tcp("127.0.0.1"), "localhost", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/signdoc/pades", nil)
			r.RemoteAddr, r.Host = test.remote, test.host
			if test.local != nil {
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, test.local))
			}
			if refusal := admitLocal(r); (refusal == nil) != test.admit {
				t.Errorf("refusal is %+v, want admitted: %t", refusal, test.admit)
			}
		})
	}
}

// In early data, a client certificate does not count yet: the caller is told to
// come back after the handshake, not that it may not call.
func TestCertificateInEarlyDataIsTooEarly(t *testing.T) {
	h := &Handler{logger: zap.NewNop(), name: defaultProxyName}
	r := httptest.NewRequest(http.MethodGet, "/v1/signdoc/pades", nil)
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{new(x509.Certificate)}}}
	err := h.ServeHTTP(httptest.NewRecorder(), r, nil)
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); !ok || handlerErr.StatusCode != http.StatusTooEarly {
		t.Errorf("error is %v, want one with status 425", err)
	}
}

func TestCallerIdentity(t *testing.T) {
	certificate := func(key string) *tls.ConnectionState {
		return &tls.ConnectionState{HandshakeComplete: true, VerifiedChains: [][]*x509.Certificate{{{RawSubjectPublicKeyInfo: []byte(key)}}}}
	}
	unverified := certificate("a")
	unverified.VerifiedChains = nil
	early := certificate("a")
	early.HandshakeComplete = false
	identity := func(callers, user string, state *tls.ConnectionState) string {
		r := httptest.NewRequest("DELETE", "/v1/signdoc/pades", nil)
		r.TLS = state
		repl := caddy.NewReplacer()
		if user != "" {
			repl.Set("http.auth.user.id", user)
		}
		h := &Handler{Callers: callers}
		return h.callerIdentity(r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl)))
	}
	seen := make(map[string]bool)
	for _, id := range []string{
		identity("", "alice", nil), identity("", "bob", nil), identity(callersLocal, "", nil),
		identity("", "", certificate("a")), identity("", "", certificate("b")),
		identity("", callersLocal, nil), identity(callersAny, "", nil),
	} {
		if seen[id] {
			t.Errorf("two callers are %q", id)
		}
		seen[id] = true
	}
	if !seen[""] || identity("", "", unverified) != "" || identity("", "", early) != "" {
		t.Error("a caller that cannot be told has an identity")
	}
	for _, callers := range []string{callersAuthenticated, callersLocal, callersAny} {
		if identity(callers, "alice", certificate("b")) != identity("", "alice", certificate("a")) {
			t.Errorf("callers %s: the same user is two", callers)
		}
	}
}
