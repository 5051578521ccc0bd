package tokenauth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestTokenForReturnsOneThatLivesLongEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		tokenFor := func(life time.Duration) *tokenauth.Token {
			token, err := source.TokenFor(t.Context(), life)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		wantBearer(t, tokenFor(time.Minute), "token-1")
		advance(209 * time.Second) // 61 s left
		wantBearer(t, tokenFor(time.Minute), "token-1")
		wantRequests(t, server, 1)
		wantBearer(t, tokenFor(62*time.Second), "token-2")
		wantRequests(t, server, 2)
		// This is longer than the lifetime of a token, so half of that is enough.
		wantBearer(t, tokenFor(time.Hour), "token-2")
		advance(134 * time.Second)
		wantBearer(t, tokenFor(time.Hour), "token-2")
		wantRequests(t, server, 2)
		advance(2 * time.Second)
		wantBearer(t, tokenFor(time.Hour), "token-3")
	})
}

func TestTokenForReturnsTheOldOneIfThereIsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		source.Warm()
		advance(260 * time.Second)
		server.HandleToken(respondError(http.StatusServiceUnavailable, ""))
		token, err := source.TokenFor(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		wantBearer(t, token, "token-1")
		advance(10 * time.Second)
		if _, err := source.TokenFor(t.Context(), time.Minute); err == nil {
			t.Error("got an expired token")
		}
	})
}

func TestTokenForEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		source.Warm()
		advance(260 * time.Second)
		server.HandleToken(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := source.TokenFor(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want that of the caller's deadline", err)
		}
	})
}
