package tokenauth_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// Ready, Status and the events agree about the scopes of a token. oidc-provider 9.13.3
// silently drops scopes that a client does not have.
func TestTokenWithoutAScopeIsNotReadyAnywhere(t *testing.T) {
	type object = map[string]any
	for name, test := range map[string]struct {
		response object // besides the token
		missing  []string
	}{
		"all":                {object{"scope": "b a"}, nil},
		"more":               {object{"scope": "a b c"}, nil},
		"one is missing":     {object{"scope": "a"}, []string{"b"}},
		"another":            {object{"scope": "c"}, []string{"a", "b"}},
		"none":               {object{"scope": ""}, []string{"a", "b"}},
		"upper case":         {object{"scope": "A b"}, []string{"a"}},
		"joined by commas":   {object{"scope": "a,b"}, []string{"a", "b"}},
		"without a word":     {object{}, nil}, // then all scopes asked for are granted: RFC 6749 section 5.1
		"null":               {object{"scope": nil}, nil},
		"what is no string":  {object{"scope": 5}, nil},
		"several spaces, \\": {object{"scope": " a \t b\n"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				response := func(w http.ResponseWriter, _ *http.Request) {
					body := object{"access_token": "t", "token_type": "bearer", "expires_in": 300}
					maps.Copy(body, test.response)
					tokenauthtest.WriteJSON(w, 200, body)
				}
				server.HandleToken(response)
				scopes := func(c *tokenauth.Config) { c.Scopes = []string{"a", "b"} }
				report := check(t, server, scopes)
				if !slices.Equal(report.MissingScopes, test.missing) || report.OK() != (test.missing == nil) {
					t.Errorf("the check misses %v, ok: %t, want %v", report.MissingScopes, report.OK(), test.missing)
				}
				source := newDetachedSource(t, server, scopes)
				var event tokenauth.Event
				source.Attach(tokenauth.Runtime{Client: server.Client(), Observe: func(e tokenauth.Event) { event = e }})
				getToken(t, source)
				synctest.Wait()
				if !slices.Equal(event.MissingScopes, test.missing) {
					t.Errorf("the observer gets %v, want %v", event.MissingScopes, test.missing)
				}
				if got := source.Status().MissingScopes; !slices.Equal(got, test.missing) {
					t.Errorf("the status misses %v, want %v", got, test.missing)
				}
				if got := source.Ready(); got != (test.missing == nil) {
					t.Errorf("ready: %t", got)
				}
				getToken(t, source) // calls that do not need the scope still work
				wantRequests(t, server, 2)
				// The next renewal, or Refresh, gets the missing scopes.
				server.HandleToken(nil)
				advance(10 * time.Second)
				if err := source.Refresh(t.Context()); err != nil || !source.Ready() || source.Status().MissingScopes != nil {
					t.Errorf("after a token with all scopes, it misses %v, %v", source.Status().MissingScopes, err)
				}
			})
		})
	}
}
