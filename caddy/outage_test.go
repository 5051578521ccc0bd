package caddyesign_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// This tests in real time, through the whole gateway, how the core behaves in an
// outage.
func TestIssuerOutage(t *testing.T) {
	waits(t)
	f := newFixture(t)
	var down atomic.Bool
	var given, failed atomic.Int32
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			failed.Add(1)
			panic(http.ErrAbortHandler)
		}
		n := given.Add(1)
		life := 4
		if n == 2 {
			life = 2 // its expiry is waited for
		}
		tokenauthtest.WriteToken(w, fmt.Sprintf("token-%d", n), life)
	})
	f.app = "refresh_before 4s" // the renewal then starts after half of the token's life
	f.start(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	f.do("GET", path, "").is(200)

	// If the outage is shorter than the rest of the token's life, no caller notices.
	down.Store(true)
	var callers sync.WaitGroup
	var noticed atomic.Int32
	stop := make(chan struct{})
	for range 4 {
		callers.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if f.do("GET", path, "").StatusCode != http.StatusOK {
						noticed.Add(1)
					}
				case <-stop:
					return
				}
			}
		})
	}
	eventually(t, func() bool { return failed.Load() > 0 })
	down.Store(false)
	eventually(t, func() bool { return given.Load() == 2 })
	if noticed.Load() > 0 {
		t.Errorf("%d calls failed in an outage that was shorter than the token's life", noticed.Load())
	}

	// If it is longer, a caller that comes back when told to is served. All callers
	// share one token.
	down.Store(true)
	eventually(t, func() bool { return noticed.Load() > 0 })
	close(stop)
	callers.Wait()
	f.upstream.seen()
	response := f.do("GET", path, "").is(503).byGateway("destination_unavailable")
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 30 {
		t.Fatalf("Retry-After is %q, want 1 to 30 seconds", response.Header.Get("Retry-After"))
	}
	if calls := len(f.upstream.seen()); calls > 0 {
		t.Errorf("upstream saw %d calls without a token", calls)
	}
	down.Store(false)
	<-time.After(time.Duration(seconds) * time.Second)
	for range 100 {
		callers.Go(func() { f.do("GET", path, "").is(200) })
	}
	callers.Wait()
	if n := given.Load(); n != 3 {
		t.Errorf("%d token requests for a hundred callers, want 1", n-2)
	}
}
