package tokenauth_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestF15ParallelRejectionsCauseOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		rejected := getToken(t, source)
		got := make(chan string, 100)
		for range cap(got) {
			go func() {
				if token := renew(t.Context(), source, rejected); token != nil {
					got <- token.Authorization()
				} else {
					got <- "none"
				}
			}()
		}
		for range cap(got) {
			if s := <-got; s != "Bearer token-2" {
				t.Fatalf("Renew returned %q", s)
			}
		}
		wantRequests(t, server, 2)
	})
}

func TestF15PermanentRejectionRenewsEvery30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		for second := range 90 {
			next := renew(t.Context(), source, getToken(t, source))
			if renewed := second%30 == 0; (next != nil) != renewed {
				t.Fatalf("after %d s: renewed is %v, want %v", second, next != nil, renewed)
			}
			advance(time.Second)
		}
		wantRequests(t, server, 4)
	})
}

func TestF16LateRejectionDoesNotRenewTheNewToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		old := getToken(t, source)
		advance(245 * time.Second)
		wantBearer(t, getToken(t, source), "token-2")
		if source.Reject(old, http.StatusUnauthorized) != nil {
			t.Error("the rejection of a token that is no longer used starts a fetch")
		}
		wantBearer(t, renew(t.Context(), source, old), "token-2")
		wantRequests(t, server, 2)
	})
}

func TestF14RenewReturnsNothingIfTheSameTokenComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondToken("same", 300))
		source := newTestSource(t, server)
		rejected := getToken(t, source)
		for range 10 { // the first one fetches a token, which does not help
			if renew(t.Context(), source, rejected) != nil {
				t.Fatal("the rejected token was handed out as a new one")
			}
		}
		wantBearer(t, getToken(t, source), "same")
		wantRequests(t, server, 2)
	})
}

func TestF07FailedRenewalKeepsTheRejectedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		rejected := getToken(t, source)
		server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		for range 10 { // all but the first while the source holds back
			if renew(t.Context(), source, rejected) != nil {
				t.Fatal("a failed renewal returned a token")
			}
		}
		wantBearer(t, getToken(t, source), "token-1")
		wantRequests(t, server, 2)
	})
}

func TestRenewEndsWithItsContextAndTheFetchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		rejected := getToken(t, source)
		release := make(chan struct{})
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			tokenauthtest.WriteToken(w, "new", 300)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if renew(ctx, source, rejected) != nil || time.Since(start) != time.Second {
			t.Errorf("Renew did not end with its context, but after %v", time.Since(start))
		}
		close(release)
		synctest.Wait()
		wantBearer(t, getToken(t, source), "new")
		wantRequests(t, server, 2)
	})
}

func TestRejectDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		rejected := getToken(t, source)
		server.HandleToken(hang)
		done := source.Reject(rejected, http.StatusUnauthorized)
		if done == nil || source.Reject(rejected, http.StatusUnauthorized) != done {
			t.Error("rejections do not share one fetch")
		}
		wantBearer(t, getToken(t, source), "token-1")
		<-done // at its timeout
		wantBearer(t, getToken(t, source), "token-1")
	})
}

func TestRejectedTokenOfNoLifeIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondToken("once", 0))
		source := newTestSource(t, server)
		if renew(t.Context(), source, getToken(t, source)) != nil {
			t.Error("got another token")
		}
		wantRequests(t, server, 1)
	})
}
