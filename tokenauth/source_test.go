package tokenauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestNewSourceRefusesWhatCannotWork(t *testing.T) {
	provider := newTestProvider(t, tokenauthtest.NewServer())
	for name, config := range map[string]tokenauth.Config{
		"no provider":    {Credentials: testCredentials},
		"no credentials": {Provider: provider},
		"auth method":    {Provider: provider, Credentials: testCredentials, AuthMethod: "client_secret_jwt"},
		"scope":          {Provider: provider, Credentials: testCredentials, Scopes: []string{"a b"}},
		"audience":       {Provider: provider, Credentials: testCredentials, Audience: "not a URL"},
		"zero provider":  {Provider: new(tokenauth.Provider), Credentials: testCredentials},
	} {
		if _, err := tokenauth.NewSource(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestF20ScopesAreChecked(t *testing.T) {
	for _, scope := range []string{"esign/csc", "openid", "https://api.example/.default", "a:b", "!#[]~"} {
		if err := tokenauth.CheckScope(scope); err != nil {
			t.Errorf("%q: %v", scope, err)
		}
	}
	for scope, want := range map[string]string{
		"": "is empty", "a b": "several scopes", "a,b": "comma", `a"b`: "character", `a\b`: "character",
		"a\n": "character", "æ": "character", "\x7f": "character",
	} {
		if err := tokenauth.CheckScope(scope); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want one with %q", scope, err, want)
		}
	}
}

func TestF27NothingIsSentBeforeTheFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		newTestSource(t, server)
		advance(time.Hour)
		wantRequests(t, server, 0)
		if n := server.Discoveries(); n != 0 {
			t.Errorf("%d discovery requests, want none", n)
		}
	})
}

func TestF04ThousandColdCallersShareOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		release := make(chan struct{})
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			tokenauthtest.WriteToken(w, "shared", 300)
		})
		source := newTestSource(t, server)
		const callers = 1000
		var all []<-chan result
		for range callers {
			all = append(all, startToken(t.Context(), source))
		}
		wantRequests(t, server, 1)
		close(release)
		for _, one := range all {
			got := <-one
			if got.err != nil {
				t.Fatal(got.err)
			}
			wantBearer(t, got.token, "shared")
		}
		wantRequests(t, server, 1)
		if n := server.Discoveries(); n != 1 {
			t.Errorf("%d discovery requests, want 1", n)
		}
	})
}

func TestF02DepartureOfTheFirstCallerFailsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		release := make(chan struct{})
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			tokenauthtest.WriteToken(w, "shared", 300)
		})
		source := newTestSource(t, server)
		ctx, cancel := context.WithCancel(t.Context())
		first := startToken(ctx, source)
		synctest.Wait()
		second := startToken(t.Context(), source)
		synctest.Wait()
		cancel()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("the first caller's error is %v, want context.Canceled", got.err)
		}
		close(release)
		got := <-second
		if got.err != nil {
			t.Fatalf("the second caller's error is %v", got.err)
		}
		wantBearer(t, got.token, "shared")
		wantRequests(t, server, 1)
	})
}

func TestF02ResultIsKeptThoughEverybodyHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		release := make(chan struct{})
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			tokenauthtest.WriteToken(w, "kept", 300)
		})
		source := newTestSource(t, server)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := source.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error is %v, want that of the caller's deadline", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited %v, want no longer than the caller's deadline", waited)
		}
		close(release)
		synctest.Wait()
		wantBearer(t, getToken(t, source), "kept")
		wantRequests(t, server, 1)
	})
}

func TestCallerWhoHasLeftAlreadyStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := source.Token(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		wantRequests(t, server, 0)
	})
}

func TestF03HungProviderFailsAfterTheTimeout(t *testing.T) {
	for name, script := range map[string]func(*tokenauthtest.Server){
		"discovery": func(s *tokenauthtest.Server) { s.HandleDiscovery(hang) },
		"token":     func(s *tokenauthtest.Server) { s.HandleToken(hang) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				script(server)
				source := newTestSource(t, server, func(c *tokenauth.Config) { c.Timeout = 7 * time.Second })
				start := time.Now()
				failure := getError(t, source)
				if failure.Cause != tokenauth.CauseTimeout {
					t.Errorf("cause is %v, want timeout", failure.Cause)
				}
				if waited := time.Since(start); waited != 7*time.Second {
					t.Errorf("waited %v, want the timeout", waited)
				}
			})
		})
	}
}

func TestFreshTokenNeedsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		for range 200 {
			wantBearer(t, getToken(t, source), "token-1")
			advance(time.Second)
		}
		wantRequests(t, server, 1)
	})
}

func TestStaleTokenIsReturnedAtOnceAndRenewedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		source.Warm() // not a use, so no timer renews it
		advance(250 * time.Second)
		wantRequests(t, server, 1)
		release := make(chan struct{})
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			tokenauthtest.WriteToken(w, "new", 300)
		})
		for range 100 {
			wantBearer(t, getToken(t, source), "token-1")
		}
		wantRequests(t, server, 2)
		close(release)
		synctest.Wait()
		wantBearer(t, getToken(t, source), "new")
		wantRequests(t, server, 2)
	})
}

func TestF01RenewalDoesNotDependOnTheContextOfACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := source.Token(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		advance(245 * time.Second)
		wantRequests(t, server, 2)
		wantBearer(t, getToken(t, source), "token-2")
	})
}

func TestF38BackgroundRenewalDoesNotInheritTheContextOfACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		source.Warm()
		advance(250 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := source.Token(ctx); err != nil {
			t.Fatalf("stale token for a caller who has left: %v", err)
		}
		wantRequests(t, server, 2)
		wantBearer(t, getToken(t, source), "token-2")
	})
}

func TestWarmFetchesOnlyWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		source := newTestSource(t, server)
		for range 10 {
			source.Warm()
			synctest.Wait()
		}
		wantRequests(t, server, 1) // Warm too holds back after a failure
		server.HandleToken(nil)
		advance(10 * time.Second)
		source.Warm()
		wantRequests(t, server, 2)
		source.Warm()
		wantRequests(t, server, 2)
		wantBearer(t, getToken(t, source), "token-2")
	})
}

func TestCloseEndsTheFetchAndThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(hang)
		source := newTestSource(t, server)
		events := observed(server, source)
		waiter := startToken(t.Context(), source)
		synctest.Wait()
		start := time.Now()
		source.Close()
		if got := events(); len(got) != 0 {
			t.Errorf("an attempt that nobody needs any more is reported: %v", got[0].Err)
		}
		if got := <-waiter; got.err == nil || errors.Is(got.err, context.Canceled) {
			t.Errorf("the error of who waited is %v, want one that is not that of a caller's context", got.err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("closing took %v", waited)
		}
		getError(t, source)
		source.Warm()
		source.Close()
		wantRequests(t, server, 1)
	})
}

func TestClosedSourceRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		token := getToken(t, source)
		source.Close()
		if source.Reject(token, http.StatusUnauthorized) != nil {
			t.Error("a closed source promises a renewal")
		}
		advance(time.Hour)
		if failure := getError(t, source); failure.Cause != tokenauth.CauseConfiguration {
			t.Errorf("cause is %v, want configuration", failure.Cause)
		}
		wantRequests(t, server, 1)
	})
}

func TestSourceDescribesItself(t *testing.T) {
	server := tokenauthtest.NewServer()
	got := newTestSource(t, server).String()
	if !strings.Contains(got, "esign/csc") || !strings.Contains(got, server.Issuer()) || strings.Contains(got, testClientSecret) {
		t.Errorf("String is %q", got)
	}
}

// If the credentials are on a file system that hangs, readings of them keep only few
// goroutines, however often they are tried. When the file system is repaired, new readings
// succeed, although the old ones still hang.
func TestReadingsOfCredentialsThatHangDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		var readings atomic.Int32
		var repaired atomic.Bool
		hang := make(chan struct{})
		defer close(hang)
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				if !repaired.Load() {
					readings.Add(1)
					<-hang
				}
				return testCredentials()
			}
		})
		start := time.Now()
		for time.Since(start) < time.Hour {
			if _, err := source.Token(t.Context()); err == nil {
				t.Fatal("there is a token")
			}
			time.Sleep(time.Second)
		}
		if n := readings.Load(); n > 14 { // two in ten minutes
			t.Errorf("the credentials are being read %d times", n)
		}
		repaired.Store(true)
		time.Sleep(11 * time.Minute)
		getToken(t, source)
	})
}

// A source that backs off after a refusal looks whether the credentials have changed, but
// callers do not wait long for that.
func TestRefusedCredentialsThatHangHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, 401, "invalid_client") })
		var hang atomic.Bool
		release := make(chan struct{})
		defer close(release)
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				if hang.Load() {
					<-release
				}
				return testCredentials()
			}
		})
		if _, err := source.Token(t.Context()); err == nil {
			t.Fatal("there is a token")
		}
		hang.Store(true)
		time.Sleep(2 * time.Second)
		start := time.Now()
		_, err := source.Token(t.Context())
		if tokenErr, ok := errors.AsType[*tokenauth.Error](err); !ok || tokenErr.Cause != tokenauth.CauseRefused {
			t.Errorf("the error is %v, want the refusal", err)
		}
		if waited := time.Since(start); waited > time.Second {
			t.Errorf("it came after %v", waited)
		}
	})
}
