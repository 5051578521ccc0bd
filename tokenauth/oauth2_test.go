package tokenauth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestOAuth2ReturnsTheTokenOfTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		adapter := source.OAuth2(t.Context())
		token, err := adapter.Token()
		if err != nil {
			t.Fatal(err)
		}
		if token.AccessToken != "token-1" || token.Type() != "Bearer" || !token.Valid() || !token.Expiry.Equal(getToken(t, source).ExpiresAt()) {
			t.Errorf("token is %+v", token)
		}
		reused := oauth2.ReuseTokenSource(nil, adapter)
		for range 1000 {
			token, err := reused.Token()
			if err != nil || !time.Now().Before(token.Expiry) {
				t.Fatalf("token is %+v, error %v", token, err)
			}
			advance(time.Second)
		}
	})
}

func TestF03OAuth2WaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(hang)
		source := newTestSource(t, server)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := source.OAuth2(ctx).Token(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want that of the context", err)
		}
	})
}

// A bound token cannot be used without a proof for each call, and it must not pass for a
// bearer token.
func TestOAuth2HasNoTokenThatIsBoundToAKey(t *testing.T) {
	server := tokenauthtest.NewServer()
	source := newTestSource(t, server, func(c *tokenauth.Config) { c.DPoP = true })
	token, err := source.OAuth2(t.Context()).Token()
	if failure, ok := errors.AsType[*tokenauth.Error](err); !ok || failure.Cause != tokenauth.CauseConfiguration {
		t.Errorf("token is %v, error %v, want one that says configuration", token, err)
	}
	if n := len(server.TokenRequests()); n != 0 {
		t.Errorf("%d token requests, want none", n)
	}
}
