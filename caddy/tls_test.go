package caddyesign_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// A connection to the issuer that died silently is closed. Later attempts do not use it
// again.
func TestF40DeadConnectionToTheIssuer(t *testing.T) {
	f := newFixture(t)
	f.issuer.Close()
	f.issuer = tokenauthtest.NewTLSServer()
	t.Cleanup(f.issuer.Close)
	frozen := newFreezer(t, f.issuer.Address())
	f.issuer.MoveTo("https://" + frozen.Addr().String())
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, "once", 0) })
	ca := filepath.Join(f.dir, "issuer.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.issuer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	f.app = "timeout 1s\ntls {\ntrust_pool file " + ca + "\n}"
	f.start(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	f.do("GET", path, "").is(200)
	frozen.freeze()
	f.do("GET", path, "").is(504)
	eventually(t, func() bool { return f.do("GET", path, "").StatusCode == 200 })
}

// A freezer forwards connections. It can stop forwarding on its present connections, as
// a firewall that has forgotten them.
type freezer struct {
	net.Listener
	mu     sync.Mutex
	frozen chan struct{}
}

// newFreezer starts a freezer before target.
func newFreezer(t *testing.T, target string) *freezer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &freezer{Listener: ln, frozen: make(chan struct{})}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			onward, err := net.Dial("tcp", target)
			if err != nil {
				conn.Close()
				continue
			}
			context.AfterFunc(t.Context(), func() {
				conn.Close()
				onward.Close()
			})
			f.mu.Lock()
			frozen := f.frozen
			f.mu.Unlock()
			for from, to := range map[net.Conn]net.Conn{conn: onward, onward: conn} {
				wg.Go(func() { forward(to, from, frozen) })
			}
		}
	})
	return f
}

// freeze stops forwarding on all present connections.
func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.frozen)
	f.frozen = make(chan struct{})
}

// forward copies from one connection to another until it is frozen. Then it reads and
// discards.
func forward(to, from net.Conn, frozen chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-frozen:
		default:
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}
