package gateway_test

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
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A settling is an API that accepts tokens only from a certain age on, together with the
// issuer of the tokens.
type settling struct {
	*gateway.Transport
	api    *backend
	issuer *tokenauthtest.Server

	life, age time.Duration
	refusal   int        // the status
	mu        sync.Mutex // of issued
	issued    map[string]time.Time
	revoked   map[string]bool
}

// newSettling makes a settling whose tokens live for 20 s. The API accepts them when they are
// 2 s old, and they are renewed when 14 to 16 s have passed.
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

// call makes a call and returns the status of the response.
func (s *settling) call(t *testing.T, method, path string) int {
	t.Helper()
	code, _ := status(t, s.Transport, newRequest(t, method, path, "body"))
	return code
}

// settle obtains the first token, and waits until the API accepts it.
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
		"401":            {"signdoc", "POST", "/v1/signdoc/pades", 401},
		"403":            {"signdoc", "POST", "/v1/signdoc/pades", 403},
		"of a safe row":  {"timestamp", "GET", "/v1/timestamp/pades/lta", 401},
		"bound to a key": {"b2b", "POST", "/v0/b2b/ades/pades", 401},
		"of a download":  {"signdoc", "DELETE", "/v1/signdoc/pades", 403},
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
				// One request every 14 to 16 s, and none because of the refusals.
				if n := len(s.issuer.TokenRequests()); n < 202/16 || n > 202/14+1 {
					t.Errorf("%d token requests in 202 s", n)
				}
				if retries := len(s.api.calls) - sent; retries > len(s.issuer.TokenRequests()) {
					t.Errorf("%d retries of %d renewals: the token before is not kept in use", retries, len(s.issuer.TokenRequests()))
				}
			})
		})
	}
}

// A call that cannot be sent again fails, but no other call does.
func TestYoungTokenCostsOneCallThatCannotBeRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.Table = gateway.NewTable(gateway.Call{Method: "POST", Path: "/x", Group: "signdoc", Kind: gateway.Bearer})
		s.settle(t, "signdoc")
		start, failed := time.Now(), 0
		for time.Since(start) < 200*time.Second {
			if s.call(t, "POST", "/x") != 200 {
				failed++
			}
			advance(100 * time.Millisecond)
		}
		// Such a call renews a token if less than half of its lifetime is left.
		n := len(s.issuer.TokenRequests())
		if failed > n || n > 202/9+1 {
			t.Errorf("%d calls failed in %d renewals in 202 s", failed, n)
		}
	})
}

// The first token has no previous token. All later tokens have one.
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
		// A call that takes long gets this token too, and no request is made for another.
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

// A previous token that has only its leeway left is better than a token that is refused.
func TestTheTokenBeforeIsARemedyToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.settle(t, "signdoc")
		s.age = 4 * time.Second                   // from now on, tokens take longer
		start := time.Now().Add(-2 * time.Second) // when the first token was issued
		// The renewal is at 15 s. The leeway of the first token begins at 18 s, and the
		// token expires at 20 s. The API accepts the new token at 19 s.
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

// If both tokens are revoked, the call is sent with each of them, and with a new one.
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
		// Now all three are revoked, and the brake allows no renewal.
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

// The previous token is refused before it expires, when the API knows the newer one.
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

// A call that is always forbidden tries the previous token once for each new token, and
// renews no young token.
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

// If many calls are refused at once, all of them go on with the previous token.
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
			go func() { got <- renew(t.Context(), source, second) }()
		}
		for range cap(got) {
			if token := <-got; token != first {
				t.Fatal("a call does not have the token before")
			}
		}
		// The API refuses that token too. There is one attempt for all calls.
		for range cap(got) {
			go func() {
				token := renew(t.Context(), source, first)
				if token == second {
					token = renew(t.Context(), source, second)
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

// If the API has accepted a token, a 403 for a missing right does not count against it.
func TestForbiddenDoesNotReplaceAnAcceptedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.life, s.age = 300*time.Second, 0
		forbids := func(r *http.Response) bool { return r.StatusCode == 401 || r.StatusCode == 403 }
		s.Table = gateway.NewTable(
			gateway.Call{Method: "POST", Path: "/x", Group: "signdoc", Kind: gateway.Bearer},
			gateway.Call{Method: "POST", Path: "/forbidden", Group: "signdoc", Kind: gateway.Bearer, Rejects: forbids},
		)
		answer := s.api.answer
		s.api.answer = func(r *http.Request) (int, string) {
			if r.URL.Path == "/forbidden" {
				return 403, ""
			}
			return answer(r)
		}
		s.settle(t, "signdoc")
		advance(100 * time.Second)
		if err := s.Sources["signdoc"].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.revoked["token-1"] = true
		advance(30 * time.Second)
		for _, path := range []string{"/x", "/forbidden", "/x"} {
			want := map[string]int{"/x": 200, "/forbidden": 403}[path]
			if code := s.call(t, "POST", path); code != want {
				t.Errorf("%s: status is %d, want %d", path, code, want)
			}
		}
	})
}

// The newer token is renewed in time, although its renewal was due while the previous token
// was in use.
func TestNewerTokenIsRenewedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettling(t)
		s.life = 300 * time.Second
		s.settle(t, "signdoc")
		source := s.Sources["signdoc"]
		advance(8 * time.Second)
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.call(t, "GET", pades) // goes on with the previous token
		for range 22 {
			if state := source.Status().State; state == tokenauth.StateNone {
				t.Error("there is no token")
			}
			getToken(t, source)
			advance(15 * time.Second)
		}
	})
}
