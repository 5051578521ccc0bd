package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// orderCall tells by its status whether an access token is good: 404 or 401.
func orderCall(authorization string) call {
	return call{method: "GET", target: "/v1/signdoc/pades?sign_id=none", authorization: authorization}
}

func TestRevokeTokens(t *testing.T) {
	s := newServer(t, sandbox.Options{Clients: []sandbox.Client{{ID: "other", Secret: "x"}}})
	mine := bearer(t, s, "esign")
	p := newProver(t)
	bound := p.bound(t, s, "esign/b2b")
	inject(t, s, sandbox.Fault{Effect: sandbox.RevokeTokens, ClientID: "other"})
	wantNoBody(t, send(t, s, orderCall(mine)), http.StatusNotFound)

	inject(t, s, sandbox.Fault{Effect: sandbox.RevokeTokens, ClientID: sandbox.ClientID})
	wantNoBody(t, send(t, s, orderCall(mine)), http.StatusUnauthorized)
	next := bearer(t, s, "esign")
	wantNoBody(t, send(t, s, orderCall(next)), http.StatusNotFound)
	if w := p.callB2B(t, s, bound, hashPath, `["`+hashOf("x")+`"]`); w.Code != http.StatusOK {
		t.Errorf("status %d for another client's token", w.Code)
	}

	inject(t, s, sandbox.Fault{Effect: sandbox.RevokeTokens})
	wantNoBody(t, send(t, s, orderCall(next)), http.StatusUnauthorized)
	wantB2BError(t, p.callB2B(t, s, bound, hashPath, `[]`), http.StatusUnauthorized, "invalid_token")
	s.ClearFaults()
	wantNoBody(t, send(t, s, orderCall(next)), http.StatusUnauthorized)
	wantNoBody(t, send(t, s, orderCall(bearer(t, s, "esign"))), http.StatusNotFound)
}

// keyIDs are those of the JWKS.
func keyIDs(t testing.TB, s http.Handler) []string {
	t.Helper()
	w := send(t, s, call{method: "GET", target: realm + "/protocol/openid-connect/certs"})
	var kids []string
	for _, key := range decode[jose.JSONWebKeySet](t, w, http.StatusOK).Keys {
		kids = append(kids, key.KeyID)
	}
	return kids
}

func TestRotateKey(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	first := keyIDs(t, s)
	old := bearer(t, s, "esign")
	rotate := sandbox.Fault{Effect: sandbox.RotateKey}
	inject(t, s, rotate)
	rotated := keyIDs(t, s)
	if len(rotated) != 2 || rotated[1] != first[0] || rotated[0] == first[0] {
		t.Errorf("keys are %v, were %v", rotated, first)
	}
	token, err := jwt.ParseSigned(bearer(t, s, "esign")[len("Bearer "):], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || token.Headers[0].KeyID != rotated[0] {
		t.Errorf("a new token is by %v, %v", token.Headers, err)
	}
	wantNoBody(t, send(t, s, orderCall(old)), http.StatusNotFound)
	for range 3 { // which are all that are kept
		inject(t, s, rotate)
	}
	if got := keyIDs(t, s); len(got) != 4 || got[3] != rotated[0] {
		t.Errorf("keys are %v", got)
	}
	wantNoBody(t, send(t, s, orderCall(old)), http.StatusUnauthorized)

	passive := bearer(t, s, "esign")
	inject(t, s, sandbox.Fault{Effect: sandbox.RotateKey, DisableOld: true})
	if got := keyIDs(t, s); len(got) != 1 {
		t.Errorf("keys are %v", got)
	}
	wantNoBody(t, send(t, s, orderCall(passive)), http.StatusUnauthorized)
	wantNoBody(t, send(t, s, orderCall(bearer(t, s, "esign"))), http.StatusNotFound)
}

func TestMoveClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		before := bearer(t, s, "esign")
		p := newProver(t)
		for offset, proofIsGood := range map[time.Duration]bool{time.Hour: false, -time.Hour: false, 20 * time.Second: true, -20 * time.Second: false} {
			inject(t, s, sandbox.Fault{Effect: sandbox.MoveClock, Offset: offset})
			want := time.Now().Add(offset)
			w := send(t, s, orderCall(before))
			if got := w.Header().Get("Date"); got != want.UTC().Format(http.TimeFormat) {
				t.Errorf("%v: Date is %q", offset, got)
			}
			if expired := w.Code == http.StatusUnauthorized; expired != (offset == time.Hour) {
				t.Errorf("%v: status %d for a token of before", offset, w.Code)
			}
			var claims jwt.Claims
			token, err := jwt.ParseSigned(bearer(t, s, "esign")[len("Bearer "):], []jose.SignatureAlgorithm{jose.ES256})
			if err != nil || token.UnsafeClaimsWithoutVerification(&claims) != nil || claims.Expiry.Time().Unix() != want.Add(300*time.Second).Unix() {
				t.Errorf("%v: token has %+v, %v", offset, claims, err)
			}
			proof := askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL, "", nil))
			if (proof.Code == http.StatusOK) != proofIsGood {
				t.Errorf("%v: status %d for a proof of now: %s", offset, proof.Code, proof.Body)
			}
		}
		s.ClearFaults()
		if got := send(t, s, orderCall(before)).Header().Get("Date"); got != "" { // net/http will add it
			t.Errorf("Date is %q", got)
		}
		bearer(t, s, "esign")
	})
}

// Codes, service tokens and signature activation data expire by the sandbox's clock, as
// access tokens do.
func TestMovedClockEndsCredentialsOfCSC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		code, token := authorizationCode(t, s), serviceToken(t, s, "sandbox-clock")
		unsigned, content := authorized(t, s, sum("a"))
		inject(t, s, sandbox.Fault{Effect: sandbox.MoveClock, Offset: 2 * time.Minute})
		wantCSCError(t, ask(t, s, signHash, unsigned, content), http.StatusBadRequest, "invalid_sad")
		if w := exchange(t, s, bearer(t, s, "esign/csc"), code); w.Code != http.StatusBadRequest {
			t.Errorf("status %d for an expired code", w.Code)
		}
		inject(t, s, sandbox.Fault{Effect: sandbox.MoveClock, Offset: time.Hour})
		wantCSCError(t, ask(t, s, credentialsList, token, body{}), http.StatusUnauthorized, "invalid_token")
	})
}

// An order lives as long as it does, whatever the clock says.
func TestMovedClockChangesNoDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		id := opened(t, s, "/v1/signdoc/pades", bearer(t, s, "esign"))
		inject(t, s, sandbox.Fault{Effect: sandbox.MoveClock, Offset: 24 * time.Hour})
		wantState(t, s, "/v1/signdoc/pades", bearer(t, s, "esign"), id, "ORDER_RECEIVED")
	})
}

// nonceOf returns the nonce that a refusal asks for.
func nonceOf(t testing.TB, w *httptest.ResponseRecorder, status int) string {
	t.Helper()
	if code := decode[map[string]string](t, w, status)["error"]; code != "use_dpop_nonce" {
		t.Errorf("error is %q", code)
	}
	nonce := w.Header().Get("DPoP-Nonce")
	if nonce == "" {
		t.Error("there is no DPoP-Nonce")
	}
	return nonce
}

func TestDemandNonceAtTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		p := newProver(t)
		with := func(nonce string) *httptest.ResponseRecorder {
			return askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL, "", map[string]any{"nonce": nonce}))
		}
		demand := sandbox.Fault{Effect: sandbox.DemandNonce, Path: tokenPath}
		inject(t, s, demand)
		first := nonceOf(t, askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL, "", nil)), http.StatusBadRequest)
		if got := nonceOf(t, with("made-up"), http.StatusBadRequest); got != first {
			t.Errorf("the next nonce is %q", got)
		}
		if w := with(first); w.Code != http.StatusOK || w.Header().Get("DPoP-Nonce") != first {
			t.Errorf("status %d, nonce %q", w.Code, w.Header().Get("DPoP-Nonce"))
		}
		time.Sleep(30 * time.Second)
		w := with(first)
		second := w.Header().Get("DPoP-Nonce")
		if w.Code != http.StatusOK || second == first || second == "" {
			t.Errorf("after 30 s: status %d, nonce %q", w.Code, second)
		}
		time.Sleep(30 * time.Second)
		nonceOf(t, with(first), http.StatusBadRequest)
		if got := with(second).Code; got != http.StatusOK {
			t.Errorf("status %d with the nonce before", got)
		}
		time.Sleep(time.Minute)
		third := nonceOf(t, with(second), http.StatusBadRequest)
		inject(t, s, demand)
		if got := nonceOf(t, with(third), http.StatusBadRequest); got == third {
			t.Error("another demand is for the same nonce")
		}

		bearer(t, s, "esign") // who sends no proof needs no nonce
		wantOAuthError(t, "no proof", askB2B(t, s, "esign/b2b"), "invalid_request", "DPoP proof is missing")
		wantOAuthError(t, "bad proof", askB2B(t, s, "esign/b2b", "x"), "invalid_dpop_proof", "DPoP header verification failure")
		if w := p.callB2B(t, s, p.bound(t, newServer(t, sandbox.Options{}), "esign/b2b"), hashPath, `[]`); w.Header().Get("DPoP-Nonce") != "" {
			t.Error("B2B demands it too")
		}
		s.ClearFaults()
		p.bound(t, s, "esign/b2b")
	})
}

func TestDemandNonceAtB2B(t *testing.T) {
	for name, options := range map[string]sandbox.Options{
		"fault": {}, "assumption": {Assumptions: sandbox.Assumptions{B2BNonce: true}},
	} {
		s := newServer(t, options)
		if name == "fault" {
			inject(t, s, sandbox.Fault{Effect: sandbox.DemandNonce, Path: hashPath})
		}
		p := newProver(t)
		token := p.bound(t, s, "esign/b2b")
		w := p.callB2B(t, s, token, hashPath, `["`+hashOf("x")+`"]`)
		nonce := nonceOf(t, w, http.StatusUnauthorized)
		if got := w.Header().Get("WWW-Authenticate"); got != `DPoP realm="sandbox", error="use_dpop_nonce", error_description="The DPoP proof lacks the nonce of the DPoP-Nonce header"` {
			t.Errorf("%s: challenge %q", name, got)
		}
		proof := p.prove(t, "POST", bankid.Sandbox.ESign+hashPath, token, map[string]any{"nonce": nonce})
		w = send(t, withProofs(s, proof), call{method: "POST", target: hashPath, authorization: "DPoP " + token, contentType: jsonType, body: strings.NewReader(`["` + hashOf("x") + `"]`)})
		if w.Code != http.StatusOK || w.Header().Get("DPoP-Nonce") != nonce {
			t.Errorf("%s: status %d, nonce %q, body %s", name, w.Code, w.Header().Get("DPoP-Nonce"), w.Body)
		}
	}
}
