package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// publicJWK is a key as it is registered.
func publicJWK(key any, kid, algorithm string) jose.JSONWebKey {
	private := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: algorithm, Use: "sig"}
	return private.Public()
}

// assert makes an assertion by the client "key-client"; other claims replace
// the right ones, and nil ones leave them out.
func assert(t testing.TB, algorithm jose.SignatureAlgorithm, key any, kid string, other map[string]any) string {
	t.Helper()
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": "key-client", "sub": "key-client", "aud": bankid.Sandbox.Issuer,
		"iat": now, "exp": now + 30, "jti": rand.Text(),
	}
	maps.Copy(claims, other)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	o := &jose.SignerOptions{}
	if kid != "" {
		o.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, signer, claims)
}

// askByAssertion asks for a token with an assertion and further parameters.
func askByAssertion(t testing.TB, s http.Handler, assertion string, more url.Values) *httptest.ResponseRecorder {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "scope": {"esign"},
		"client_assertion_type": {assertionType}, "client_assertion": {assertion},
	}
	maps.Copy(form, more)
	return send(t, s, call{method: "POST", target: tokenPath, contentType: formType, body: strings.NewReader(form.Encode())})
}

func TestPrivateKeyJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, old := newKey(t), newKey(t)
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(t, sandbox.Options{Clients: []sandbox.Client{{ID: "key-client", Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			publicJWK(key, "new", "ES256"), publicJWK(old, "old", "ES256"), publicJWK(rsaKey, "rsa", "RS256"),
		}}}}})
		now := time.Now().Unix()
		endpoint := map[string]any{"aud": tokenURL}
		for name, assertion := range map[string]string{
			"issuer":               assert(t, jose.ES256, key, "new", nil),
			"token endpoint":       assert(t, jose.ES256, key, "new", endpoint),
			"list of one":          assert(t, jose.ES256, key, "new", map[string]any{"aud": []string{tokenURL}}),
			"second key":           assert(t, jose.ES256, old, "old", nil),
			"RSA":                  assert(t, jose.RS256, rsaKey, "rsa", nil),
			"no iat, near exp":     assert(t, jose.ES256, key, "new", map[string]any{"iat": nil, "exp": now + 60}),
			"15 s ahead":           assert(t, jose.ES256, key, "new", map[string]any{"iat": now + 15, "nbf": now + 15}),
			"60 s old":             assert(t, jose.ES256, key, "new", map[string]any{"iat": now - 60}),
			"far exp, as Keycloak": assert(t, jose.ES256, key, "new", map[string]any{"exp": now + 3600}),
		} {
			if w := askByAssertion(t, s, assertion, nil); w.Code != http.StatusOK {
				t.Errorf("%s: status %d, body %q", name, w.Code, w.Body)
			}
		}
		decode[map[string]any](t, askByAssertion(t, s, assert(t, jose.ES256, key, "new", nil), url.Values{"client_id": {"key-client"}}), http.StatusOK)

		for name, test := range map[string]struct {
			claims      map[string]any
			description string
		}{
			"no sub":              {map[string]any{"sub": nil}, "Token sub claim is required"},
			"other iss":           {map[string]any{"iss": "other"}, "Issuer mismatch. The issuer should match the subject"},
			"no aud":              {map[string]any{"aud": nil}, "Invalid token audience"},
			"other aud":           {map[string]any{"aud": "https://other.example"}, "Invalid token audience"},
			"aud with slash":      {map[string]any{"aud": bankid.Sandbox.Issuer + "/"}, "Invalid token audience"},
			"two aud":             {map[string]any{"aud": []string{bankid.Sandbox.Issuer, tokenURL}}, "Multiple audiences not allowed"},
			"no exp":              {map[string]any{"exp": nil}, "Token exp claim is required"},
			"expired":             {map[string]any{"exp": now}, "Token is not active"},
			"not yet":             {map[string]any{"nbf": now + 16}, "Token is not active"},
			"far exp without iat": {map[string]any{"iat": nil, "exp": now + 61}, "Token expiration is too far in the future and iat claim not present in token"},
			"iat in the future":   {map[string]any{"iat": now + 16}, "Token was issued in the future"},
			"iat long ago":        {map[string]any{"iat": now - 61}, "Token was issued too far in the past to be used now"},
			"no jti":              {map[string]any{"jti": nil}, "Token jti claim is required"},
		} {
			wantOAuthError(t, name, askByAssertion(t, s, assert(t, jose.ES256, key, "new", test.claims), nil), "invalid_client", test.description)
		}
		const unverified = "Client authentication with signed JWT failed: Signature on JWT token failed validation"
		wantOAuthError(t, "no kid", askByAssertion(t, s, assert(t, jose.ES256, key, "", nil), nil), "invalid_client", "Unable to load public key")
		wantOAuthError(t, "other kid", askByAssertion(t, s, assert(t, jose.ES256, key, "unknown", nil), nil), "invalid_client", "Unable to load public key")
		wantOAuthError(t, "kid of another key", askByAssertion(t, s, assert(t, jose.ES256, key, "old", nil), nil), "invalid_client", unverified)
		wantOAuthError(t, "unregistered key", askByAssertion(t, s, assert(t, jose.ES256, newKey(t), "new", nil), nil), "invalid_client", unverified)
		wantOAuthError(t, "other alg", askByAssertion(t, s, assert(t, jose.RS384, rsaKey, "rsa", nil), nil), "invalid_client", "Invalid signature algorithm")
		wantOAuthError(t, "symmetric", askByAssertion(t, s, assert(t, jose.HS256, make([]byte, 32), "new", nil), nil), "invalid_client", "Invalid signature algorithm")
		wantOAuthError(t, "no JWT", askByAssertion(t, s, "x", nil), "invalid_client", "Client authentication with signed JWT failed: it is not a signed JWT")
		wantOAuthError(t, "no assertion", askByAssertion(t, s, "", nil), "invalid_client", "client_assertion parameter missing")
		good := assert(t, jose.ES256, key, "new", nil)
		wantOAuthError(t, "other client_id", askByAssertion(t, s, good, url.Values{"client_id": {"other"}}), "invalid_client", "client_id parameter does not match sub claim")
		wantOAuthError(t, "other type", askByAssertion(t, s, good, url.Values{"client_assertion_type": {"x"}}), "invalid_client", "Parameter client_assertion_type is not '"+assertionType+"'")
		wantOAuthError(t, "no type", askByAssertion(t, s, good, url.Values{"client_assertion_type": {""}}), "invalid_client", "Parameter client_assertion_type is missing")
		wantOAuthError(t, "with a secret", askByAssertion(t, s, good, url.Values{"client_secret": {"x"}}), "invalid_request", "More than one client authentication method")
		unknown := assert(t, jose.ES256, key, "new", map[string]any{"iss": "unknown", "sub": "unknown"})
		if body := decode[map[string]string](t, askByAssertion(t, s, unknown, nil), http.StatusUnauthorized); body["error"] != "invalid_client" {
			t.Errorf("unknown client: %v", body)
		}
		// None of the refusals has used it up.
		decode[map[string]any](t, askByAssertion(t, s, good, nil), http.StatusOK)
		time.Sleep(29 * time.Second)
		wantOAuthError(t, "reuse", askByAssertion(t, s, good, nil), "invalid_client", "Token reuse detected")
		time.Sleep(time.Second)
		wantOAuthError(t, "late reuse", askByAssertion(t, s, good, nil), "invalid_client", "Token is not active")

		// The client has no secret, and an empty one does not pass for it.
		w := send(t, s, call{
			method: "POST", target: tokenPath, authorization: basic("key-client", ""),
			contentType: formType, body: strings.NewReader("grant_type=client_credentials"),
		})
		decode[map[string]string](t, w, http.StatusUnauthorized)
	})
}

func TestConcurrentAssertionReuse(t *testing.T) {
	key := newKey(t)
	s := newServer(t, sandbox.Options{Clients: []sandbox.Client{{ID: "key-client", Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{publicJWK(key, "1", "ES256")}}}}})
	assertion := assert(t, jose.ES256, key, "1", nil)
	var granted atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if askByAssertion(t, s, assertion, nil).Code == http.StatusOK {
				granted.Add(1)
			}
		})
	}
	wg.Wait()
	if granted.Load() != 1 {
		t.Errorf("%d tokens", granted.Load())
	}
}

func TestClientOptions(t *testing.T) {
	key := newKey(t)
	good := publicJWK(key, "1", "ES256")
	changed := func(change func(*jose.JSONWebKey)) []sandbox.Client {
		k := good
		change(&k)
		return []sandbox.Client{{ID: "c", Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k}}}}
	}
	weird := &ecdsa.PublicKey{Curve: elliptic.P224()}
	for name, clients := range map[string][]sandbox.Client{
		"no ID":          {{Secret: "x"}},
		"no credentials": {{ID: "c"}},
		"twice":          {{ID: "c", Secret: "x"}, {ID: "c", Secret: "y"}},
		"unknown scope":  {{ID: "c", Secret: "x", Scopes: []string{"other"}}},
		"private key":    changed(func(k *jose.JSONWebKey) { k.Key = key }),
		"symmetric key":  changed(func(k *jose.JSONWebKey) { k.Key = []byte("x") }),
		"no key":         changed(func(k *jose.JSONWebKey) { k.Key = nil }),
		"other curve":    changed(func(k *jose.JSONWebKey) { k.Key = weird }),
		"no kid":         changed(func(k *jose.JSONWebKey) { k.KeyID = "" }),
		"no alg":         changed(func(k *jose.JSONWebKey) { k.Algorithm = "" }),
		"symmetric alg":  changed(func(k *jose.JSONWebKey) { k.Algorithm = "HS256" }),
		"other use":      changed(func(k *jose.JSONWebKey) { k.Use = "enc" }),
		"kid twice":      {{ID: "c", Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{good, good}}}},
	} {
		if _, err := sandbox.New(sandbox.Options{Clients: clients}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
