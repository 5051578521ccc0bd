package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// badAuthorizations are Authorization values that no API may accept.
func badAuthorizations(t *testing.T, s http.Handler, scope string) map[string]string {
	t.Helper()
	good := bearer(t, s, scope)
	header, rest, _ := strings.Cut(strings.TrimPrefix(good, "Bearer "), ".")
	payload, signature, _ := strings.Cut(rest, ".")

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": bankid.Sandbox.Issuer, "aud": bankid.Sandbox.ESign, "typ": "Bearer", "scope": scope, "exp": 1 << 40,
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"other scheme":     "DPoP " + strings.TrimPrefix(good, "Bearer "),
		"no token":         "Bearer ",
		"no JWT":           "Bearer x",
		"two tokens":       good + ", " + good,
		"forged":           "Bearer " + forged,
		"no signature":     "Bearer " + header + "." + payload + ".",
		"unsigned":         "Bearer eyJhbGciOiJub25lIn0." + payload + ".",
		"other payload":    "Bearer " + header + "." + payload[:len(payload)-8] + "AAAAAAAA." + signature,
		"other sandbox":    bearer(t, newServer(t, sandbox.Options{}), scope),
		"client's secret":  basic(sandbox.ClientID, sandbox.ClientSecret),
		"service token":    "Bearer " + serviceToken(t, s, "sandbox-for-another-api"),
		"space in between": "Bearer  " + strings.TrimPrefix(good, "Bearer "),
	}
}

func TestSignDocAuthorization(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, method := range []string{"POST", "GET", "DELETE"} {
		ask := call{method: method, target: "/v1/signdoc/pades?sign_id=none"}
		wantNoBody(t, send(t, s, ask), http.StatusUnauthorized)
		for name, value := range badAuthorizations(t, s, "esign") {
			ask.authorization = value
			if w := send(t, s, ask); w.Code != http.StatusUnauthorized || w.Body.Len() != 0 {
				t.Errorf("%s, %s: status %d, body %q", method, name, w.Code, w.Body)
			}
		}
		for _, scope := range []string{"esign/csc", "esign/qtsa", "esign/nnin"} {
			ask.authorization = bearer(t, s, scope)
			wantNoBody(t, send(t, s, ask), http.StatusForbidden)
		}
		for _, scope := range []string{"esign", "signdoc/read_write", "esign/nnin esign"} {
			ask.authorization = strings.Replace(bearer(t, s, scope), "Bearer", "bearer", 1)
			if w := send(t, s, ask); w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
				t.Errorf("%s with %s: status %d", method, scope, w.Code)
			}
		}
	}
}

func TestTimestampAuthorization(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, method := range []string{"POST", "GET", "DELETE"} {
		ask := call{method: method, target: "/v1/timestamp/pades/lta?sign_id=none"}
		decode[string](t, send(t, s, ask), http.StatusForbidden)
		for name, value := range badAuthorizations(t, s, "esign/qtsa") {
			ask.authorization = value
			if w := send(t, s, ask); w.Code != http.StatusForbidden {
				t.Errorf("%s, %s: status %d, body %q", method, name, w.Code, w.Body)
			}
		}
		for _, scope := range []string{"esign", "esign/csc", "signdoc/read_write"} {
			ask.authorization = bearer(t, s, scope)
			decode[string](t, send(t, s, ask), http.StatusForbidden)
		}
		ask.authorization = bearer(t, s, "esign/qtsa")
		if w := send(t, s, ask); w.Code == http.StatusForbidden {
			t.Errorf("%s: status %d", method, w.Code)
		}
	}
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	good := bearer(t, s, "esign")
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Add("Authorization", good)
		s.ServeHTTP(w, r)
	})
	w := send(t, h, call{method: "GET", target: "/v1/signdoc/pades?sign_id=none", authorization: good})
	wantNoBody(t, w, http.StatusUnauthorized)
}

func TestTokenOfAnotherIssuer(t *testing.T) {
	a := newServer(t, sandbox.Options{Issuer: "http://127.0.0.1:1" + realm})
	b := newServer(t, sandbox.Options{Issuer: "http://127.0.0.1:2" + realm})
	w := send(t, b, call{method: "GET", target: "/v1/signdoc/pades?sign_id=none", authorization: bearer(t, a, "esign")})
	wantNoBody(t, w, http.StatusUnauthorized)
}
