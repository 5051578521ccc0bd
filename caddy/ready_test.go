package caddyesign_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// readySite is a site that says whether it is ready. CLIENTS stands for the names of
// the clients.
const readySite = `@ready bankid_esign_ready CLIENTS
handle /readyz {
	respond @ready 200
	respond 503
}
handle {
	` + localSite + `
}`

func TestReadyFollowsTheTokens(t *testing.T) {
	f := newFixture(t)
	fail := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	f.issuer.HandleToken(fail)
	f.start(strings.Replace(readySite, "CLIENTS", "", 1))
	f.do("GET", "/readyz", "").is(503)
	f.issuer.HandleToken(nil)
	// No call is needed: the readiness check is enough.
	eventually(t, func() bool { return f.do("GET", "/readyz", "").StatusCode == 200 })
	if calls := f.upstream.seen(); len(calls) != 0 {
		t.Errorf("upstream saw %d calls", len(calls))
	}
	n := len(f.issuer.TokenRequests())
	f.start(strings.Replace(readySite, "CLIENTS", "default", 1))
	f.do("GET", "/readyz", "").is(200) // this holds after a reload
	if got := len(f.issuer.TokenRequests()); got != n {
		t.Errorf("%d token requests for a reload", got-n)
	}
	// A usable token is enough while its renewal fails.
	f.issuer.HandleToken(fail)
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	f.do("GET", path, "").is(401)
	if got := len(f.issuer.TokenRequests()); got == n {
		t.Error("no renewal has failed")
	}
	f.do("GET", "/readyz", "").is(200)
}

func TestReadyIsNotUntilTheFirstTokenIsThere(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokenauthtest.WriteToken(w, "token", 300)
	})
	f.start(strings.Replace(readySite, "CLIENTS", "", 1))
	f.do("GET", "/readyz", "").is(503)
	f.do("HEAD", "/readyz", "").is(503)
	close(release)
	eventually(t, func() bool { return f.do("GET", "/readyz", "").StatusCode == 200 })
}

func TestReadyOfSomeClients(t *testing.T) {
	f := newFixture(t)
	f.app = `client second {
		client_id second-client
		client_secret {file.` + f.secret + `}
	}
	client idle {
		client_id idle-client
		client_secret {file.` + f.secret + `}
	}`
	f.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user == "second-client" {
			tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
			return
		}
		tokenauthtest.WriteToken(w, "token", 300)
	})
	f.start(`@all bankid_esign_ready
	@default bankid_esign_ready default
	@second bankid_esign_ready second
	@both bankid_esign_ready default second
	@idle bankid_esign_ready default idle
	handle /all {
		respond @all 200
		respond 503
	}
	handle /default {
		respond @default 200
		respond 503
	}
	handle /second {
		respond @second 200
		respond 503
	}
	handle /both {
		respond @both 200
		respond 503
	}
	handle /idle {
		respond @idle 200
		respond 503
	}
	bankid_esign /csc/* csc {
		callers local
		upstream csc ` + f.upstream.URL + `
	}
	bankid_esign signdoc {
		callers local
		client second
		upstream signdoc ` + f.upstream.URL + `
	}`)
	eventually(t, func() bool { return f.do("GET", "/default", "").StatusCode == 200 })
	for _, path := range []string{"/all", "/second", "/both", "/idle"} {
		f.do("GET", path, "").is(503)
	}
}

func TestReadyIsRefused(t *testing.T) {
	f := newFixture(t)
	if err := caddy.Load(adapt(t, f.caddyfile("@ready bankid_esign_ready nobody\nrespond @ready 200\n"+localSite)), true); err == nil || !strings.Contains(err.Error(), "no client 'nobody' is configured") {
		t.Errorf("the error is %v", err)
	}
	if err := caddy.Load(adapt(t, "{\nadmin off\n}\n"+f.site+" {\n@ready bankid_esign_ready\nrespond @ready 200\n}"), true); err == nil || !strings.Contains(err.Error(), "the bankid_esign app is not configured") {
		t.Errorf("the error is %v", err)
	}
}
