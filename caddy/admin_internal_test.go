package caddyesign

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// If it is too soon for one of the tokens, the refresh fails, even though the others
// were obtained: that token still belongs to the old credential.
func TestRefreshOfSomeTokensOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := tokenauthtest.NewServer()
		provider, err := tokenauth.NewProvider(issuer.Issuer())
		if err != nil {
			t.Fatal(err)
		}
		secret := "before"
		app := &App{used: make(map[string][]*tokenauth.Source)}
		for range 2 {
			source, err := tokenauth.NewSource(tokenauth.Config{
				Provider: provider,
				Credentials: func() (tokenauth.Credentials, error) {
					return tokenauth.Credentials{ClientID: "app", ClientSecret: tokenauth.NewSecret(secret)}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(source.Close)
			source.Attach(tokenauth.Runtime{Client: issuer.Client()})
			if _, err := source.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			app.used[""] = append(app.used[""], source)
		}
		time.Sleep(11 * time.Second)
		if err := app.used[""][1].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		secret = "after"
		before := len(issuer.TokenRequests())
		_, err = app.refresh(t.Context(), "")
		if _, ok := errors.AsType[*tokenauth.TooSoonError](err); !ok {
			t.Errorf("error is %v, want a TooSoonError", err)
		}
		if n := len(issuer.TokenRequests()) - before; n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}
