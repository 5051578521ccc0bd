package tokenauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// wantTooSoon asserts that source refuses to refresh, and for how long.
func wantTooSoon(t *testing.T, source *tokenauth.Source, wait time.Duration) {
	t.Helper()
	tooSoon, ok := errors.AsType[*tokenauth.TooSoonError](source.Refresh(t.Context()))
	if !ok {
		t.Fatal("Refresh is done, want it to be too soon")
	}
	if got := time.Until(tooSoon.RetryAt); got != wait {
		t.Errorf("it is too soon for %v, want %v", got, wait)
	}
}

func TestRefreshObtainsAnotherTokenWhileOneIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		source := newTestSource(t, server)
		wantBearer(t, getToken(t, source), "token-1")
		advance(10 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantBearer(t, getToken(t, source), "token-2")
		wantRequests(t, server, 2)
	})
}

func TestRefreshStormMakesOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			tokenauthtest.WriteToken(w, "token", 300)
		})
		source := newTestSource(t, server)
		var storm sync.WaitGroup
		for range 100 {
			storm.Go(func() {
				if err := source.Refresh(t.Context()); err != nil {
					t.Errorf("one that joins the attempt gets %v", err)
				}
			})
		}
		storm.Wait()
		wantTooSoon(t, source, 9*time.Second) // since the attempt started
		wantRequests(t, server, 1)
		advance(9 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		wantRequests(t, server, 2)
	})
}

func TestRefreshOverridesTheBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		source := newTestSource(t, server)
		for range 6 { // until the back-off is minutes long
			advance(time.Until(getError(t, source).RetryAt) + 1)
		}
		held := getError(t, source)
		if wait := time.Until(held.RetryAt); wait < time.Minute {
			t.Fatalf("it is held back for %v only", wait)
		}
		wantTooSoon(t, source, 10*time.Second)
		advance(10 * time.Second)
		failure, ok := errors.AsType[*tokenauth.Error](source.Refresh(t.Context()))
		if !ok || failure.Code != "invalid_client" {
			t.Fatalf("the outcome is %v", failure)
		}
		server.HandleToken(nil)
		advance(10 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantState(t, source, tokenauth.StateFresh)
	})
}

func TestRefreshLeavesAProviderAloneThatAsksForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		source := newTestSource(t, server)
		getError(t, source)
		wantTooSoon(t, source, 2*time.Minute)
		server.HandleToken(nil)
		advance(2 * time.Minute)
		if err := source.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		wantRequests(t, server, 2)
	})
}

func TestFailedRefreshKeepsTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		source := newTestSource(t, server)
		wantBearer(t, getToken(t, source), "token-1")
		server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		advance(10 * time.Second)
		if err := source.Refresh(t.Context()); err == nil {
			t.Error("a failure is no failure")
		}
		wantBearer(t, getToken(t, source), "token-1")
		if status := wantState(t, source, tokenauth.StateFresh); status.Err == nil || status.Failures != 1 {
			t.Errorf("the failure does not show: %v, number %d", status.Err, status.Failures)
		}
	})
}

func TestRefreshEndsWithItsContextAndItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(hang)
		source := newTestSource(t, server)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := source.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		source.Close()
		advance(time.Minute)
		if err := source.Refresh(t.Context()); err == nil {
			t.Error("a closed source was refreshed")
		}
		wantRequests(t, server, 1)
	})
}

// If a retry in the background has succeeded, Refresh has nothing to do, and its error says
// since when there is a token.
func TestRefreshTooSoonSaysWhetherAllIsWell(t *testing.T) {
	for name, test := range map[string]struct {
		then func(*tokenauthtest.Server, *tokenauth.Credentials) // after the last attempt
		well bool
	}{
		"nothing happened": {func(*tokenauthtest.Server, *tokenauth.Credentials) {}, true},
		"another secret": {func(_ *tokenauthtest.Server, c *tokenauth.Credentials) {
			c.ClientSecret = tokenauth.NewSecret("another")
		}, false},
		"another client": {func(_ *tokenauthtest.Server, c *tokenauth.Credentials) { c.ClientID = "another" }, false},
		"a failure": {func(server *tokenauthtest.Server, _ *tokenauth.Credentials) {
			time.Sleep(10 * time.Second)
			server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(respondError(http.StatusServiceUnavailable, ""))
				credentials, _ := testCredentials()
				source := newTestSource(t, server, func(c *tokenauth.Config) {
					c.Credentials = func() (tokenauth.Credentials, error) { return credentials, nil }
				})
				failure := getError(t, source)
				server.HandleToken(nil)
				advance(time.Until(failure.RetryAt) + 1)
				getToken(t, source)
				obtained := time.Now()
				advance(3 * time.Second)
				test.then(server, &credentials)
				err := source.Refresh(t.Context())
				if name == "a failure" {
					err = source.Refresh(t.Context())
				}
				tooSoon, ok := errors.AsType[*tokenauth.TooSoonError](err)
				if !ok || tooSoon.ObtainedAt.IsZero() == test.well || test.well && !tooSoon.ObtainedAt.Equal(obtained) {
					t.Errorf("the outcome is %#v, obtained at %v", err, obtained)
				}
			})
		})
	}
}

// The error of Refresh must not say that all is well if an API has refused the token, or if
// the last attempt has not obtained it.
func TestRefreshTooSoonKeepsOnlyAGoodTokenOfTheLastAttempt(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *tokenauthtest.Server, *tokenauth.Source, *tokenauth.Token){
		"a token without a life": func(t *testing.T, server *tokenauthtest.Server, source *tokenauth.Source, _ *tokenauth.Token) {
			advance(time.Minute)
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				tokenauthtest.WriteJSON(w, http.StatusOK, map[string]any{"access_token": "x", "token_type": "bearer", "expires_in": 0})
			})
			_ = source.Refresh(t.Context())
		},
		"a rejected token": func(t *testing.T, server *tokenauthtest.Server, source *tokenauth.Source, token *tokenauth.Token) {
			text := strings.TrimPrefix(token.Authorization(), "Bearer ") // like a provider that gives the same token again
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, text, 0) })
			renew(t.Context(), source, token)
			source.Reject(token, http.StatusUnauthorized)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				source := newTestSource(t, server)
				prepare(t, server, source, getToken(t, source))
				advance(time.Second)
				tooSoon, ok := errors.AsType[*tokenauth.TooSoonError](source.Refresh(t.Context()))
				if !ok || !tooSoon.ObtainedAt.IsZero() {
					t.Errorf("the error is %+v", tooSoon)
				}
			})
		})
	}
}
