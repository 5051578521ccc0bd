package tokenauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// later returns i after the given time has passed on each of the clocks.
func later(i instant, wall, mono time.Duration) instant {
	return instant{wall: i.wall.Add(wall), mono: i.mono.Add(mono)}
}

func TestEitherClockSaysThatTimeHasPassed(t *testing.T) {
	start := readClocks()
	deadline := start.plus(time.Minute)
	for name, test := range map[string]struct {
		wall, mono time.Duration // time that passes on the clocks
		passed     time.Duration
		reached    bool
	}{
		"both too early":             {59 * time.Second, 59 * time.Second, 59 * time.Second, false},
		"both":                       {time.Minute, time.Minute, time.Minute, true},
		"suspended":                  {time.Hour, time.Second, time.Hour, true},
		"wall clock set forward":     {time.Hour, 0, time.Hour, true},
		"wall clock set back":        {-time.Hour, time.Second, time.Second, false},
		"wall clock set back, later": {-time.Hour, time.Minute, time.Minute, true},
	} {
		now := later(start, test.wall, test.mono)
		if got := now.since(start); got != test.passed {
			t.Errorf("%s: %v have passed, want %v", name, got, test.passed)
		}
		if got := now.until(deadline); got != time.Minute-test.passed {
			t.Errorf("%s: %v are left, want %v", name, got, time.Minute-test.passed)
		}
		if got := now.reached(deadline); got != test.reached {
			t.Errorf("%s: the deadline has been reached: %v, want %v", name, got, test.reached)
		}
		if !now.reached(instant{}) {
			t.Errorf("%s: the zero instant has not been reached", name)
		}
	}
}

func TestTellIsAsFarFromTheWallClockAsFromThePresent(t *testing.T) {
	now := readClocks()
	// The wall clock has been set back by an hour since the deadline was computed.
	deadline := instant{wall: now.wall.Add(time.Hour + time.Minute), mono: now.mono.Add(time.Minute)}
	if got := now.wallTime(deadline).Round(0).Sub(now.wall); got != time.Minute {
		t.Errorf("a deadline that is a minute away is shown as one in %v", got)
	}
}

// jump simulates that the wall clock has gone forward by d while the monotonic clock stood
// still, or that the wall clock was set back if d is negative. It moves all instants that s
// remembers.
func (s *Source) jump(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	move := func(instants ...*instant) {
		for _, i := range instants {
			if *i != (instant{}) {
				*i = later(*i, -d, 0)
			}
		}
	}
	for _, token := range []*Token{s.current.Load(), s.previous, s.newest} {
		if token != nil {
			move(&token.issued, &token.obtained, &token.refreshAt, &token.expiresAt, &token.endsAt)
		}
	}
	if s.failure != nil {
		move(&s.failure.retryAt)
	}
	move(&s.lastCredentialCheck, &s.lastRenewal, &s.lastAttempt, &s.retryAfterUntil, &s.lastStoreLook)
	if d := s.config.Provider.current.Load(); d != nil {
		move(&d.at, &d.staleAt)
	}
}

// newClockSource returns a source of server's tokens.
func newClockSource(t *testing.T, server *tokenauthtest.Server) *Source {
	t.Helper()
	provider, err := NewProvider(server.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	source, err := NewSource(Config{Provider: provider, Credentials: func() (Credentials, error) {
		return Credentials{ClientID: "client", ClientSecret: NewSecret("secret")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	source.Attach(Runtime{Client: server.Client()})
	t.Cleanup(source.Close)
	return source
}

// bearer returns the token of source, without its scheme.
func bearer(t *testing.T, source *Source) string {
	t.Helper()
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(token.Authorization(), "Bearer ")
}

func TestTokenDoesNotOutliveASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newClockSource(t, server)
		bearer(t, source)
		source.jump(time.Hour)
		if status := source.Status(); status.State != StateNone || !status.ExpiresAt.IsZero() {
			t.Errorf("the status is %s until %v", status.State, status.ExpiresAt)
		}
		if token := bearer(t, source); token != "token-2" {
			t.Errorf("got %s", token)
		}
		// The provider's configuration is an hour old too.
		if n := server.Discoveries(); n != 2 {
			t.Errorf("the configuration was read %d times, want 2", n)
		}
	})
}

// After a shorter suspension, the token is still valid, but due to be renewed.
func TestTokenIsRenewedAfterAShortSuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newClockSource(t, tokenauthtest.NewServer())
		bearer(t, source)
		source.jump(250 * time.Second)
		status := source.Status()
		if left := time.Until(status.ExpiresAt); status.State != StateStale || left != 20*time.Second {
			t.Errorf("the status is %s for another %v", status.State, left)
		}
		bearer(t, source)
		synctest.Wait()
		if token := bearer(t, source); token != "token-2" {
			t.Errorf("it was not renewed: %s", token)
		}
	})
}

func TestClockThatIsSetBackDoesNotProlongALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newClockSource(t, tokenauthtest.NewServer())
		bearer(t, source)
		source.jump(-time.Hour)
		status := source.Status()
		if left := status.ExpiresAt.Round(0).Sub(time.Now().Round(0)); status.State != StateFresh || left != 270*time.Second {
			t.Errorf("the status is %s for another %v by the clock on the wall", status.State, left)
		}
		if got := status.ObtainedAt.Round(0).Sub(time.Now().Round(0)); got != 0 {
			t.Errorf("it is said to have been obtained in %v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		source := newClockSource(t, tokenauthtest.NewServer())
		bearer(t, source)
		source.mu.Lock()
		source.timer.Stop() // or the token is renewed
		source.mu.Unlock()
		source.jump(-time.Hour)
		time.Sleep(270 * time.Second)
		if status := source.Status(); status.State != StateNone {
			t.Errorf("at its end, the status is %s", status.State)
		}
	})
}

func TestTokenThatExpiredInASuspensionIsNotUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newClockSource(t, tokenauthtest.NewServer())
		bearer(t, source)
		token := source.current.Load() // obtained before the machine was suspended
		if !token.Usable() {
			t.Fatal("the new token is not usable")
		}
		source.jump(time.Hour)
		if token.Usable() {
			t.Error("the token is usable, though the wall clock says that it has expired")
		}
	})
}

// renew returns another token of source than rejected, which was refused with 401.
func renew(ctx context.Context, source *Source, rejected *Token) *Token {
	token, _ := source.Renew(ctx, rejected, http.StatusUnauthorized)
	return token
}

// A Source holds back until either clock says that the time is over.
func TestBrakesDoNotOutliveASuspension(t *testing.T) {
	refused := func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
	}
	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	for _, back := range []bool{false, true} {
		// A clock that is set back does not change them.
		jump := func(s *Source, d time.Duration) {
			if back {
				s.jump(-time.Hour)
				time.Sleep(d)
			} else {
				s.jump(d)
			}
		}
		for name, test := range map[string]struct {
			response http.HandlerFunc
			after    time.Duration
		}{"refusal": {refused, 10 * time.Second}, "Retry-After": {busy, 10 * time.Minute}} {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				source := newClockSource(t, server)
				server.HandleToken(test.response)
				if _, err := source.Token(t.Context()); err == nil {
					t.Fatal("no error")
				}
				server.HandleToken(nil)
				if _, err := source.Token(t.Context()); err == nil {
					t.Fatalf("%s: it does not hold back", name)
				}
				jump(source, test.after)
				if status := source.Status(); status.State != StateNone || !status.NextAttempt.IsZero() {
					t.Errorf("%s: after the time, the status is %s, and the next attempt at %v", name, status.State, status.NextAttempt)
				}
				bearer(t, source)
			})
		}
		synctest.Test(t, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			source := newClockSource(t, server)
			bearer(t, source)
			for n := 2; n < 5; n++ {
				renew(t.Context(), source, source.current.Load())
				if renew(t.Context(), source, source.current.Load()) != nil {
					t.Fatal("there is no brake on renewals")
				}
				if got := len(server.TokenRequests()); got != n {
					t.Fatalf("%d token requests, want %d", got, n)
				}
				jump(source, 30*time.Second)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			source := newClockSource(t, tokenauthtest.NewServer())
			for range 3 {
				if err := source.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				err := source.Refresh(t.Context())
				if _, ok := errors.AsType[*TooSoonError](err); !ok {
					t.Fatalf("there is no brake on refreshes: %v", err)
				}
				jump(source, 10*time.Second)
			}
		})
	}
}

// The previous token is given up in time too.
func TestTheTokenBeforeDoesNotOutliveASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newClockSource(t, tokenauthtest.NewServer())
		bearer(t, source)
		time.Sleep(200 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		renew(t.Context(), source, source.current.Load())
		if token := bearer(t, source); token != "token-1" {
			t.Fatalf("in use is %s", token)
		}
		source.jump(80 * time.Second)
		if token := bearer(t, source); token != "token-2" {
			t.Errorf("after the end of the one before, in use is %s", token)
		}
	})
}

// A 403 counts against a token that is old on either clock.
func TestYouthEndsInASuspension(t *testing.T) {
	now := readClocks()
	token := &Token{obtained: now}
	for _, test := range []struct {
		wall, mono time.Duration
		young      bool
	}{
		{4 * time.Second, 4 * time.Second, true},
		{time.Hour, time.Second, false},
		{-time.Hour, 4 * time.Second, true},
		{-time.Hour, 6 * time.Second, false},
	} {
		if got := token.young(later(now, test.wall, test.mono)); got != test.young {
			t.Errorf("after %v and %v it is young: %v", test.wall, test.mono, got)
		}
	}
}

// A waiting caller does not get a token that has expired meanwhile.
func TestLongCallDoesNotGetATokenThatExpiredInASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newClockSource(t, server)
		bearer(t, source)
		source.jump(time.Hour)
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		token, err := source.TokenFor(t.Context(), time.Minute)
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("it gets one until %v", token.ExpiresAt())
		}
	})
}
