package sandbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// assuming is a sandbox with assumptions, and the usual one for comparison.
func assuming(t testing.TB, a sandbox.Assumptions) []*sandbox.Server {
	t.Helper()
	return []*sandbox.Server{newServer(t, sandbox.Options{}), newServer(t, sandbox.Options{Assumptions: a})}
}

func TestAssumedSignDocRefusal(t *testing.T) {
	for i, s := range assuming(t, sandbox.Assumptions{SignDocForbids: true}) {
		want := []int{http.StatusUnauthorized, http.StatusForbidden}[i]
		for _, authorization := range []string{"", "Bearer x"} {
			wantNoBody(t, send(t, s, orderCall(authorization)), want)
			wantNoBody(t, send(t, s, call{method: "GET", target: "/v1/signdoc/convert/pdf/specs", authorization: authorization}), want)
		}
	}
}

func TestAssumedOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i, s := range assuming(t, sandbox.Assumptions{UnfinishedOrder: http.StatusConflict, OrderRetention: 3 * time.Hour}) {
			for _, target := range []string{"/v1/signdoc/pades", "/signdoc/pades", "/v1/timestamp/pades/lta"} {
				authorization := bearer(t, s, "esign esign/qtsa")
				id := opened(t, s, target, authorization)
				ask := call{method: "DELETE", target: target + "?sign_id=" + id, authorization: authorization}
				decode[string](t, send(t, s, ask), []int{http.StatusBadRequest, http.StatusConflict}[i])
				drive(t, s, id, "USER_SIGNING")
				time.Sleep(2 * time.Hour)
				ask.method, ask.authorization = "GET", bearer(t, s, "esign esign/qtsa")
				if got, want := send(t, s, ask).Code, []int{http.StatusNotFound, http.StatusOK}[i]; got != want {
					t.Errorf("%s: status %d after 2 h, want %d", target, got, want)
				}
			}
		}
	})
}

func TestAssumedAnswersAboutOrders(t *testing.T) {
	for i, s := range assuming(t, sandbox.Assumptions{CreatedOrder: http.StatusOK, StateMember: "status"}) {
		authorization := bearer(t, s, "esign esign/qtsa")
		for _, target := range []string{"/v1/signdoc/pades", "/v1/timestamp/pades/lta", "/signdoc/pades"} {
			assumed := i == 1 && target != "/signdoc/pades" // v0 is documented
			w := create(t, s, target, authorization, strings.NewReader(orderAt(target, signedPDF("x"))))
			created, want := http.StatusCreated, `{"signId":"ID","orderState":"ORDER_RECEIVED","orderName":"A contract"}`
			if assumed {
				created, want = http.StatusOK, `{"sign_id":"ID","status":"ORDER_RECEIVED"}`
			}
			id := decode[map[string]string](t, w, created)["sign_id"]
			w = send(t, s, call{method: "GET", target: target + "?sign_id=" + id, authorization: authorization})
			if got := strings.TrimSpace(strings.Replace(w.Body.String(), id, "ID", 1)); got != want {
				t.Errorf("%s: status is %s, want %s", target, got, want)
			}
		}
	}
}

// An order is that of the client that created it.
func TestAssumedOrdersOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i, shared := range []bool{false, true} {
			s := newServer(t, sandbox.Options{
				Clients: []sandbox.Client{{ID: "other", Secret: "s"}}, Assumptions: sandbox.Assumptions{SharedOrders: shared},
			})
			for _, target := range []string{"/v1/signdoc/pades", "/signdoc/pades", "/v1/timestamp/pades/lta"} {
				own := bearer(t, s, "esign esign/qtsa")
				w := post(t, s, url.Values{"client_id": {"other"}, "client_secret": {"s"}, "scope": {"esign esign/qtsa"}})
				other := "Bearer " + decode[map[string]any](t, w, http.StatusOK)["access_token"].(string)
				id := opened(t, s, target, own)
				time.Sleep(time.Second)
				for _, test := range []struct {
					method, authorization string
					status                [2]int // by shared
				}{
					{"GET", other, [2]int{http.StatusNotFound, http.StatusOK}},
					{"DELETE", other, [2]int{http.StatusNotFound, http.StatusOK}},
					{"GET", own, [2]int{http.StatusOK, http.StatusNotFound}},
				} {
					w := send(t, s, call{method: test.method, target: target + "?sign_id=" + id, authorization: test.authorization})
					if w.Code != test.status[i] {
						t.Errorf("shared %v: %s %s is %d, want %d", shared, test.method, target, w.Code, test.status[i])
					}
				}
			}
		}
	})
}

func TestAssumedScopeOfLTA(t *testing.T) {
	for i, s := range assuming(t, sandbox.Assumptions{ExtendWithoutScope: true}) {
		for _, target := range []string{"/v1/signdoc/pades", "/signdoc/pades"} {
			body := strings.Replace(orderAt(target, pdf("x")), `"extendToLTA": false`, `"extendToLTA": true`, 1)
			w := create(t, s, target, bearer(t, s, "esign"), strings.NewReader(body))
			if want := []int{http.StatusForbidden, http.StatusCreated}[i]; w.Code != want {
				t.Errorf("%s: status %d without the scope, want %d", target, w.Code, want)
			}
			decode[map[string]string](t, create(t, s, target, bearer(t, s, "esign esign/qtsa"), strings.NewReader(body)), http.StatusCreated)
		}
	}
}

func TestAssumedLifetimesOfCSC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{Assumptions: sandbox.Assumptions{
			CodeLifetime: 5 * time.Second, ServiceTokenLifetime: 10 * time.Second, SADLifetime: 2 * time.Second,
		}})
		code := authorizationCode(t, s)
		time.Sleep(5 * time.Second)
		if w := exchange(t, s, bearer(t, s, "esign/csc"), code); w.Code != http.StatusBadRequest {
			t.Errorf("status %d for an expired code", w.Code)
		}
		w := exchange(t, s, bearer(t, s, "esign/csc"), "sandbox-life")
		answer := decode[map[string]any](t, w, http.StatusOK)
		if answer["expires_in"] != 10.0 {
			t.Errorf("answer is %v", answer)
		}
		token, _ := answer["access_token"].(string)
		decode[map[string]any](t, ask(t, s, credentialsList, token, body{}), http.StatusOK)
		w = ask(t, s, credentialsAuthorize, token, toAuthorize(sum("a")))
		if got := decode[map[string]any](t, w, http.StatusOK)["expiresIn"]; got != 2.0 {
			t.Errorf("expiresIn is %v", got)
		}
		time.Sleep(10 * time.Second)
		wantCSCError(t, ask(t, s, signHash, token, body{}), http.StatusUnauthorized, "invalid_token")
	})
}

func TestAssumedRefusalOfTheExchange(t *testing.T) {
	for i, s := range assuming(t, sandbox.Assumptions{BadExchange: "invalid_token"}) {
		for _, authorization := range []string{"", "Bearer x"} {
			body := decode[map[string]string](t, exchange(t, s, authorization, "sandbox-unspent"), http.StatusUnauthorized)
			if want := []string{"invalid_client", "invalid_token"}[i]; body["error"] != want {
				t.Errorf("body is %v, want %s", body, want)
			}
		}
	}
}

func TestAssumedProofs(t *testing.T) {
	p := newProver(t)
	for i, s := range assuming(t, sandbox.Assumptions{IgnoreProofQuery: true, BadProof: "invalid_request"}) {
		w := askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL+"?x=1", "", nil))
		if want := []int{http.StatusBadRequest, http.StatusOK}[i]; w.Code != want {
			t.Errorf("status %d for a query, want %d", w.Code, want)
		}
		w = askB2B(t, s, "esign/b2b", p.prove(t, "GET", tokenURL, "", nil))
		wantOAuthError(t, "other method", w, []string{"invalid_dpop_proof", "invalid_request"}[i], "DPoP HTTP method mismatch")
	}
}

func TestAssumedTokenType(t *testing.T) {
	s := newServer(t, sandbox.Options{Assumptions: sandbox.Assumptions{TokenType: "Bearer"}})
	if got := decode[map[string]any](t, post(t, s, nil), http.StatusOK)["token_type"]; got != "Bearer" {
		t.Errorf("token_type is %v", got)
	}
}

func TestAssumptionRefusals(t *testing.T) {
	for field, a := range map[string]sandbox.Assumptions{
		"CreatedOrder":         {CreatedOrder: 202},
		"StateMember":          {StateMember: "state"},
		"UnfinishedOrder":      {UnfinishedOrder: 200},
		"OrderRetention":       {OrderRetention: -1},
		"CodeLifetime":         {CodeLifetime: -1},
		"ServiceTokenLifetime": {ServiceTokenLifetime: time.Millisecond},
		"SADLifetime":          {SADLifetime: 1500 * time.Millisecond},
		"BadProof":             {BadProof: "bad"},
		"BadExchange":          {BadExchange: "invalid_grant"},
		"TokenType":            {TokenType: "DPoP"},
	} {
		if _, err := sandbox.New(sandbox.Options{Assumptions: a}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
