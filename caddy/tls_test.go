package caddyesign_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// Both sides use TLS, as in production: the configuration trusts the certificates of an
// issuer and of an HTTP/2 upstream. Without that trust, calls fail.
func TestTLSTowardsIssuerAndUpstream(t *testing.T) {
	f := newFixture(t)
	f.issuer.Close()
	f.issuer = tokenauthtest.NewTLSServer()
	t.Cleanup(f.issuer.Close)
	secure := httptest.NewUnstartedServer(f.upstream)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	f.upstream.Server.Close()
	f.upstream.Server = secure

	issuerCA, upstreamCA := filepath.Join(f.dir, "issuer.pem"), filepath.Join(f.dir, "upstream.pem")
	for file, der := range map[string][]byte{issuerCA: f.issuer.Certificate().Raw, upstreamCA: secure.Certificate().Raw} {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusting := strings.Replace(localSite, "UPSTREAM", "UPSTREAM\ntransport http {\ntls_trust_pool file "+upstreamCA+"\n}", 1)

	f.start(trusting)
	f.do("GET", path, "").is(503).byGateway("destination_unavailable")
	f.app = "tls {\ntrust_pool file " + issuerCA + "\n}"
	f.start(localSite)
	f.do("GET", path, "").is(502).byGateway("tls_certificate_error")
	if calls := f.upstream.seen(); len(calls) != 0 {
		t.Fatal("an upstream that is not trusted saw a call")
	}
	f.start(trusting)
	f.do("GET", path, "").is(200)
	f.do("POST", "/v1/signdoc/convert", "{}").is(200)
	f.do("DELETE", path, "").is(200)
	for _, call := range f.upstream.seen() {
		if call.ProtoMajor != 2 || !strings.HasPrefix(call.Header.Get("Authorization"), "Bearer token-") {
			t.Errorf("%s %s came by %s with Authorization %q", call.Method, call.URL, call.Proto, call.Header.Get("Authorization"))
		}
		if call.ContentLength > 0 != (call.Method == http.MethodPost) {
			t.Errorf("%s has a length of %d", call.Method, call.ContentLength)
		}
	}
}
