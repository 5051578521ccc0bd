package caddyesign_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestF03HungIssuerHurtsNobodyElse(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	defer close(release)
	f.issuer.HandleToken(func(http.ResponseWriter, *http.Request) { <-release })
	other := ports.Address(t)
	f.app = "timeout 300ms"
	f.start(localSite + "\n}\nhttp://" + other + " {\nrespond other")

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", f.url+path, nil)
	transport := &http.Transport{DisableKeepAlives: true}
	if res, err := transport.RoundTrip(req); err == nil {
		res.Body.Close()
		t.Errorf("the status of a call whose deadline passed is %d", res.StatusCode)
	}
	req, _ = http.NewRequestWithContext(t.Context(), "GET", "http://"+other, nil)
	if got := string(roundTrip(t, req).is(200).body); got != "other" {
		t.Errorf("the other site responds with %q", got)
	}
	f.do("POST", "/csc/v2/info", "{}").is(200) // this call needs no token
	f.do("GET", path, "").is(504).byGateway("connection_timeout")
	if n := len(f.upstream.seen()); n != 1 {
		t.Errorf("upstream saw %d calls, want only the call that needs no token", n)
	}
}

func TestF04ColdCallersCauseOneTokenRequest(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokenauthtest.WriteToken(w, "token", 300)
	})
	f.start(`bankid_esign signdoc {
		callers local
		upstream signdoc ` + f.upstream.URL + `
	}`)
	const callers = 1000
	var wg sync.WaitGroup
	var bad atomic.Int32
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	for range callers {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", f.url+path, nil)
			res, err := transport.RoundTrip(req)
			if err != nil || res.StatusCode != 200 {
				bad.Add(1)
			}
			if err == nil {
				res.Body.Close()
			}
		})
	}
	// All calls are at the gateway, or on their way to it, when the issuer responds.
	eventually(t, func() bool { return len(f.issuer.TokenRequests()) > 0 })
	close(release)
	wg.Wait()
	if bad.Load() != 0 {
		t.Errorf("%d of %d calls failed", bad.Load(), callers)
	}
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests were made, want 1", n)
	}
}

func TestF24NoTokenNoCall(t *testing.T) {
	for _, test := range []struct {
		name   string
		token  http.HandlerFunc
		status int
		kind   string
		retry  bool
	}{
		{"busy", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, 503, "destination_unavailable", true},
		{"broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, 503, "destination_unavailable", true},
		{"refused", func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, 401, "unauthorized_client") }, 502, "proxy_configuration_error", false},
		{"scope", func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, 400, "invalid_scope") }, 502, "proxy_configuration_error", false},
		{"200 with an error", func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, 200, "invalid_client") }, 502, "proxy_configuration_error", false},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>login</html>") }, 502, "proxy_internal_error", false},
		{"empty", func(http.ResponseWriter, *http.Request) {}, 502, "proxy_internal_error", false},
		{"2 MB", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"access_token":"t","token_type":"bearer","x":"`+strings.Repeat("x", 2<<20)+`"}`)
		}, 502, "proxy_internal_error", false},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "destination_unavailable", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.issuer.HandleToken(test.token)
			f.start(localSite)
			response := f.do("GET", path, "").is(test.status).byGateway(test.kind)
			if got := response.Header.Get("Retry-After"); (got != "") != test.retry {
				t.Errorf("Retry-After is %q", got)
			}
			// The issuer said 7 seconds. On a slow machine, some have passed already.
			if seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")); test.name == "busy" && (seconds < 3 || seconds > 7) {
				t.Errorf("Retry-After is %q, want the issuer's 7", response.Header.Get("Retry-After"))
			}
			if calls := f.upstream.seen(); len(calls) != 0 {
				t.Error("the call was sent without a token")
			}
		})
	}
}

func TestIssuerThatIsDown(t *testing.T) {
	f := newFixture(t)
	f.issuer.Close()
	f.start(localSite)
	f.do("GET", path, "").is(503).byGateway("destination_unavailable")
	f.do("POST", "/csc/v2/info", "{}").is(200)
}

func TestUnusualLifetimes(t *testing.T) {
	for _, test := range []struct {
		name    string
		expires any
		tokens  int // the number of token requests that three calls cause
	}{
		{"missing", nil, 1},
		{"string", "300", 1},
		{"fraction", 300.5, 1},
		{"zero", 0, 3},
		{"negative", -1, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, "token", test.expires) })
			f.start(`bankid_esign signdoc {
				callers local
				upstream signdoc ` + f.upstream.URL + `
			}`)
			// The token that is fetched at the start is not used if it is not valid for
			// long enough. So it is not counted.
			eventually(t, func() bool { return strings.Contains(f.logged(), "obtained token") })
			before := len(f.issuer.TokenRequests())
			for range 3 {
				f.do("GET", path, "").is(200)
			}
			want := test.tokens
			if want == 1 {
				want = 0
			}
			if got := len(f.issuer.TokenRequests()) - before; got != want {
				t.Errorf("three calls made %d token requests, want %d", got, want)
			}
		})
	}
}
