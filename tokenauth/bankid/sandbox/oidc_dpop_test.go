package sandbox_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
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

// badProofs are claims that no endpoint may accept, by what is wrong, with the
// description of the refusal.
func badProofs(target string) map[string]struct {
	claims      map[string]any
	description string
} {
	type bad = struct {
		claims      map[string]any
		description string
	}
	const (
		missing  = "DPoP mandatory claims are missing"
		inactive = "DPoP proof is not active"
		url      = "DPoP HTTP URL mismatch"
	)
	now := time.Now().Unix()
	return map[string]bad{
		"no jti":           {map[string]any{"jti": nil}, missing},
		"no htm":           {map[string]any{"htm": nil}, missing},
		"no htu":           {map[string]any{"htu": nil}, missing},
		"no iat":           {map[string]any{"iat": nil}, missing},
		"iat is text":      {map[string]any{"iat": "now"}, "DPoP verification failure: Invalid token signature"},
		"other method":     {map[string]any{"htm": "GET"}, "DPoP HTTP method mismatch"},
		"method in lower":  {map[string]any{"htm": "post"}, "DPoP HTTP method mismatch"},
		"other path":       {map[string]any{"htu": target + "/x"}, url},
		"final slash":      {map[string]any{"htu": target + "/"}, url},
		"with query":       {map[string]any{"htu": target + "?a=b"}, url},
		"with fragment":    {map[string]any{"htu": target + "#"}, url},
		"other scheme":     {map[string]any{"htu": strings.Replace(target, "http:", "https:", 1)}, url},
		"other host":       {map[string]any{"htu": strings.Replace(target, "127.0.0.1", "localhost", 1)}, url},
		"other port":       {map[string]any{"htu": strings.Replace(target, ":9771", "", 1)}, url},
		"relative":         {map[string]any{"htu": strings.TrimPrefix(target, "http://127.0.0.1:9771")}, url},
		"not a URL":        {map[string]any{"htu": "http://%zz"}, url},
		"26 s old":         {map[string]any{"iat": now - 26}, inactive},
		"16 s ahead":       {map[string]any{"iat": now + 16}, inactive},
		"age of the world": {map[string]any{"iat": -1 << 60}, inactive},
		"end of the world": {map[string]any{"iat": 1 << 60}, inactive},
	}
}

func TestBadProofsAtTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t, sandbox.Options{}), newProver(t)
		for name, bad := range badProofs(tokenURL) {
			w := askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL, "", bad.claims))
			wantOAuthError(t, name, w, "invalid_dpop_proof", bad.description)
		}
		good := p.prove(t, "POST", tokenURL, "", nil)
		wantOAuthError(t, "none", askB2B(t, s, "esign/b2b"), "invalid_request", "DPoP proof is missing")
		wantOAuthError(t, "empty", askB2B(t, s, "esign/b2b", ""), "invalid_request", "DPoP proof is missing")
		wantOAuthError(t, "two", askB2B(t, s, "esign/b2b", good, good), "invalid_dpop_proof", "DPoP header verification failure")
		for name, bad := range badJWS(t, good) {
			wantOAuthError(t, name, askB2B(t, s, "esign/b2b", bad.proof), "invalid_dpop_proof", bad.description)
		}
	})
}

func wantOAuthError(t testing.TB, name string, w *httptest.ResponseRecorder, code, description string) {
	t.Helper()
	body := decode[map[string]string](t, w, http.StatusBadRequest)
	if body["error"] != code || body["error_description"] != description {
		t.Errorf("%s: %v, want %q, %q", name, body, code, description)
	}
}

// badJWS are proofs with right claims in a wrong envelope.
func badJWS(t *testing.T, good string) map[string]struct{ proof, description string } {
	t.Helper()
	type bad = struct{ proof, description string }
	parts := strings.Split(good, ".")
	claims := func() map[string]any {
		return map[string]any{"jti": rand.Text(), "htm": "POST", "htu": tokenURL, "iat": time.Now().Unix()}
	}
	sign := func(algorithm jose.SignatureAlgorithm, key any, o *jose.SignerOptions) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, o)
		if err != nil {
			t.Fatal(err)
		}
		return signed(t, signer, claims())
	}
	embedded := func(jwk string) string {
		header := `{"alg":"ES256","typ":"dpop+jwt","jwk":` + jwk + `}`
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	p := newProver(t)
	p.kind = "JWT"
	typ := (&jose.SignerOptions{}).WithType("dpop+jwt")
	const header = "DPoP header verification failure"
	return map[string]bad{
		"no JWS":        {"x", header},
		"too long":      {strings.Repeat("x", 9<<10), header},
		"other type":    {p.prove(t, "POST", tokenURL, "", nil), "Invalid or missing type in DPoP header"},
		"no key":        {sign(jose.ES256, newKey(t), typ), "No JWK in DPoP header"},
		"symmetric":     {sign(jose.HS256, make([]byte, 32), typ), "Unsupported DPoP algorithm"},
		"unsigned":      {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"dpop+jwt"}`)) + "." + parts[1] + ".", "Unsupported DPoP algorithm"},
		"private key":   {embedded(string(private)), header},
		"symmetric key": {embedded(`{"kty":"oct","k":"AAAA"}`), header},
		"off the curve": {embedded(`{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}`), header},
		"other key":     {embedded(publicOf(t, newKey(t))), "DPoP verification failure: Invalid token signature"},
		"no signature":  {parts[0] + "." + parts[1] + ".", "DPoP verification failure: Invalid token signature"},
		"huge RSA key":  {embedded(`{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("_", 2000) + `"}`), header},
		"RSA for ES256": {embedded(`{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("_", 342) + `"}`), "DPoP verification failure: Invalid token signature"},
	}
}

func publicOf(t *testing.T, key any) string {
	t.Helper()
	public := (&jose.JSONWebKey{Key: key}).Public()
	text, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBadProofsAtB2B(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t, sandbox.Options{}), newProver(t)
		token := p.bound(t, s, "esign/b2b")
		target := bankid.Sandbox.ESign + hashPath
		send := func(by *prover, other map[string]any) *httptest.ResponseRecorder {
			return send(t, withProofs(s, by.prove(t, "POST", target, token, other)), call{
				method: "POST", target: hashPath, authorization: "DPoP " + token,
				contentType: jsonType, body: strings.NewReader(`["` + hashOf("a") + `"]`),
			})
		}
		for name, bad := range badProofs(target) {
			w := send(p, bad.claims)
			wantB2BError(t, w, http.StatusUnauthorized, "invalid_dpop_proof")
			if !strings.Contains(w.Body.String(), bad.description) {
				t.Errorf("%s: body %q", name, w.Body)
			}
		}
		for _, ath := range []any{nil, "", "x", strings.TrimRight(hashOf("other token"), "=")} {
			wantB2BError(t, send(p, map[string]any{"ath": ath}), http.StatusUnauthorized, "invalid_dpop_proof")
		}
		wantB2BError(t, send(newProver(t), nil), http.StatusUnauthorized, "invalid_dpop_proof")

		const jti = "replayed"
		if w := send(p, map[string]any{"jti": jti}); w.Code != http.StatusOK {
			t.Errorf("status %d, body %q", w.Code, w.Body)
		}
		wantB2BError(t, send(p, map[string]any{"jti": jti}), http.StatusUnauthorized, "invalid_dpop_proof")
		// A jti is used per URL, as at Keycloak.
		if w := askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL, "", map[string]any{"jti": jti})); w.Code != http.StatusOK {
			t.Errorf("status %d, body %q", w.Code, w.Body)
		}
	})
}

func TestProofWindowAndReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t, sandbox.Options{}), newProver(t)
		for _, ago := range []int64{25, 0, -15} {
			proof := p.prove(t, "POST", tokenURL, "", map[string]any{"iat": time.Now().Unix() - ago})
			decode[map[string]any](t, askB2B(t, s, "esign/b2b", proof), http.StatusOK)
			const used = "DPoP proof has already been used"
			wantOAuthError(t, "replayed", askB2B(t, s, "esign/b2b", proof), "invalid_dpop_proof", used)
			time.Sleep(time.Duration(25-ago) * time.Second)
			wantOAuthError(t, "replayed late", askB2B(t, s, "esign/b2b", proof), "invalid_dpop_proof", used)
			time.Sleep(time.Second)
			wantOAuthError(t, "replayed too late", askB2B(t, s, "esign/b2b", proof), "invalid_dpop_proof", "DPoP proof is not active")
		}
		again := map[string]any{"jti": "again"}
		for range 2 {
			again["iat"] = time.Now().Unix()
			decode[map[string]any](t, askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL, "", again)), http.StatusOK)
			time.Sleep(26 * time.Second)
		}
	})
}

func TestProofForIssuerWithDefaultPort(t *testing.T) {
	s, p := newServer(t, sandbox.Options{Issuer: "https://ID.example:443"}), newProver(t)
	const path = "/protocol/openid-connect/token"
	for _, origin := range []string{"https://id.example", "https://id.example:443", "HTTPS://ID.EXAMPLE"} {
		form := url.Values{"grant_type": {"client_credentials"}}
		w := send(t, withProofs(s, p.prove(t, "POST", origin+path, "", nil)), call{
			method: "POST", target: path, authorization: basic(sandbox.B2BClientID, sandbox.B2BClientSecret),
			contentType: formType, body: strings.NewReader(form.Encode()),
		})
		decode[map[string]any](t, w, http.StatusOK)
	}
}

func TestRSAProof(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		proof := signed(t, signer, map[string]any{"jti": "1", "htm": "POST", "htu": tokenURL, "iat": time.Now().Unix()})
		decode[map[string]any](t, askB2B(t, newServer(t, sandbox.Options{}), "esign/b2b", proof), http.StatusOK)
	}
}

// Of many requests with one proof, one succeeds.
func TestConcurrentReplay(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	atToken := p.prove(t, "POST", tokenURL, "", nil)
	atAPI := p.prove(t, "POST", bankid.Sandbox.ESign+hashPath, token, nil)
	var tokens, seals atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if askB2B(t, s, "esign/b2b", atToken).Code == http.StatusOK {
				tokens.Add(1)
			}
		})
		wg.Go(func() {
			w := send(t, withProofs(s, atAPI), call{
				method: "POST", target: hashPath, authorization: "DPoP " + token,
				contentType: jsonType, body: strings.NewReader(`["` + hashOf("a") + `"]`),
			})
			if w.Code == http.StatusOK {
				seals.Add(1)
			}
		})
	}
	wg.Wait()
	if tokens.Load() != 1 || seals.Load() != 1 {
		t.Errorf("%d tokens, %d seals", tokens.Load(), seals.Load())
	}
}

// Whatever comes as a proof, the answer is a refusal, since no input can be a
// good signature of the claims of now.
func FuzzProof(f *testing.F) {
	s, p := newServer(f, sandbox.Options{}), newProver(f)
	token := p.bound(f, s, "esign/b2b")
	target := bankid.Sandbox.ESign + hashPath
	stale := p.prove(f, "POST", target, token, map[string]any{"iat": 1})
	header, rest, _ := strings.Cut(stale, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(header)
	f.Add(string(decoded), payload, signature)
	for _, header := range []string{
		"", "{}", "null", `{"alg":"none"}`, `{"alg":"HS256","typ":"dpop+jwt","jwk":{"kty":"oct","k":"AA"}}`,
		`{"alg":"RS256","typ":"dpop+jwt","jwk":{"kty":"RSA","n":"AA","e":"AA"}}`,
		`{"alg":"EdDSA","typ":"dpop+jwt","jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}}`,
		`{"alg":"ES256","typ":1,"jwk":[],"crit":["b64"],"b64":false}`, `{"alg":"ES256","jwk":` + strings.Repeat("[", 3000),
	} {
		f.Add(header, payload, signature)
	}
	f.Add(string(decoded), "bnVsbA", "")
	f.Fuzz(func(t *testing.T, header, payload, signature string) {
		proof := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + payload + "." + signature
		for _, proof := range []string{proof, header} {
			if w := askB2B(t, s, "esign/b2b", proof); w.Code != http.StatusBadRequest {
				t.Errorf("token endpoint: status %d, body %q", w.Code, w.Body)
			}
			w := send(t, withProofs(s, proof), call{
				method: "POST", target: hashPath, authorization: "DPoP " + token,
				contentType: jsonType, body: strings.NewReader("[]"),
			})
			if w.Code != http.StatusUnauthorized {
				t.Errorf("B2B: status %d, body %q", w.Code, w.Body)
			}
		}
	})
}
