package tokenauth_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// wantState asserts the state of a source and returns its status.
func wantState(t *testing.T, source *tokenauth.Source, want tokenauth.State) tokenauth.Status {
	t.Helper()
	status := source.Status()
	if status.State != want {
		t.Errorf("the state is %s, want %s", status.State, want)
	}
	return status
}

func TestStatusFollowsTheLifeOfATokenWithoutUsingIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		source := newTestSource(t, server, func(c *tokenauth.Config) { c.Scopes = []string{"esign"} })
		if status := wantState(t, source, tokenauth.StateNone); status.ClientID != "" || !status.DiscoveredAt.IsZero() || status.GrantedScopes != nil {
			t.Errorf("before the first attempt: %+v", status)
		}
		source.Warm()
		synctest.Wait()
		start := time.Now()
		status := wantState(t, source, tokenauth.StateFresh)
		if status.ClientID != testClientID || status.AuthMethod != tokenauth.ClientSecretBasic || status.AssertionAlgorithm != "" {
			t.Errorf("who asked is %q by %q, %q", status.ClientID, status.AuthMethod, status.AssertionAlgorithm)
		}
		if !status.ObtainedAt.Equal(start) || !status.ExpiresAt.After(status.RefreshAt) || !status.DiscoveredAt.Equal(start) {
			t.Errorf("the times are %+v", status)
		}
		if !slices.Equal(status.GrantedScopes, []string{"esign"}) {
			t.Errorf("granted are %v", status.GrantedScopes)
		}
		advance(time.Until(status.RefreshAt))
		wantState(t, source, tokenauth.StateStale)
		advance(time.Until(status.ExpiresAt))
		if status := wantState(t, source, tokenauth.StateNone); !status.ExpiresAt.IsZero() {
			t.Errorf("an expired token expires at %v", status.ExpiresAt)
		}
		wantRequests(t, server, 1) // an idle token is not renewed, even if Status is called
	})
}

func TestStatusSaysWhyThereIsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		source := newTestSource(t, server)
		getError(t, source)
		status := wantState(t, source, tokenauth.StateBackingOff)
		if status.Err == nil || status.Err.Code != "invalid_client" || status.Failures != 1 || !status.NextAttempt.After(time.Now()) {
			t.Errorf("the failure is %v, number %d, next at %v", status.Err, status.Failures, status.NextAttempt)
		}
		advance(time.Until(status.NextAttempt))
		wantState(t, source, tokenauth.StateNone)
	})
}

func TestStatusCountsThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(hang)
		source := newTestSource(t, server)
		for range 3 {
			startToken(t.Context(), source)
		}
		synctest.Wait()
		if status := wantState(t, source, tokenauth.StateNone); status.Waiting != 3 || !status.Fetching {
			t.Errorf("%d wait, fetching: %t; want 3, true", status.Waiting, status.Fetching)
		}
		advance(tokenauth.DefaultTimeout)
		if status := source.Status(); status.Waiting != 0 || status.Fetching {
			t.Errorf("%d wait, fetching: %t; want none", status.Waiting, status.Fetching)
		}
	})
}

// The admin API of the gateway shows a Status as JSON.
func TestStatusAsJSON(t *testing.T) {
	server := tokenauthtest.NewServer()
	defer server.Close()
	source := newTestSource(t, server)
	if _, err := source.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := source.Status()
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	want := []string{"auth_method", "bound", "client_id", "expires_at", "failures", "fetching", "granted_scopes", "obtained_at", "refresh_at", "scopes", "state", "waiting"}
	if got := slices.Sorted(maps.Keys(members)); !slices.Equal(got, want) {
		t.Errorf("its members are %q, want %q", got, want)
	}
	for _, at := range []time.Time{status.ObtainedAt, status.RefreshAt, status.ExpiresAt, status.DiscoveredAt} {
		if at.Location() != time.UTC {
			t.Errorf("a time is in %s, want UTC", at.Location())
		}
	}
}
