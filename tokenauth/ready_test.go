package tokenauth_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// wantReady asserts whether source is ready, and waits for the work that this has started.
func wantReady(t *testing.T, source *tokenauth.Source, want bool) {
	t.Helper()
	if got := source.Ready(); got != want {
		t.Fatalf("ready: %t, want %t", got, want)
	}
	synctest.Wait()
}

func TestReadyObtainsTheTokenThatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		source := newTestSource(t, server)
		wantReady(t, source, false)
		wantReady(t, source, true)
		wantRequests(t, server, 1)
		advance(10 * time.Minute) // without calls, it is renewed once, and expires
		wantRequests(t, server, 2)
		wantReady(t, source, false)
		wantReady(t, source, true)
		wantRequests(t, server, 3)
	})
}

func TestReadyStaysTrueForWhoAsksRegularly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		source := newTestSource(t, server)
		wantReady(t, source, false)
		for range 360 { // an hour
			advance(10 * time.Second)
			wantReady(t, source, true)
		}
		if n := len(server.TokenRequests()); n < 12 || n > 20 {
			t.Errorf("%d token requests in an hour, for tokens of five minutes", n)
		}
	})
}

func TestReadyHoldsBackAsCallsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		source := newTestSource(t, server)
		wantReady(t, source, false)
		server.HandleToken(respondError(http.StatusServiceUnavailable, "temporarily_unavailable"))
		status := source.Status()
		for time.Now().Before(status.ExpiresAt) { // renewals fail; the token is still valid
			wantReady(t, source, true)
			advance(time.Second)
		}
		before := len(server.TokenRequests())
		for range 60 {
			wantReady(t, source, false)
			advance(time.Second)
		}
		if n := len(server.TokenRequests()) - before; n > 20 {
			t.Errorf("%d token requests in a minute", n)
		}
		server.HandleToken(nil)
		advance(time.Until(source.Status().NextAttempt) + 1)
		wantReady(t, source, false)
		wantReady(t, source, true)
	})
}
