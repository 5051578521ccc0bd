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

// These requests have addresses that a test on loopback cannot produce.
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
		{"loopback mapped to IPv6 as host", "127.0.0.1:1", tcp("127.0.0.1"), "[::ffff:127.0.0.1]:8080", true},
		{"port that is not a number", "127.0.0.1:1", tcp("127.0.0.1"), "localhost:http", false},
		{"port with a sign", "127.0.0.1:1", tcp("127.0.0.1"), "localhost:+80", false},
		{"port that is too large", "127.0.0.1:1", tcp("127.0.0.1"), "localhost:65536", false},
		{"empty port", "127.0.0.1:1", tcp("127.0.0.1"), "localhost:", false},
		{"two ports", "127.0.0.1:1", tcp("127.0.0.1"), "localhost:80:80", false},
		{"path after the port", "127.0.0.1:1", tcp("127.0.0.1"), "localhost:80/x", false},
		{"user information", "127.0.0.1:1", tcp("127.0.0.1"), "user@localhost", false},
		{"name before a loopback address", "127.0.0.1:1", tcp("127.0.0.1"), "evil.example@127.0.0.1:8080", false},
		{"several @", "127.0.0.1:1", tcp("127.0.0.1"), "a@b@localhost", false},
		{"bracket that does not close", "127.0.0.1:1", tcp("127.0.0.1"), "[::1", false},
		{"bracket that does not open", "127.0.0.1:1", tcp("127.0.0.1"), "::1]", false},
		{"no brackets", "127.0.0.1:1", tcp("127.0.0.1"), "::1", false},
		{"two brackets", "127.0.0.1:1", tcp("127.0.0.1"), "[[::1]]", false},
		{"IPv4 in brackets", "127.0.0.1:1", tcp("127.0.0.1"), "[127.0.0.1]:8080", false},
		{"name in brackets", "127.0.0.1:1", tcp("127.0.0.1"), "[localhost]", false},
		{"text after the bracket", "127.0.0.1:1", tcp("127.0.0.1"), "[::1]evil.example:80", false},
		{"digits after the bracket", "127.0.0.1:1", tcp("127.0.0.1"), "[::1]8080", false},
		{"empty port after the bracket", "127.0.0.1:1", tcp("127.0.0.1"), "[::1]:", false},
		{"zone", "127.0.0.1:1", tcp("127.0.0.1"), "[::1%25lo]:80", false},
		{"percent-encoded", "127.0.0.1:1", tcp("127.0.0.1"), "%6cocalhost", false},
		{"letters that look alike", "127.0.0.1:1", tcp("127.0.0.1"), "localho\u017ft", false},
		{"blank", "127.0.0.1:1", tcp("127.0.0.1"), " localhost", false},
		{"list", "127.0.0.1:1", tcp("127.0.0.1"), "localhost,evil.example", false},
		{"only a port", "127.0.0.1:1", tcp("127.0.0.1"), ":8080", false},
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

// A request in absolute form may have user information in its target. Go's server does
// not put it into Host.
func TestAdmitLocalByTarget(t *testing.T) {
	for target, admit := range map[string]bool{"http://localhost/v1/signdoc/pades": true, "http://evil.example@localhost/v1/signdoc/pades": false} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.RemoteAddr = "127.0.0.1:1"
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		if refusal := admitLocal(r); (refusal == nil) != admit {
			t.Errorf("%s: refusal is %+v, want admitted: %t", target, refusal, admit)
		}
	}
}

// These are the fields that the listed proxies add, in their own spelling, and the
// fields of programs that call directly.
func TestAdmitLocalByForwardingField(t *testing.T) {
	admitted := func(name string) bool {
		r := httptest.NewRequest(http.MethodGet, "/v1/signdoc/pades", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
		r.Header.Set(name, "")
		return admitLocal(r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))) == nil
	}
	for _, name := range []string{
		"Forwarded", "Forwarded-For", "Via", "CDN-Loop", "Client-Cert", "Client-Cert-Chain",
		"X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Client-Cert", "X-Forward-For",
		"X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "Client-IP", "WL-Proxy-Client-IP", "Proxy-Client-IP", "X-ProxyUser-IP",
		"X-Original-Forwarded-For", "X-Original-URL", "X-Original-Host", "X-Rewrite-URL", "X-Scheme", "Front-End-Https",
		"CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Ray", "CF-Visitor", "CF-Warp-Tag-ID", "Fastly-Client-IP", "Fastly-FF", "Fly-Client-IP", "Fly-Forwarded-Port",
		"X-Akamai-Edgescape", "Akamai-Origin-Hop", "X-Azure-ClientIP", "X-Azure-SocketIP", "X-Azure-FDID", "X-FD-HealthProbe", "X-Appgw-Trace-Id",
		"X-ARR-SSL", "X-ARR-LOG-ID", "X-ARR-ClientCert", "X-Amz-Cf-Id", "CloudFront-Viewer-Address", "X-Amzn-Mtls-Clientcert", "X-Amzn-Oidc-Data", "X-Amzn-Tls-Version",
		"X-Envoy-External-Address", "X-Envoy-Internal", "X-Envoy-Original-Path", "X-Appengine-User-IP", "Tailscale-User-Login", "Tailscale-Funnel-Request",
		"Ngrok-Auth-User-Email", "DO-Connecting-IP", "Incap-Client-IP", "X-Sucuri-ClientIP", "X-Vercel-Forwarded-For", "X-Nf-Client-Connection-Ip", "X-Varnish", "X-NginX-Proxy",
		// Some servers spell them like this.
		"X_Forwarded_For", "x_real_ip",
	} {
		if admitted(name) {
			t.Errorf("%s: admitted", name)
		}
	}
	for _, name := range []string{
		"Accept", "User-Agent", "Content-Type", "Authorization", "X-Request-Id", "X-Correlation-Id", "Traceparent", "Tracestate", "Baggage",
		"X-B3-Traceid", "X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "Uber-Trace-Id", "X-Requested-With", "Forward", "X-Client-Version", "Cfg",
	} {
		if !admitted(name) {
			t.Errorf("%s: refused", name)
		}
	}
}

// A page can call only an origin with its own scheme, host and port.
func TestCrossOriginByOrigin(t *testing.T) {
	for _, test := range []struct {
		origin, host string
		secure, same bool
	}{
		{"http://localhost:8080", "localhost:8080", false, true},
		{"https://esign.internal", "esign.internal", true, true},
		{"https://esign.internal", "ESIGN.internal", true, true},
		{"http://esign.internal", "esign.internal", true, false},
		{"https://esign.internal", "esign.internal", false, false},
		{"ws://esign.internal", "esign.internal", false, false},
		{"esign.internal", "esign.internal", false, false},
		{"//esign.internal", "esign.internal", false, false},
		{"http://esign.internal:8080", "esign.internal", false, false},
		{"http://user@esign.internal", "esign.internal", false, false},
		{"http://esign.internal/path", "esign.internal", false, false},
		{"http://esign.internal http://evil.example", "esign.internal", false, false},
		{"http://user@esign.internal", "user@esign.internal", false, false},
		{"http://", "", false, false},
		{"", "esign.internal", false, false},
		{"null", "null", false, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/signdoc/pades", nil)
		r.Host = test.host
		r.Header.Set("Origin", test.origin)
		if test.secure {
			r.TLS = new(tls.ConnectionState)
		}
		if crossOrigin(r) == test.same {
			t.Errorf("Origin %q, Host %q, TLS %t: cross-origin is %t", test.origin, test.host, test.secure, test.same)
		}
	}
}

// In TLS early data, a client certificate does not count yet. The caller is told to try
// again after the handshake, not that it is refused.
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
		h := &Handler{Callers: callers, identities: new(identities)}
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

// A user counts only if a handler has set it. A value that is computed when it is read,
// or that comes from the variables, does not count.
func TestAuthenticatedUser(t *testing.T) {
	const key = "http.auth.user.id"
	mapped := func(value string) func(*caddy.Replacer) {
		return func(repl *caddy.Replacer) {
			repl.Map(func(name string) (any, bool) { return value, name == key })
		}
	}
	set := func(value any) func(*caddy.Replacer) {
		return func(repl *caddy.Replacer) { repl.Set(key, value) }
	}
	for _, test := range []struct {
		name string
		vars map[string]any
		do   []func(*caddy.Replacer)
		want string
	}{
		{"nobody", nil, nil, ""},
		{"a user", nil, []func(*caddy.Replacer){set("app")}, "app"},
		{"an empty one", nil, []func(*caddy.Replacer){set("")}, ""},
		{"nil", nil, []func(*caddy.Replacer){set(nil)}, ""},
		{"mapped", nil, []func(*caddy.Replacer){mapped("app")}, ""},
		{"set and mapped", nil, []func(*caddy.Replacer){set("app"), mapped("other")}, ""},
		{"set and mapped to the same", nil, []func(*caddy.Replacer){set("app"), mapped("app")}, ""},
		{"mapped to nothing", nil, []func(*caddy.Replacer){set("app"), mapped("")}, ""},
		{"by vars", map[string]any{key: "app"}, []func(*caddy.Replacer){set("app")}, ""},
		{"by vars with null", map[string]any{key: nil}, []func(*caddy.Replacer){set("app")}, ""},
		{"other variables", map[string]any{"user": "x"}, []func(*caddy.Replacer){set("app")}, "app"},
	} {
		repl := caddy.NewReplacer()
		for _, do := range test.do {
			do(repl)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl)
		r = r.WithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, test.vars))
		before, _ := repl.GetString(key)
		for range 2 { // the second look has the same result
			if got := authenticatedUser(r); got != test.want {
				t.Errorf("%s: it is %q, want %q", test.name, got, test.want)
			}
		}
		if after, _ := repl.GetString(key); after != before {
			t.Errorf("%s: the placeholder has become %q", test.name, after)
		}
	}
}
