package sandbox_test

import (
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// putKeys registers keys for a client of a running sandbox.
func putKeys(t testing.TB, s http.Handler, query, content string) *httptest.ResponseRecorder {
	t.Helper()
	return send(t, s, call{method: "PUT", target: "/sandbox/jwks" + query, contentType: jsonType, body: strings.NewReader(content)})
}

// encodedJWK returns a public key in JSON.
func encodedJWK(t testing.TB, key jose.JSONWebKey) string {
	t.Helper()
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestKeysAreRegisteredWhileTheSandboxRuns(t *testing.T) {
	first, second := newKey(t), newKey(t)
	s := newServer(t, sandbox.Options{Clients: []sandbox.Client{{ID: "key-client", Secret: "x"}}})
	old, new := encodedJWK(t, publicJWK(first, "1", "ES256")), encodedJWK(t, publicJWK(second, "2", "ES256"))
	accepts := func(when string, one, two int) {
		t.Helper()
		if got := askByAssertion(t, s, assert(t, jose.ES256, first, "1", nil), nil).Code; got != one {
			t.Errorf("%s, the first key has status %d, want %d", when, got, one)
		}
		if got := askByAssertion(t, s, assert(t, jose.ES256, second, "2", nil), nil).Code; got != two {
			t.Errorf("%s, the second key has status %d, want %d", when, got, two)
		}
	}
	accepts("at first", 400, 400)
	registered := decode[jose.JSONWebKeySet](t, putKeys(t, s, "?client_id=key-client", old), http.StatusOK)
	if len(registered.Keys) != 1 || registered.Keys[0].KeyID != "1" {
		t.Errorf("registered are %v", registered)
	}
	accepts("after one JWK", 200, 400)
	decode[jose.JSONWebKeySet](t, putKeys(t, s, "?client_id=key-client", `{"keys":[`+old+","+new+`]}`), http.StatusOK)
	accepts("after a JWK set", 200, 200)
	decode[jose.JSONWebKeySet](t, putKeys(t, s, "?client_id=key-client", new), http.StatusOK)
	accepts("after the first is withdrawn", 400, 200)
	if err := s.RegisterKeys("key-client", jose.JSONWebKeySet{}); err != nil {
		t.Error(err)
	}
	accepts("after both are withdrawn", 400, 400)
}

func TestKeysThatAreNotRegistered(t *testing.T) {
	key := newKey(t)
	public := encodedJWK(t, publicJWK(key, "1", "ES256"))
	s := newServer(t, sandbox.Options{Clients: []sandbox.Client{
		{ID: "key-client", Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{publicJWK(key, "1", "ES256")}}},
	}})
	for name, test := range map[string]struct {
		query, content string
		status         int
		want           string
	}{
		"no client":      {"", public, 400, "client_id must be given once"},
		"two clients":    {"?client_id=key-client&client_id=key-client", public, 400, "client_id must be given once"},
		"unknown client": {"?client_id=x", public, 404, "no client"},
		"no JSON":        {"?client_id=key-client", "x", 400, "cannot be read"},
		"no key":         {"?client_id=key-client", "{}", 400, "neither a JWK set nor a JWK"},
		"text":           {"?client_id=key-client", `"x"`, 400, "neither a JWK set nor a JWK"},
		"empty set":      {"?client_id=key-client", `{"keys":[]}`, 400, "the JWK set has no key"},
		"kid twice":      {"?client_id=key-client", `{"keys":[` + public + "," + public + `]}`, 400, "not unique"},
		"other type":     {"?client_id=key-client", `{"keys":[{"kty":"x"}]}`, 400, "key 1"},
		"symmetric key":  {"?client_id=key-client", `{"kty":"oct","k":"c2VjcmV0","kid":"1","alg":"HS256","use":"sig"}`, 400, "not a public key"},
		"private key":    {"?client_id=key-client", encodedJWK(t, jose.JSONWebKey{Key: key, KeyID: "1", Algorithm: "ES256", Use: "sig"}), 400, "key 1 is private: register its public part only"},
		"short key":      {"?client_id=key-client", encodedJWK(t, jose.JSONWebKey{Key: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}, KeyID: "1", Algorithm: "RS256", Use: "sig"}), 400, "key 1: an RSA key must have at least 2048 bits"},
		"no use":         {"?client_id=key-client", encodedJWK(t, jose.JSONWebKey{Key: key.Public(), KeyID: "1", Algorithm: "ES256"}), 400, `use is not "sig"`},
	} {
		w := putKeys(t, s, test.query, test.content)
		if got := decode[string](t, w, test.status); !strings.Contains(got, test.want) || strings.Contains(got, "c2VjcmV0") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if got := askByAssertion(t, s, assert(t, jose.ES256, key, "1", nil), nil).Code; got != http.StatusOK {
		t.Errorf("after all that, the key has status %d", got)
	}
	for _, mediaType := range []string{"application/jwk-set+json", "application/jwk+json"} {
		w := send(t, s, call{method: "PUT", target: "/sandbox/jwks?client_id=key-client", contentType: mediaType, body: strings.NewReader(public)})
		decode[jose.JSONWebKeySet](t, w, http.StatusOK)
	}
	w := send(t, s, call{method: "PUT", target: "/sandbox/jwks?client_id=key-client", body: strings.NewReader(public)})
	decode[string](t, w, http.StatusUnsupportedMediaType)
}
