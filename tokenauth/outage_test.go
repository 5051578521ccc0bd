package tokenauth_test

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// An outage is an issuer that can be taken away and brought back. It records when it was
// asked for tokens.
type outage struct {
	*tokenauthtest.Server
	fault roundTripFunc

	mu    sync.Mutex
	down  bool
	asked []time.Time
}

// outages are ways in which an issuer can be away.
func outages() map[string]roundTripFunc {
	return map[string]roundTripFunc{
		"refused": func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		},
		"reset": func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		},
		"silent": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"503": func(r *http.Request) (*http.Response, error) {
			return tokenauthtest.HandlerTransport{Handler: respondError(http.StatusServiceUnavailable, "")}.RoundTrip(r)
		},
		"429 with Retry-After": func(r *http.Request) (*http.Response, error) {
			return tokenauthtest.HandlerTransport{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(http.StatusTooManyRequests)
			})}.RoundTrip(r)
		},
	}
}

// RoundTrip implements http.RoundTripper.
func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.asked = append(o.asked, time.Now())
	down := o.down
	o.mu.Unlock()
	if down {
		return o.fault(r)
	}
	return o.Client().Transport.RoundTrip(r)
}

// set takes the issuer away, or brings it back.
func (o *outage) set(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

// requests returns the number of all requests to the issuer.
func (o *outage) requests() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

// testOutages runs test for each outage. The source has a token of 300 seconds, and the
// last 30 are leeway.
func testOutages(t *testing.T, test func(*testing.T, *outage, *tokenauth.Source)) {
	for name, fault := range outages() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &outage{Server: tokenauthtest.NewServer(), fault: fault}
				source := newTestSource(t, o.Server)
				source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: o}})
				getToken(t, source)
				test(t, o, source)
			})
		})
	}
}

func TestOutageShorterThanTheTokenIsNotNoticed(t *testing.T) {
	for range 20 { // the back-off is random
		testOutages(t, func(t *testing.T, o *outage, source *tokenauth.Source) {
			// The outage lasts from the earliest renewal until shortly before the
			// token expires: an attempt without a response takes ten seconds, and a
			// Retry-After is not longer.
			expires := getToken(t, source).ExpiresAt()
			advance(205 * time.Second)
			o.set(true)
			for time.Until(expires) > 11*time.Second {
				getToken(t, source)
				advance(100 * time.Millisecond)
			}
			o.set(false)
			for range 1000 {
				getToken(t, source)
				advance(100 * time.Millisecond)
			}
			if n := o.requests(); n > 40 {
				t.Errorf("%d requests to an issuer that is away", n)
			}
		})
	}
}

func TestOutageLongerThanTheTokenIsToldTruthfully(t *testing.T) {
	testOutages(t, func(t *testing.T, o *outage, source *tokenauth.Source) {
		o.set(true)
		advance(270 * time.Second)
		// There are calls all the time. Each gets the time of the next attempt, and the
		// issuer is not asked before that time.
		var last *tokenauth.Error
		for range 1000 {
			before, allowed := o.requests(), last == nil || !time.Now().Before(last.RetryAt)
			failure := getError(t, source)
			if failure.Cause != tokenauth.CauseUnavailable && failure.Cause != tokenauth.CauseTimeout {
				t.Fatalf("cause is %v", failure.Cause)
			}
			if !failure.RetryAt.After(time.Now()) {
				t.Fatalf("asked to come back at %v, and it is %v", failure.RetryAt, time.Now())
			}
			if o.requests() > before && !allowed {
				t.Fatalf("the issuer was asked before %v", last.RetryAt)
			}
			last = failure
			advance(100 * time.Millisecond)
		}
		// A caller that comes back at that time gets a token, if the issuer is back. The
		// wait is at most one step of the back-off.
		o.set(false)
		if wait := time.Until(last.RetryAt); wait > 30*time.Second {
			t.Errorf("the next step is %v away, want 30 s at most", wait)
		}
		for time.Now().Before(last.RetryAt.Add(-time.Millisecond)) {
			if getError(t, source) != last {
				t.Fatal("another failure before the time")
			}
			advance(min(100*time.Millisecond, max(time.Until(last.RetryAt)/2, time.Microsecond)))
		}
		advance(time.Until(last.RetryAt))
		before := len(o.TokenRequests())
		var results []<-chan result
		for range 1000 {
			results = append(results, startToken(t.Context(), source))
		}
		for _, done := range results {
			if r := <-done; r.err != nil {
				t.Fatalf("a caller that comes back in time gets %v", r.err)
			}
		}
		if n := len(o.TokenRequests()) - before; n != 1 {
			t.Errorf("%d token requests for a thousand callers, want 1", n)
		}
	})
}

// Callers that are waiting when the issuer goes away also get the time of the next attempt.
func TestOutageWhileCallersWait(t *testing.T) {
	testOutages(t, func(t *testing.T, o *outage, source *tokenauth.Source) {
		o.set(true)
		advance(270 * time.Second)
		before := o.requests()
		var results []<-chan result
		for range 1000 {
			results = append(results, startToken(t.Context(), source))
		}
		synctest.Wait()
		var retryAt time.Time
		for _, done := range results {
			failure, ok := errors.AsType[*tokenauth.Error]((<-done).err)
			if !ok || (!retryAt.IsZero() && failure.RetryAt != retryAt) {
				t.Fatalf("callers get different errors: %v", failure)
			}
			retryAt = failure.RetryAt
		}
		// One request is for a token, and one for the configuration.
		if n := o.requests() - before; n > 2 {
			t.Errorf("%d requests for a thousand callers, want 2 at most", n)
		}
		o.set(false)
		advance(time.Until(retryAt))
		getToken(t, source)
	})
}

// A caller may find that there is no token just before a new one comes, and ask for one just
// after that.
func TestTokenThatComesMeanwhileIsUsed(t *testing.T) {
	for name, replaced := range map[string]bool{"same credentials": false, "other credentials": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(respondError(http.StatusUnauthorized, "unauthorized_client"))
				var slow chan struct{}
				source := newTestSource(t, server, func(c *tokenauth.Config) {
					c.Credentials = func() (tokenauth.Credentials, error) {
						credentials, err := testCredentials()
						if wait := slow; wait != nil {
							slow = nil
							<-wait
							if replaced {
								credentials.ClientSecret = tokenauth.NewSecret("new")
							}
						}
						return credentials, err
					}
				})
				failure := getError(t, source)
				server.HandleToken(nil)
				advance(time.Until(failure.RetryAt) - time.Second/2) // a caller waits longer than that for the look
				release := make(chan struct{})
				slow = release
				held := startToken(t.Context(), source) // looks whether the credentials have changed
				advance(time.Until(failure.RetryAt))
				wantBearer(t, getToken(t, source), "token-2")
				close(release)
				r := <-held
				if r.err != nil {
					t.Fatalf("there is a token, and the caller gets %v", r.err)
				}
				wantBearer(t, r.token, "token-2")
				wantRequests(t, server, 2)
			})
		})
	}
}

// Early attempts, which are to succeed before the token expires, do not make the back-off
// after the outage longer.
func TestShortLivedTokenIsSoonBackAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const times = 100
		var waits time.Duration
		for range times {
			server := tokenauthtest.NewServer()
			server.HandleToken(respondToken("short", 5))
			source := newTestSource(t, server)
			getToken(t, source)
			server.HandleToken(respondError(http.StatusServiceUnavailable, ""))
			advance(4499 * time.Millisecond)
			getToken(t, source)
			advance(time.Millisecond)
			advance(time.Until(getError(t, source).RetryAt)) // the last early one
			waits += time.Until(getError(t, source).RetryAt)
		}
		// A second of outage makes one or two steps, and the next step is one or two
		// seconds.
		if mean := waits / times; mean > 4*time.Second {
			t.Errorf("holds back for %v on average", mean)
		}
	})
}
