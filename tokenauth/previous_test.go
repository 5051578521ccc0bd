package tokenauth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A previous token of another client, or one that is bound to another key, is not used.
func TestTokenOfAnotherClientIsNoRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		client := "one"
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: client, ClientSecret: tokenauth.NewSecret("secret")}, nil
			}
		})
		getToken(t, source)
		client = "two"
		advance(10 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantBearer(t, renew(t.Context(), source, getToken(t, source)), "token-3")
	})
}

// If tokens are shared, each process keeps its own previous token.
func TestYoungSharedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := newMemoryStore()
		one, two := newNode(t, server, store), newNode(t, server, store)
		first, own := getToken(t, one.Source), getToken(t, two.Source)
		advance(10 * time.Second)
		if err := one.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := getToken(t, one.Source)
		if renew(t.Context(), one, second) != first {
			t.Error("the one that asked does not have the token before")
		}
		if err := two.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		shared := getToken(t, two.Source)
		wantBearer(t, shared, "token-2")
		if renew(t.Context(), two, shared) != own {
			t.Error("the one that found it in the store does not have the token before")
		}
		wantRequests(t, server, 2)
	})
}
