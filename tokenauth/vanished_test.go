package tokenauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// Keycloak 26.7.3 responds with 404 and a JSON error when a realm has been renamed.
func TestTokenEndpointThatIsGoneIsLookedForAgain(t *testing.T) {
	for _, status := range []int{404, 405, 410} {
		for body, code := range map[string]string{
			"":                                 "",
			"<html>":                           "",
			`{"error":"Realm does not exist"}`: "other",
			`{"error":"invalid_client"}`:       "invalid_client",
			`{"error":{"code":404}}`:           "",
			`{"message":"no route"}`:           "",
		} {
			t.Run(fmt.Sprint(status, body), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := tokenauthtest.NewServer()
					server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
						if strings.Contains(r.URL.Path, "/renamed/") {
							tokenauthtest.WriteToken(w, "new", 300)
							return
						}
						w.WriteHeader(status)
						fmt.Fprint(w, body)
					})
					source := newTestSource(t, server)
					failure := getError(t, source)
					if failure.Cause != tokenauth.CauseUnusable || failure.Code != code || failure.Status != status {
						t.Errorf("the error is %v, of cause %s", failure, failure.Cause)
					}
					if hint := failure.Hint(); !strings.Contains(hint, "there is no token endpoint where") {
						t.Errorf("the hint is %q", hint)
					}
					if n := server.Discoveries(); n != 2 {
						t.Errorf("discovery was read %d times, want 2", n)
					}
					server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
						document := server.Document()
						document["token_endpoint"] = strings.Replace(server.Issuer(), "/realms/", "/renamed/", 1) + "/protocol/openid-connect/token"
						tokenauthtest.WriteJSON(w, 200, document)
					})
					advance(10 * time.Second)
					wantBearer(t, getToken(t, source), "new")
				})
			})
		}
	}
}
