package tokenauth_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A settling is an API that does not know tokens before they have a certain age,
// and the issuer of these.
type settling struct {
	*tokenauth.Transport
	api    *backend
	issuer *tokenauthtest.Server

	life, age time.Duration
	refusal   int        // the status
	mu        sync.Mutex // of issued
	issued    map[string]time.Time
	revoked   map[string]bool
}

// newSettling makes one with tokens of 20 s of life, which the API knows when they
// are 2 s old, and which are renewed when 14 to 16 s have passed.
func newSettling(t *testing.T) *settling {
	t.Helper()
	s := &settling{
		life: 20 * time.Second, age: 2 * time.Second, refusal: http.StatusUnauthorized,
		issued: make(map[string]time.Time), revoked: make(map[string]bool),
	}
	s.Transport, s.api, s.issuer = newTransport(t)
	for group := range maps.Keys(s.Sources) {
		s.Sources[group] = newTestSource(t, s.issuer, func(c *tokenauth.Config) { c.DPoP = group == "b2b" })
	}
	s.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		token := fmt.Sprintf("token-%d", len(s.issuer.TokenRequests()))
		s.mu.Lock()
		s.issued[token] = time.Now()
		s.mu.Unlock()
		kind := "bearer"
		if r.Header.Get("DPoP") != "" {
			kind = "DPoP"
		}
		tokenauthtest.WriteJSON(w, http.StatusOK, map[string]any{"access_token": token, "token_type": kind, "expires_in": s.life.Seconds()})
	})
	s.api.answer = func(r *http.Request) (int, string) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		s.mu.Lock()
		issued, known := s.issued[token]
		s.mu.Unlock()
		if age := time.Since(issued); !known || s.revoked[token] || age < s.age || age >= s.life {
			return s.refusal, ""
		}
		if proof := r.Header.Get("DPoP"); (proof != "") != strings.HasPrefix(r.URL.Path, "/v0/b2b") {
			return http.StatusBadRequest, ""
		}
		return http.StatusOK, ""
	}
	return s
}

// call makes a call and returns the status.
func (s *settling) call(t *testing.T, method, path string) int {
	t.Helper()
	code, _ := status(t, s.Transport, newRequest(t, method, path, "body"))
	return code
}

// settle obtains the first token and lets it grow old enough.
func (s *settling) settle(t *testing.T, group string) {
	t.Helper()
	if _, err := s.Sources[group].Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	advance(s.age)
}

func TestYoungTokenThatIsNotKnownYetCostsNoCall(t *testing.T) {
	for name, test := range map[string]struct {
		group, method, path string
		refusal             int
	}{
		"401":                  {"signdoc", "POST", "/v1/signdoc/pades", 401},
		"403":                  {"signdoc", "POST", "/v1/signdoc/pades", 403},
		"of a safe row":        {"timestamp", "GET", "/v1/timestamp/pades/lta", 401},
		"bound to a key":       {"b2b", "POST", "/v0/b2b/ades/pades", 401},
		"of a one-shot answer": {"signdoc", "DELETE", "/v1/signdoc/pades", 403},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSettling(t)
				s.refusal = test.refusal
				s.settle(t, test.group)
				start, sent := time.Now(), 0
				for time.Since(start) < 200*time.Second {
					if code := s.call(t, test.method, test.path); code != 200 {
						t.Fatalf("after %v, a call gets %d", time.Since(start), code)
					}
					advance(100 * time.Millisecond)
					sent++
				}
				// 14 to 16 s each, and not one for the refusals.
				if n := len(s.issuer.TokenRequests()); n < 202/16 || n > 202/14+1 {
					t.Errorf("%d token requests in 202 s", n)
				}
				if repeats := len(s.api.calls) - sent; repeats > len(s.issuer.TokenRequests()) {
					t.Errorf("%d repeats of %d renewals: the token before is not kept in use", repeats, len(s.issuer.TokenRequests()))
				}
			})
		})
	}
}

// A call that cannot be sent again fails, but it is the only one.
func TestYoungTokenCostsOneCallThatCannotBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.Table = tokenauth.NewTable(tokenauth.Call{Method: "POST", Path: "/x", Group: "signdoc", Kind: tokenauth.Bearer})
		s.settle(t, "signdoc")
		start, failed := time.Now(), 0
		for time.Since(start) < 200*time.Second {
			if s.call(t, "POST", "/x") != 200 {
				failed++
			}
			advance(100 * time.Millisecond)
		}
		// Such a call renews a token of which less than half is left.
		n := len(s.issuer.TokenRequests())
		if failed > n || n > 202/9+1 {
			t.Errorf("%d calls failed in %d renewals in 202 s", failed, n)
		}
	})
}

// The first token has none before it. What follows has.
func TestYoungTokensAtTheStartAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		for range 20 {
			s.call(t, "GET", pades)
			advance(100 * time.Millisecond)
		}
		start := time.Now()
		for time.Since(start) < 200*time.Second {
			if code := s.call(t, "GET", pades); code != 200 && time.Since(start) > s.age {
				t.Fatalf("after %v, a call gets %d", time.Since(start), code)
			}
			advance(100 * time.Millisecond)
		}
	})
}

func TestTheTokenBeforeIsInUseUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		source := s.Sources["signdoc"]
		s.settle(t, "signdoc")
		first := source.Status()
		advance(10 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.call(t, "GET", pades)
		got := wantState(t, source, tokenauth.StateFresh)
		if !got.ExpiresAt.Equal(first.ExpiresAt) || !got.RefreshAt.After(got.ExpiresAt) {
			t.Errorf("in use until %v, want %v; to be renewed at %v", got.ExpiresAt, first.ExpiresAt, got.RefreshAt)
		}
		// A call that takes long must do with it, and nobody asks for another.
		if token, err := source.TokenFor(t.Context(), time.Minute); err != nil || token.Authorization() != "Bearer token-1" {
			t.Errorf("a long call has another token, or the error %v", err)
		}
		wantRequests(t, s.issuer, 2)
		advance(time.Until(first.ExpiresAt))
		if got := source.Status(); got.State != tokenauth.StateFresh || !got.ExpiresAt.After(first.ExpiresAt) {
			t.Errorf("after the end of the one before: %s until %v", got.State, got.ExpiresAt)
		}
		wantBearer(t, getToken(t, source), "token-2")
		wantRequests(t, s.issuer, 2)
	})
}

// A token before that has only its leeway left is better than one that is refused.
func TestTheTokenBeforeIsARemedyToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.settle(t, "signdoc")
		s.age = 4 * time.Second                   // by now: tokens arrive late
		start := time.Now().Add(-2 * time.Second) // when the first one was issued
		// Renewed at 15 s; the first one has its leeway from 18 s on, and its end at
		// 20 s; the new one is known at 19 s.
		advance(time.Until(start.Add(15 * time.Second)))
		if len(s.issuer.TokenRequests()) == 1 {
			if err := s.Sources["signdoc"].Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for time.Since(start) < 25*time.Second {
			if code := s.call(t, "GET", pades); code != 200 {
				t.Fatalf("after %v, a call gets %d", time.Since(start), code)
			}
			advance(50 * time.Millisecond)
		}
		wantRequests(t, s.issuer, 2)
	})
}

// Both tokens are revoked: the call is sent with each, and with a new one.
func TestBothTokensAreRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.age = 0
		s.settle(t, "signdoc")
		advance(10 * time.Second)
		if err := s.Sources["signdoc"].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.revoked["token-1"], s.revoked["token-2"] = true, true
		if code := s.call(t, "POST", pades); code != 200 {
			t.Errorf("the call gets %d", code)
		}
		var used []string
		for _, r := range s.api.calls {
			used = append(used, r.Header.Get("Authorization"))
		}
		if got := strings.Join(used, ", "); got != "Bearer token-2, Bearer token-1, Bearer token-3" {
			t.Errorf("it was sent with %s", got)
		}
		// All are: the brake holds.
		s.revoked["token-3"] = true
		for range 50 {
			if code := s.call(t, "POST", pades); code != 401 {
				t.Errorf("the call gets %d", code)
			}
			advance(100 * time.Millisecond)
		}
		wantRequests(t, s.issuer, 3)
	})
}

// The token before ends before its time, when the newer one has become known.
func TestNewerTokenIsUsedAgainWhenTheOneBeforeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.settle(t, "signdoc")
		advance(8 * time.Second)
		if err := s.Sources["signdoc"].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.call(t, "GET", pades)
		advance(6 * time.Second)
		wantBearer(t, getToken(t, s.Sources["signdoc"]), "token-1")
		s.revoked["token-1"] = true
		if code := s.call(t, "GET", pades); code != 200 {
			t.Errorf("the call gets %d", code)
		}
		wantBearer(t, getToken(t, s.Sources["signdoc"]), "token-2")
		wantRequests(t, s.issuer, 2)
	})
}

// A call that is forbidden for good tries the token before once for each new token,
// and renews none that is young.
func TestForbiddenForGoodTriesTheTokenBeforeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.age = 0
		s.settle(t, "signdoc")
		advance(10 * time.Second)
		if err := s.Sources["signdoc"].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.api.answer = func(*http.Request) (int, string) { return 403, "" }
		for n := range 40 { // 4 s
			s.call(t, "GET", pades)
			if got, want := len(s.api.calls), n+2; got != want {
				t.Fatalf("after %d calls, the API has seen %d, want %d", n+1, got, want)
			}
			advance(100 * time.Millisecond)
		}
		wantBearer(t, getToken(t, s.Sources["signdoc"]), "token-2")
		wantRequests(t, s.issuer, 2)
	})
}

// Many calls at once are refused: each goes on with the token before.
func TestManyCallsWithAYoungToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		source := s.Sources["signdoc"]
		s.settle(t, "signdoc")
		first := getToken(t, source)
		advance(9 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := getToken(t, source)
		got := make(chan *tokenauth.Token, 100)
		for range cap(got) {
			go func() { got <- source.Renew(t.Context(), second) }()
		}
		for range cap(got) {
			if token := <-got; token != first {
				t.Fatal("a call does not have the token before")
			}
		}
		// They are refused, too: one attempt, for all.
		for range cap(got) {
			go func() {
				token := source.Renew(t.Context(), first)
				if token == second {
					token = source.Renew(t.Context(), second)
				}
				got <- token
			}()
		}
		for range cap(got) {
			wantBearer(t, <-got, "token-3")
		}
		wantRequests(t, s.issuer, 3)
	})
}

// Another client's token, or one that is bound to another key, is no remedy.
func TestTokenOfAnotherClientIsNoRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		client := "one"
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: client, ClientSecret: tokenauth.NewSecret("secret")}, nil
			}
		})
		getToken(t, source)
		client = "two"
		advance(10 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantBearer(t, source.Renew(t.Context(), getToken(t, source)), "token-3")
	})
}

// Where tokens are shared, each process has its token before.
func TestYoungSharedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := newMemoryStore()
		one, two := newNode(t, server, store), newNode(t, server, store)
		first, own := getToken(t, one.Source), getToken(t, two.Source)
		advance(10 * time.Second)
		if err := one.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := getToken(t, one.Source)
		if one.Renew(t.Context(), second) != first {
			t.Error("the one that asked does not have the token before")
		}
		if err := two.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		shared := getToken(t, two.Source)
		wantBearer(t, shared, "token-2")
		if two.Renew(t.Context(), shared) != own {
			t.Error("the one that found it in the store does not have the token before")
		}
		wantRequests(t, server, 2)
	})
}
