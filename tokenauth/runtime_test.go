package tokenauth_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// countingClient returns a client of server, which counts its requests in n.
func countingClient(server *tokenauthtest.Server, n *int) *http.Client {
	return &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		*n++
		return server.Client().Transport.RoundTrip(r)
	})}
}

func TestNewestRuntimeIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondToken("once", 0)) // so that each Token is a request
		source := newTestSource(t, server)
		getToken(t, source) // reads the configuration
		var a, b int
		detachA := source.Attach(tokenauth.Runtime{Client: countingClient(server, &a)})
		want := func(wantA, wantB int) {
			t.Helper()
			getToken(t, source)
			if a != wantA || b != wantB {
				t.Fatalf("%d and %d requests, want %d and %d", a, b, wantA, wantB)
			}
		}
		want(1, 0)
		detachB := source.Attach(tokenauth.Runtime{Client: countingClient(server, &b)})
		want(1, 1)
		detachB()
		detachB() // twice is harmless
		want(2, 1)
		detachB = source.Attach(tokenauth.Runtime{Client: countingClient(server, &b)})
		detachA() // detaches only A
		want(2, 2)
		detachB()
		want(2, 2)
	})
}

// observed attaches an observer that records the events.
func observed(server *tokenauthtest.Server, source *tokenauth.Source) (events func() []tokenauth.Event) {
	var mu sync.Mutex
	var all []tokenauth.Event
	source.Attach(tokenauth.Runtime{Client: server.Client(), Observe: func(e tokenauth.Event) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, e)
	}})
	return func() []tokenauth.Event {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestF35ObserverIsToldOfEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server, func(c *tokenauth.Config) { c.Scopes = []string{"esign/csc", "esign/nnin"} })
		events := observed(server, source)
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			advance(time.Second)
			tokenauthtest.WriteError(w, http.StatusBadRequest, "invalid_scope")
		})
		for range 2 {
			advance(time.Until(getError(t, source).RetryAt))
		}
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			tokenauthtest.WriteJSON(w, http.StatusOK, map[string]any{
				"access_token": "t", "token_type": "Bearer", "expires_in": 60, "scope": "openid esign/csc",
			})
		})
		getToken(t, source)
		server.HandleToken(respondToken("t2", nil))
		advance(50 * time.Second)
		server.HandleToken(respondError(http.StatusBadGateway, ""))
		getToken(t, source)
		advance(245 * time.Second)

		all := events()
		if len(all) < 5 {
			t.Fatalf("%d events, want at least 5", len(all))
		}
		for n, e := range all[:5] {
			if e.Scopes != "esign/csc esign/nnin" || e.ClientID != testClientID || e.Metadata == nil || e.Metadata.Issuer != server.Issuer() {
				t.Errorf("event %d is of %q, client %q", n, e.Scopes, e.ClientID)
			}
		}
		for n, want := range []struct {
			code     string
			failures int
			usable   bool
			lifetime time.Duration
			assumed  bool
			missing  []string
			duration time.Duration
		}{
			{"invalid_scope", 1, false, 0, false, nil, time.Second},
			{"invalid_scope", 2, false, 0, false, nil, time.Second},
			{"", 2, true, time.Minute, false, []string{"esign/nnin"}, 0},
			{"", 0, true, 5 * time.Minute, true, nil, 0},
			{"", 1, true, 0, false, nil, 0},
		} {
			e := all[n]
			if failed := n != 2 && n != 3; (e.Err != nil) != failed {
				t.Fatalf("event %d: error is %v", n, e.Err)
			}
			if e.Err != nil && e.Err.Code != want.code || e.Failures != want.failures || e.Usable != want.usable ||
				e.Lifetime != want.lifetime || e.LifetimeAssumed != want.assumed || !slices.Equal(e.MissingScopes, want.missing) ||
				e.Duration != want.duration {
				t.Errorf("event %d is %+v, want %+v", n, e, want)
			}
		}
	})
}

func TestObserverOfAFailedDiscoveryHasNoMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleDiscovery(http.NotFound)
		source := newTestSource(t, server)
		events := observed(server, source)
		failure := getError(t, source)
		all := events()
		if len(all) != 1 || all[0].Metadata != nil || all[0].Err != failure {
			t.Errorf("events are %+v", all)
		}
	})
}

func TestSlowObserverDelaysNoRequestAndIsNotCalledConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondToken("once", 0))
		source := newTestSource(t, server)
		proceed := make(chan struct{})
		var running, notified int
		source.Attach(tokenauth.Runtime{Client: server.Client(), Observe: func(tokenauth.Event) {
			running++
			if running != 1 {
				t.Error("called concurrently")
			}
			<-proceed
			running--
			notified++
		}})
		start := time.Now()
		for range 3 {
			wantBearer(t, getToken(t, source), "once")
		}
		if time.Since(start) != 0 {
			t.Error("a caller waited for the observer")
		}
		close(proceed)
		source.Close() // waits for the observer
		if notified != 3 {
			t.Errorf("notified of %d attempts, want 3", notified)
		}
	})
}
