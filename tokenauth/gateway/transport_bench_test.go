package gateway_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// noop answers every request without looking at it.
var noop = roundTripFunc(func(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return noopResponse, nil
})

var noopResponse = &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{"Content-Type": {"application/json"}}}

// newBenchTransport returns a transport over noop, whose source has a token, and a request to
// send.
func newBenchTransport(tb testing.TB, source *tokenauth.Source) (*gateway.Transport, *http.Request) {
	tb.Helper()
	origin, err := url.Parse("https://api.example")
	if err != nil {
		tb.Fatal(err)
	}
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, origin.String()+"/v1/signdoc/pades?sign_id=1", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"bench"}, "X-Forwarded-For": {"127.0.0.1"}, "Via": {"1.1 Caddy"}}
	return &gateway.Transport{
		Base: noop,
		Table: gateway.NewTable(
			gateway.Call{Group: "api", Method: http.MethodGet, Path: "/v1/signdoc/pades", Kind: gateway.Bearer, Retry: gateway.Safe},
			gateway.Call{Group: "api", Method: http.MethodPost, Path: "/v1/signdoc/pades", Kind: gateway.Bearer, Retry: gateway.Rejected},
		),
		Sources:       map[string]*tokenauth.Source{"api": source},
		Origin:        origin,
		RequestBuffer: 1 << 20,
	}, r
}

// BenchmarkTransport measures the cost of a call with its authorization. Beside that, it
// sends the call without authorization, which costs nothing here.
func BenchmarkTransport(b *testing.B) {
	transport, get := newBenchTransport(b, newTestSource(b, tokenauthtest.NewServer()))
	for _, bench := range []struct {
		name string
		base http.RoundTripper
		body string
	}{{"noop", noop, ""}, {"bearer", transport, ""}, {"noop-post", noop, "{}"}, {"bearer-post", transport, "{}"}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := get
				if bench.body != "" {
					r = new(http.Request)
					*r = *get
					r.Method, r.ContentLength = http.MethodPost, int64(len(bench.body))
					r.Body = io.NopCloser(strings.NewReader(bench.body))
				}
				if _, err := bench.base.RoundTrip(r); err != nil { //nolint:bodyclose // there is none
					b.Fatal(err)
				}
			}
		})
	}
}

func TestBearerAllocations(t *testing.T) {
	source := newTestSource(t, tokenauthtest.NewServer())
	transport, r := newBenchTransport(t, source)
	getToken(t, source)
	transport.Limits = gateway.Limits{Connect: time.Minute, Write: time.Minute, Header: time.Minute, Read: time.Minute}
	// The copy of the request, its header in two parts, and the value of one field need 4.
	// The attempt, its context with cancel, and the context with its trace need 9.
	const want = 13
	if allocs := testing.AllocsPerRun(1000, func() {
		if _, err := transport.RoundTrip(r); err != nil { //nolint:bodyclose // there is none
			t.Error(err)
		}
	}); allocs > want {
		t.Errorf("%v allocations, want at most %v", allocs, want)
	}
}
