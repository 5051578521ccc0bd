package caddyesign_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// An API's host may respond to an upload over HTTP/2 before it has read it. Then net/http
// closes the body in one goroutine while another goroutine reads it.
func TestEarlyResponseOverHTTP2HasNoDataRace(t *testing.T) {
	f := newFixture(t)
	cert, trusted, _ := newCertificate(t, time.Now().Add(time.Hour))
	f.upstream.Server.Close()
	f.upstream.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	f.upstream.Server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	f.upstream.EnableHTTP2 = true
	f.upstream.StartTLS()
	t.Cleanup(f.upstream.Server.Close)
	trust := "tls_trust_pool file " + trusted
	for _, site := range []string{gatewayTo(f.upstream.URL, "transport http {\n"+trust+"\n}", ""), ownProxy(f.upstream.URL, "", trust)} {
		f.start(site)
		body := strings.Repeat("x", 4<<20)
		for range 20 {
			response := f.do("POST", "/v1/signdoc/pades", body).is(413)
			if status := response.Header.Get("Proxy-Status"); status != "" {
				t.Errorf("Proxy-Status is %q, of BankID's response", status)
			}
		}
	}
}
