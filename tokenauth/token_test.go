package tokenauth_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestF13TokenIsNotSentShortlyBeforeItExpires(t *testing.T) {
	for _, c := range []struct {
		lifetime int
		want     time.Duration
	}{
		{300, 270 * time.Second},   // a tenth
		{3600, 3570 * time.Second}, // 30 seconds at most
		{10, 9 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			server.HandleToken(respondToken("t", c.lifetime))
			token := getToken(t, newTestSource(t, server))
			if got := time.Until(token.ExpiresAt()); got != c.want {
				t.Errorf("a token of %d s can be used for %v, want %v", c.lifetime, got, c.want)
			}
		})
	}
}

func TestLifeIsCountedFromTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			advance(5 * time.Second)
			tokenauthtest.WriteToken(w, "slow", 300)
		})
		token := getToken(t, newTestSource(t, server))
		if got := time.Until(token.ExpiresAt()); got != 265*time.Second {
			t.Errorf("it can be used for %v more, want 265 s", got)
		}
	})
}

func TestTokenThatExpiredOnItsWayIsUnusable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			advance(5 * time.Second)
			tokenauthtest.WriteToken(w, "slow", 3)
		})
		if failure := getError(t, newTestSource(t, server)); failure.Cause != tokenauth.CauseUnusable {
			t.Errorf("cause is %v, want unusable", failure.Cause)
		}
	})
}

func TestTokenIsRenewedInTheBackgroundWhileItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		start := time.Now()
		getToken(t, source)
		for time.Since(start) < time.Hour {
			advance(10 * time.Second)
			before := time.Now()
			if token := getToken(t, source); !token.ExpiresAt().After(before) {
				t.Fatal("got an expired token")
			}
			if waited := time.Since(before); waited != 0 {
				t.Fatalf("a caller waited %v", waited)
			}
		}
		// It is renewed every 210 to 240 seconds.
		n := len(server.TokenRequests())
		if n < 15 || n > 18 {
			t.Errorf("%d token requests in an hour, want 15 to 18", n)
		}
		advance(24 * time.Hour)
		if idle := len(server.TokenRequests()) - n; idle > 1 {
			t.Errorf("%d token requests while idle, want only the one for the last use", idle)
		}
	})
}

func TestF05RenewalsOfManyAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		at := map[time.Duration]bool{}
		renewed := make(chan time.Duration, 20)
		for range cap(renewed) {
			server := tokenauthtest.NewServer()
			source := newTestSource(t, server)
			getToken(t, source)
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				renewed <- time.Since(start)
				tokenauthtest.WriteToken(w, "new", 300)
			})
		}
		for range cap(renewed) {
			after := <-renewed
			at[after] = true
			if after < 210*time.Second || after > 240*time.Second {
				t.Errorf("renewed after %v, want 70 to 80 %% of 300 s", after)
			}
		}
		if len(at) < 10 {
			t.Errorf("%d of %d renewals coincide", cap(renewed)-len(at), cap(renewed))
		}
	})
}

func TestRefreshBeforeIsCountedFromWhenATokenStopsBeingSent(t *testing.T) {
	for _, c := range []struct{ before, want time.Duration }{
		{time.Minute, 210 * time.Second},
		{time.Second, 269 * time.Second},
		{time.Hour, 150 * time.Second}, // half of its life
	} {
		synctest.Test(t, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			source := newTestSource(t, server, func(config *tokenauth.Config) { config.RefreshBefore = c.before })
			getToken(t, source)
			advance(c.want - time.Millisecond)
			wantRequests(t, server, 1)
			advance(time.Millisecond)
			wantRequests(t, server, 2)
			wantBearer(t, getToken(t, source), "token-2")
		})
	}
}

func TestF06RefreshBeforeDoesNotProlongALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server, func(c *tokenauth.Config) { c.RefreshBefore = time.Second })
		source.Warm()
		advance(270 * time.Second)
		wantBearer(t, getToken(t, source), "token-2")
	})
}

func TestF10TokenWithoutALifeIsUsedOnceAndNotKept(t *testing.T) {
	for _, lifetime := range []any{0, -1, -86400, "0", "-1", 0.5} {
		synctest.Test(t, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			server.HandleToken(respondToken("once", lifetime))
			source := newTestSource(t, server)
			for n := range 3 {
				wantBearer(t, getToken(t, source), "once")
				wantRequests(t, server, n+1)
			}
			token, err := source.TokenFor(t.Context(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			wantBearer(t, token, "once")
			wantRequests(t, server, 4)
			advance(time.Hour)
			wantRequests(t, server, 4)
		})
	}
}

func TestF12ShortLifeDoesNotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondToken("short", 1))
		source := newTestSource(t, server)
		start := time.Now()
		for time.Since(start) < 10*time.Second {
			if token := getToken(t, source); !token.ExpiresAt().After(time.Now()) {
				t.Fatal("got an expired token")
			}
			advance(10 * time.Millisecond)
		}
		n := len(server.TokenRequests())
		if n > 15 {
			t.Errorf("%d token requests in 10 s for tokens of 1 s", n)
		}
		advance(time.Hour)
		if idle := len(server.TokenRequests()) - n; idle > 1 {
			t.Errorf("%d token requests while idle", idle)
		}
	})
}

func TestF14SameTokenUntilItExpiresIsNotAskedForInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		start := time.Now()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			tokenauthtest.WriteToken(w, "same", int((300*time.Second - time.Since(start)).Seconds()))
		})
		source := newTestSource(t, server)
		for time.Since(start) < 295*time.Second {
			wantBearer(t, getToken(t, source), "same")
			advance(100 * time.Millisecond)
		}
		if n := len(server.TokenRequests()); n > 4 {
			t.Errorf("%d token requests, want few", n)
		}
	})
}
