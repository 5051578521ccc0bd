package tokenauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A site responds according to the path of a request, and records the requests.
type site struct {
	pages map[string]http.HandlerFunc // 404 for others
	asked []string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.EscapedPath())
	if page := s.pages[r.URL.EscapedPath()]; page != nil {
		page(w, r)
		return
	}
	http.NotFound(w, r)
}

// document responds with the configuration of issuer.
func document(issuer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteJSON(w, 200, map[string]any{"issuer": issuer, "token_endpoint": "https://as.test/token"})
	}
}

// Spring Authorization Server 7.1.2 without OpenID Connect has only the document of RFC
// 8414, and redirects unknown paths to its login page.
func TestDiscoveryOfAServerWithoutOpenID(t *testing.T) {
	const (
		openID   = "/tenant/x/.well-known/openid-configuration"
		inserted = "/.well-known/oauth-authorization-server/tenant/x"
		appended = "/tenant/x/.well-known/oauth-authorization-server"
		issuer   = "https://as.test/tenant/x"
	)
	respond := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://as.test/login")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for name, test := range map[string]struct {
		issuer string
		pages  map[string]http.HandlerFunc
		asked  []string
		status int // of the error; 0 if there is none
		cause  tokenauth.Cause
	}{
		"OpenID":             {pages: map[string]http.HandlerFunc{openID: document(issuer), inserted: document(issuer)}, asked: []string{openID}},
		"inserted":           {pages: map[string]http.HandlerFunc{inserted: document(issuer)}, asked: []string{openID, inserted}},
		"appended":           {pages: map[string]http.HandlerFunc{appended: document(issuer)}, asked: []string{openID, inserted, appended}},
		"redirect to login":  {pages: map[string]http.HandlerFunc{openID: respond(302, ""), inserted: document(issuer)}, asked: []string{openID, inserted}},
		"login page":         {pages: map[string]http.HandlerFunc{openID: respond(200, "<html>"), inserted: respond(200, "<html>"), appended: document(issuer)}, asked: []string{openID, inserted, appended}},
		"for users only":     {pages: map[string]http.HandlerFunc{openID: respond(401, ""), inserted: respond(403, "{}"), appended: document(issuer)}, asked: []string{openID, inserted, appended}},
		"404 in JSON":        {pages: map[string]http.HandlerFunc{openID: respond(404, `{"error":"not found"}`), inserted: document(issuer)}, asked: []string{openID, inserted}},
		"nowhere":            {asked: []string{openID, inserted, appended}, status: 404, cause: tokenauth.CauseUnusable},
		"nowhere but login":  {pages: map[string]http.HandlerFunc{openID: respond(302, ""), inserted: respond(302, ""), appended: respond(302, "")}, asked: []string{openID, inserted, appended}, status: 302, cause: tokenauth.CauseUnusable},
		"trouble":            {pages: map[string]http.HandlerFunc{openID: respond(503, ""), inserted: document(issuer)}, asked: []string{openID}, status: 503, cause: tokenauth.CauseUnavailable},
		"trouble behind":     {pages: map[string]http.HandlerFunc{inserted: respond(503, "")}, asked: []string{openID, inserted}, status: 503, cause: tokenauth.CauseUnavailable},
		"another issuer's":   {pages: map[string]http.HandlerFunc{inserted: document("https://as.test"), appended: document(issuer)}, asked: []string{openID, inserted}, status: 200, cause: tokenauth.CauseUnusable},
		"OpenID of another":  {pages: map[string]http.HandlerFunc{openID: document("https://as.test"), inserted: document(issuer)}, asked: []string{openID}, status: 200, cause: tokenauth.CauseUnusable},
		"without a path":     {issuer: "https://as.test", pages: map[string]http.HandlerFunc{"/.well-known/oauth-authorization-server": document("https://as.test")}, asked: []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}},
		"with a slash":       {issuer: "https://as.test/", pages: map[string]http.HandlerFunc{"/.well-known/oauth-authorization-server": document("https://as.test/")}, asked: []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}},
		"slash after a path": {issuer: issuer + "/", pages: map[string]http.HandlerFunc{inserted: document(issuer + "/")}, asked: []string{openID, inserted}},
		"escaped path":       {issuer: "https://as.test/a%2Fb", pages: map[string]http.HandlerFunc{"/.well-known/oauth-authorization-server/a%2Fb": document("https://as.test/a%2Fb")}, asked: []string{"/a%2Fb/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/a%2Fb"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if test.issuer == "" {
					test.issuer = issuer
				}
				s := &site{pages: test.pages}
				provider, err := tokenauth.NewProvider(test.issuer)
				if err != nil {
					t.Fatal(err)
				}
				metadata, err := provider.Metadata(t.Context(), &http.Client{Transport: tokenauthtest.HandlerTransport{Handler: s}})
				failure, failed := errors.AsType[*tokenauth.Error](err)
				switch {
				case failed != (test.status != 0), failed && (failure.Status != test.status || failure.Cause != test.cause):
					t.Errorf("the error is %v", err)
				case !failed && (metadata.Issuer != test.issuer || metadata.TokenEndpoint != "https://as.test/token"):
					t.Errorf("the document is %+v", metadata)
				}
				if !slices.Equal(s.asked, test.asked) {
					t.Errorf("it asks for %v, want %v", s.asked, test.asked)
				}
			})
		})
	}
}

// Wherever the document is, its token endpoint is checked, and other processes can share
// it.
func TestDocumentOfAServerWithoutOpenIDIsCheckedToo(t *testing.T) {
	for endpoint, test := range map[string]struct {
		pinned bool
		want   string
	}{
		"https://other.test/token":                     {true, `token_endpoint is on "other.test", not on the issuer's host`},
		"http://as.test/token":                         {false, "token_endpoint: must be https: plain http"},
		"ftp://as.test/token":                          {false, "token_endpoint: must be https, not 'ftp'"},
		"https://as.test/" + strings.Repeat("x", 2048): {false, "token_endpoint has 2064 bytes"},
	} {
		body, err := json.Marshal(map[string]string{"issuer": "https://as.test", "token_endpoint": endpoint})
		if err != nil {
			t.Fatal(err)
		}
		s := &site{pages: map[string]http.HandlerFunc{"/.well-known/oauth-authorization-server": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }}}
		provider, err := tokenauth.NewProvider("https://as.test", tokenHost(test.pinned)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.Metadata(t.Context(), &http.Client{Transport: tokenauthtest.HandlerTransport{Handler: s}}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("at the token endpoint %.40s, the error is %v, want %q", endpoint, err, test.want)
		}
	}
}
