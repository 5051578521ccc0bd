package caddyesign_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// oneAPI is a site with one API, and so with one token.
const oneAPI = `bankid_esign signdoc {
	callers local
	upstream signdoc UPSTREAM_URL
}`

func TestF32ReloadsKeepTheToken(t *testing.T) {
	f := newFixture(t)
	site := strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1)
	f.start(site)
	f.do("GET", path, "").is(200)
	for range 50 {
		f.start(site)
		f.do("GET", path, "").is(200)
	}
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests over fifty reloads, want 1", n)
	}
	if n := f.issuer.Discoveries(); n != 1 {
		t.Errorf("%d discovery requests over fifty reloads, want 1", n)
	}
}

func TestF21ReloadWithAnotherClientGetsAnotherToken(t *testing.T) {
	f := newFixture(t)
	site := strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1)
	f.start(site)
	f.do("GET", path, "").is(200)
	config := strings.Replace(f.caddyfile(site), "client_id test-client", "client_id other-client", 1)
	f.load(adapt(t, config))
	f.do("GET", path, "").is(200)
	calls := f.upstream.seen()
	if a, b := calls[0].Header.Get("Authorization"), calls[1].Header.Get("Authorization"); a == b {
		t.Errorf("both clients use the token %q", a)
	}
}

func TestFailedReloadHarmsNothing(t *testing.T) {
	f := newFixture(t)
	site := strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1)
	f.start(site)
	f.do("GET", path, "").is(200)
	other := site + "\nreverse_proxy http://127.0.0.1:1 {\ntransport bankid_esign {\napi csc\n}\n}"
	for bad, want := range map[string]string{
		// It fails after the app and a handler have been provisioned.
		string(adapt(t, f.caddyfile(other))): "no upstream is given",
		strings.Replace(string(adapt(t, f.caddyfile(site))), `"callers":"local"`, `"callers":"local","client":"nobody"`, 1): "no client 'nobody'",
	} {
		if err := caddy.Load([]byte(bad), true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("loading a bad configuration: %v, want an error with %q", err, want)
		}
		f.do("GET", path, "").is(200)
	}
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	f.start(site)
	f.do("GET", path, "").is(200)
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests after another reload, want 1", n)
	}
}

func TestCallsDuringReloadsSucceed(t *testing.T) {
	f := newFixture(t)
	site := strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1)
	f.start(site)
	var stop atomic.Bool
	var wg sync.WaitGroup
	var calls, bad atomic.Int32
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				req, _ := http.NewRequestWithContext(t.Context(), "GET", f.url+path, nil)
				transport := &http.Transport{DisableKeepAlives: true}
				res, err := transport.RoundTrip(req)
				if err != nil {
					continue // the kernel gave the connection to a listener that closed
				}
				calls.Add(1)
				if res.StatusCode != 200 {
					bad.Add(1)
				}
				res.Body.Close()
			}
		})
	}
	for range 20 {
		f.start(site)
	}
	eventually(t, func() bool { return calls.Load() > 100 })
	stop.Store(true)
	wg.Wait()
	if bad.Load() != 0 {
		t.Errorf("%d of %d calls failed", bad.Load(), calls.Load())
	}
}

func TestF32NoGoroutineStays(t *testing.T) {
	f := newFixture(t)
	// Goroutines that Caddy starts once in a process must not be counted.
	f.start("respond ok")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	// Nor must the goroutine of its storage, which ends by itself within seconds.
	storage := goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh")
	before := goleak.IgnoreCurrent()
	f.start(localSite)
	f.do("GET", path, "").is(200)
	for range 5 {
		f.start(localSite)
	}
	hang := make(chan struct{})
	defer close(hang)
	f.issuer.HandleToken(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-hang:
		}
	})
	f.app = "timeout 1h" // another source, which is still fetching when everything ends
	f.start(localSite)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	f.issuer.Close()
	f.upstream.CloseClientConnections()
	f.upstream.Close()
	goleak.VerifyNone(t, before, storage)
}

func TestF27LoadingNeedsNoIssuer(t *testing.T) {
	f := newFixture(t)
	f.issuer.Close()
	var cfg caddy.Config
	if err := json.Unmarshal(adapt(t, f.caddyfile(localSite)), &cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&cfg); err != nil {
		t.Errorf("validating: %v", err)
	}
	f.start(localSite)
}

func TestNamedClientsAndScopes(t *testing.T) {
	f := newFixture(t)
	f.app = `client second {
		client_id second-client
		client_secret {file.` + f.secret + `}
		auth_method client_secret_post
	}`
	f.start(`handle /v1/signdoc/* {
		bankid_esign signdoc {
			callers local
			client second
			scope esign/nnin esign/qtsa
			upstream signdoc ` + f.upstream.URL + `
		}
	}
	handle {
		bankid_esign csc {
			callers local
			upstream csc ` + f.upstream.URL + `
		}
	}`)
	f.do("GET", path, "").is(200)
	f.do("POST", "/csc/v2/oauth2/token", "{}").is(200)
	byClient := make(map[string]tokenauthtest.TokenRequest)
	for _, req := range f.issuer.TokenRequests() {
		byClient[req.Username+req.Form.Get("client_id")] = req
	}
	second, first := byClient["second-client"], byClient["test-client"]
	if got := second.Form.Get("scope"); got != "esign esign/nnin esign/qtsa" {
		t.Errorf("scope of the second client is %q", got)
	}
	if second.Form.Get("client_secret") != clientSecret || second.Username != "" {
		t.Errorf("the second client does not authenticate by client_secret_post alone")
	}
	if got := first.Form.Get("scope"); got != "esign/csc" {
		t.Errorf("scope of the default client is %q", got)
	}
	if first.Password == "" || first.Form.Has("client_secret") {
		t.Errorf("the default client does not authenticate by client_secret_basic alone")
	}
}

func TestHandleErrorsSeesOurErrors(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	f.start(localSite + `
	handle_errors {
		respond "{err.status_code} {http.bankid_esign.error} {err.message}" {err.status_code}
	}`)
	if got := string(f.do("GET", path, "").is(503).byGateway("destination_unavailable").body); got != "503 destination_unavailable no access token: BankID OIDC is not available" {
		t.Errorf("the error page says %q", got)
	}
	if got := string(f.do("GET", "/nowhere", "").is(404).body); !strings.HasPrefix(got, "404 http_request_denied ") {
		t.Errorf("the error page says %q", got)
	}
}

func TestTransportInOnesOwnReverseProxy(t *testing.T) {
	f := newFixture(t)
	other := newUpstream(t)
	config := f.caddyfile(`reverse_proxy ` + other.URL + ` {
		transport bankid_esign {
			api signdoc
			upstream ` + f.upstream.URL + `
		}
	}`)
	if err := caddy.Load(adapt(t, config), true); err == nil {
		t.Error("the token could go to another host than its own")
	}
	f.start(`handle {
		reverse_proxy ` + f.upstream.URL + ` {
			header_up X-Operator set
			transport bankid_esign {
				api signdoc timestamp
				upstream ` + f.upstream.URL + `
				response_header_timeout 5s
			}
		}
	}
	handle_errors {
		respond "{err.status_code} {http.bankid_esign.error}" {err.status_code}
	}`)
	f.do("GET", path, "", "Cookie", "a=b", "X-Forwarded-For", "192.0.2.1", "Connection", "Authorization").is(200)
	calls := f.upstream.seen()
	if len(calls) != 1 || !strings.HasPrefix(calls[0].Header.Get("Authorization"), "Bearer token-") {
		t.Fatalf("upstream saw %d calls, want one with a token", len(calls))
	}
	for _, name := range []string{"Cookie", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via"} {
		if value := calls[0].Header[name]; value != nil {
			t.Errorf("%s left: %q", name, value)
		}
	}
	if got := calls[0].Header.Get("X-Operator"); got != "set" {
		t.Errorf("X-Operator is %q", got)
	}
	f.do("POST", "/csc/v2/oauth2/token", "").is(404).byGateway("http_request_denied")
}

// A caller's fault does not count as a failure of the upstream. Otherwise the upstream
// would be taken out of use, or the call would be retried.
func TestOnesOwnReverseProxyIsNotDisturbedByCallers(t *testing.T) {
	f := newFixture(t)
	f.start(`map {header.X-User} {http.auth.user.id} {
		alice user
	}
	reverse_proxy ` + f.upstream.URL + ` {
		fail_duration 1m
		lb_try_duration 1h
		transport bankid_esign {
			api signdoc csc
			upstream ` + f.upstream.URL + `
		}
	}`)
	f.do("GET", path, "").is(200)
	f.do("GET", "/favicon.ico", "").is(404).byGateway("http_request_denied")
	f.do("POST", "/csc/v2/credentials/list", "", "Authorization", "Basic x").is(403).byGateway("http_request_denied")
	// BankID must not see a bearer token that has authenticated the caller to the
	// gateway.
	f.do("POST", "/csc/v2/credentials/list", "", "Authorization", "Bearer own", "X-User", "alice").is(403).byGateway("http_request_denied")
	f.do("GET", path, "").is(200)
	if calls := f.upstream.seen(); len(calls) != 2 {
		t.Errorf("upstream saw %d calls, want 2", len(calls))
	}
}
