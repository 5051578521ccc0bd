package tokenauth_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// recovery lets o be away until calls have failed for about 20 to 40 seconds. It returns the
// time between o's return and the next token.
func recovery(t *testing.T, o *outage, source *tokenauth.Source, random *rand.Rand) time.Duration {
	t.Helper()
	back := time.Now().Add(20*time.Second + time.Duration(random.Int64N(int64(20*time.Second))))
	time.AfterFunc(time.Until(back), func() { o.set(false) })
	for {
		_, err := source.Token(t.Context())
		failure, ok := errors.AsType[*tokenauth.Error](err)
		if !ok {
			return time.Since(back)
		}
		time.Sleep(time.Until(failure.RetryAt)) // there are calls all the time; this one is the first that does not fail at once
	}
}

// While calls fail because there is no token, the next token comes 5 seconds after the
// issuer's return on average, in every kind of outage. The back-off is random, but the mean
// of so many outages differs by a few tenths of a second at most.
func TestNextTokenIsThereSoonAfterAnOutage(t *testing.T) {
	const seeds = 120
	faults := outages()
	delete(faults, "reset") // takes as long as "refused"
	faults["slow 503"] = func(r *http.Request) (*http.Response, error) {
		time.Sleep(6 * time.Second)
		return faults["503"](r)
	}
	faults["HTML"] = func(r *http.Request) (*http.Response, error) {
		return tokenauthtest.HandlerTransport{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<!doctype html><p>We are down for maintenance"))
		})}.RoundTrip(r)
	}
	for name := range maps.Keys(faults) {
		for state, warm := range map[string]bool{"cold": false, "after a token": true} {
			t.Run(name+"/"+state, func(t *testing.T) {
				t.Parallel()
				var sum, longest time.Duration
				for seed := range uint64(seeds) {
					synctest.Test(t, func(t *testing.T) {
						o := &outage{Server: tokenauthtest.NewServer(), fault: faults[name]}
						source := newTestSource(t, o.Server)
						source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: o}})
						if warm {
							getToken(t, source)
						}
						o.set(true)
						if warm {
							time.Sleep(270 * time.Second)
						}
						took := recovery(t, o, source, rand.New(rand.NewPCG(seed, 0)))
						sum, longest = sum+took, max(longest, took)
					})
				}
				t.Logf("%v on average, %v at most", sum/seeds, longest)
				if mean := sum / seeds; mean > 5*time.Second {
					t.Errorf("the next token is there after %v on average", mean)
				}
				if longest > 12*time.Second {
					t.Errorf("the next token is there after %v", longest)
				}
			})
		}
	}
}

// The wait that the issuer asked for is kept, even if calls fail for long.
func TestRetryAfterIsHonouredWhileCallersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(9 * time.Second) // an attempt that takes long does not shorten the wait
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		source := newTestSource(t, server)
		for n := 1; n < 20; n++ {
			if wait := time.Until(getError(t, source).RetryAt); wait != 30*time.Second {
				t.Fatalf("failure %d holds back for %v", n, wait)
			}
			advance(30 * time.Second)
		}
	})
}

// Many gateways with failing calls do not overload an issuer that comes back: each asks
// every 5 seconds on average, and not more often after the return. The page on failures has
// the figure for a thousand gateways.
func TestManyGatewaysAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const gateways = 200
		o := &outage{Server: tokenauthtest.NewServer(), fault: outages()["503"]}
		for range gateways {
			source := newTestSource(t, o.Server)
			source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: o}})
			getToken(t, source)
			go func() {
				for {
					_, err := source.Token(t.Context())
					failure, ok := errors.AsType[*tokenauth.Error](err)
					if ok {
						time.Sleep(time.Until(failure.RetryAt)) // like a caller that comes back as soon as allowed
						continue
					}
					select {
					case <-t.Context().Done():
						return
					case <-time.After(time.Minute):
					}
				}
			}()
		}
		o.set(true)
		time.Sleep(270*time.Second + 2*time.Minute)
		before := o.requests()
		time.Sleep(time.Minute)
		if perSecond := float64(o.requests()-before) / 60; perSecond < gateways/5*0.9 || perSecond > gateways/5*1.1 {
			t.Errorf("%.0f requests a second while the issuer is away, want some %d", perSecond, gateways/5)
		}
		o.set(false)
		tokens, most := len(o.TokenRequests()), 0
		for range 15 {
			before := o.requests()
			time.Sleep(time.Second)
			most = max(most, o.requests()-before)
		}
		if most > gateways/5*3/2 {
			t.Errorf("%d requests in one second after the issuer's return, want some %d at most", most, gateways/5)
		}
		if n := len(o.TokenRequests()) - tokens; n != gateways {
			t.Errorf("%d token requests in 15 s after the issuer's return, want one for each gateway", n)
		}
	})
}
