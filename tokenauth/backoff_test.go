package tokenauth_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestBackoffGrowsUpToALimitWithFullJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusServiceUnavailable, ""))
		source := newTestSource(t, server)
		limit, longest := 500*time.Millisecond, time.Duration(0)
		for n := 1; n <= 100; n++ {
			wait := time.Until(getError(t, source).RetryAt)
			if wait < 50*time.Millisecond || wait > limit {
				t.Fatalf("failure %d holds back for %v, want 50 ms to %v", n, wait, limit)
			}
			longest = max(longest, wait)
			limit = min(2*limit, 10*time.Second)
			advance(wait)
		}
		if longest < 5*time.Second {
			t.Errorf("a hundred failures hold back for %v at most", longest)
		}
		wantRequests(t, server, 100)
	})
}

func TestBackoffOfRefusalsStartsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusUnauthorized, "unauthorized_client"))
		source := newTestSource(t, server)
		step := 10 * time.Second
		for n := 1; n <= 100; n++ {
			wait := time.Until(getError(t, source).RetryAt)
			if wait < step/2 || wait > step {
				t.Fatalf("refusal %d holds back for %v, want %v to %v", n, wait, step/2, step)
			}
			step = min(2*step, 5*time.Minute)
			advance(wait)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, c := range []struct {
		status int
		value  string
		want   time.Duration
	}{
		{http.StatusServiceUnavailable, "120", 2 * time.Minute},
		{http.StatusTooManyRequests, " 120 ", 2 * time.Minute},
		{http.StatusServiceUnavailable, "Sat, 01 Jan 2000 00:02:00 GMT", 2 * time.Minute}, // synctest begins at 00:00
		{http.StatusServiceUnavailable, "86400", time.Hour},                               // the most it can ask for
		{http.StatusServiceUnavailable, "99999999999999999999", time.Hour},
		{http.StatusServiceUnavailable, "Sat, 01 Jan 2050 00:00:00 GMT", time.Hour},
		{http.StatusServiceUnavailable, "Fri, 31 Dec 1999 00:00:00 GMT", 0},
		{http.StatusServiceUnavailable, "-5", 0},
		{http.StatusServiceUnavailable, "soon", 0},
	} {
		t.Run(c.value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", c.value)
					tokenauthtest.WriteError(w, c.status, "")
				})
				wait := time.Until(getError(t, newTestSource(t, server)).RetryAt)
				if c.want == 0 && wait > 500*time.Millisecond || c.want != 0 && wait != c.want {
					t.Errorf("holds back for %v, want %v", wait, c.want)
				}
			})
		})
	}
}

// The error code of a provider counts more than the status, and more than the length of
// the page that explains it.
func TestProviderThatIsAwayIsNotARefusal(t *testing.T) {
	for name, respond := range map[string]http.HandlerFunc{
		"an error page of two megabytes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write(make([]byte, 2<<20))
		},
		"temporarily_unavailable with 400": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			tokenauthtest.WriteError(w, http.StatusBadRequest, "temporarily_unavailable")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(respond)
				_, err := newTestSource(t, server).Token(t.Context())
				failure, ok := errors.AsType[*tokenauth.Error](err)
				if !ok || failure.Cause != tokenauth.CauseUnavailable {
					t.Fatalf("error is %v, want one that says unavailable", err)
				}
				if got := time.Until(failure.RetryAt); got != 7*time.Second {
					t.Errorf("the next attempt is in %v, want 7s", got)
				}
			})
		})
	}
}
