//go:build !race

// Caddy starts its apps in no particular order. If TLS starts after HTTP, the race
// detector sees no synchronization between that and a handshake over UDP.

package caddyesign_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// TestEveryVersionOfHTTP tests the other versions.
func TestHTTP3(t *testing.T) {
	f, _, config := newProtocols(t)
	transport := &http3.Transport{TLSClientConfig: config}
	t.Cleanup(func() { transport.Close() })
	f.checkAdmission(t, transport, f.url, 3)
}

// A call over HTTP/3 in early data has not proven who its caller is. Somebody else may
// have recorded it and sent it again.
// A response that the API sends without a length has none over HTTP/3 either.
func TestNoContentLengthIsInventedOverHTTP3(t *testing.T) {
	f, _, config := newProtocols(t)
	transport := &http3.Transport{TLSClientConfig: config}
	defer transport.Close()
	for _, status := range []int{200, 204, 304} {
		f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_ = http.NewResponseController(w).Flush()
			if status == 200 {
				_, _ = io.WriteString(w, "text")
			}
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if length, ok := res.Header["Content-Length"]; ok || err != nil || (string(body) == "text") != (status == 200) || res.StatusCode != status {
			t.Errorf("%d: Content-Length is %q, body %q, %v", status, length, body, err)
		}
	}
}

func TestEarlyDataOfHTTP3(t *testing.T) {
	f, _, config := newProtocols(t)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	call := func(method, target string) int {
		transport := &http3.Transport{TLSClientConfig: config}
		defer transport.Close()
		req, err := http.NewRequestWithContext(t.Context(), method, f.url+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if status := call(http.MethodGet, path); status != 200 { // this leaves a session ticket
		t.Fatalf("status is %d", status)
	}
	f.upstream.seen()
	if status := call(http3.MethodGet0RTT, path); status != 200 {
		t.Errorf("status of a safe call is %d", status)
	}
	if calls := f.upstream.seen(); len(calls) != 1 {
		t.Errorf("the upstream saw %d calls, want 1", len(calls))
	}
	// The status is 425 in early data, and 403 after it.
	if status := call(http3.MethodGet0RTT, "/v1/timestamp/pades/lta"); status != 425 && status != 403 {
		t.Errorf("status of a caller that is not authenticated is %d", status)
	}
	if calls := f.upstream.seen(); len(calls) != 0 {
		t.Errorf("the upstream saw %d calls", len(calls))
	}
}
