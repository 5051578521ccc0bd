package caddyesign_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// If a token lacks a scope, the check, the status, the log, the admin API and the
// matcher all say the same about it.
func TestOneTruthAboutScopesThatWereNotGranted(t *testing.T) {
	for name, test := range map[string]struct {
		granted any // the scope in the token response
		full    bool
	}{
		"all":         {"esign esign/nnin", true},
		"does it say": {nil, true},
		"one":         {"esign", false},
		"none":        {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": plantedToken, "token_type": "bearer", "expires_in": 300, "scope": test.granted})
			})
			site := strings.NewReplacer("CLIENTS", "", "signdoc csc timestamp {", "signdoc {\nscope esign/nnin", "UPSTREAM", "upstream signdoc "+f.upstream.URL).Replace(readySite)
			a := f.startAdmin(site)
			token := a.client("default", "fresh").Tokens[0]
			status, exit, ready := run(t, "status", "--address", a.address), 0, 200
			if !test.full {
				exit, ready = 1, 503
				status.prints("FAIL esign esign/nnin fresh, granted without esign", "hint the client has not been given these scopes", "not every access token has all scopes that were asked for")
			}
			status.exits(exit)
			run(t, "check", "--config", f.writeConfig(site)).exits(exit)
			f.do("GET", "/readyz", "").is(ready)
			if got := len(token.Missing) == 0; got != test.full {
				t.Errorf("the admin API says that %v are missing", token.Missing)
			}
			const warning = "granted without some of the scopes"
			if !test.full {
				eventually(t, func() bool { return strings.Contains(f.logged(), warning) })
			} else if strings.Contains(f.logged(), warning) {
				t.Error("the log warns")
			}
		})
	}
}
