package sandbox_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const (
	tokenURL = "http://127.0.0.1:9771" + tokenPath
	hashPath = "/v0/b2b/cmses_from_hashes"
)

// A prover makes DPoP proofs.
type prover struct {
	key  *ecdsa.PrivateKey
	kind jose.ContentType

	ahead time.Duration // of its clock
}

func newProver(t testing.TB) *prover {
	t.Helper()
	return &prover{key: newKey(t), kind: "dpop+jwt"}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// prove makes a proof; other claims replace the right ones, and nil ones leave
// them out.
func (p *prover) prove(t testing.TB, method, target, token string, other map[string]any) string {
	t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": target, "iat": time.Now().Add(p.ahead).Unix()}
	if token != "" {
		hash := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(hash[:])
	}
	maps.Copy(claims, other)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.key}, (&jose.SignerOptions{EmbedJWK: true}).WithType(p.kind))
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, signer, claims)
}

func signed(t testing.TB, signer jose.Signer, claims any) string {
	t.Helper()
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (p *prover) thumbprint(t testing.TB) string {
	t.Helper()
	key := jose.JSONWebKey{Key: p.key.Public()}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(thumbprint)
}

// withProofs adds DPoP headers to requests.
func withProofs(s http.Handler, proofs ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, proof := range proofs {
			r.Header.Add("DPoP", proof)
		}
		s.ServeHTTP(w, r)
	})
}

// askB2B asks for a token as the built-in B2B client.
func askB2B(t testing.TB, s http.Handler, scope string, proofs ...string) *httptest.ResponseRecorder {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	return send(t, withProofs(s, proofs...), call{
		method: "POST", target: tokenPath, authorization: basic(sandbox.B2BClientID, sandbox.B2BClientSecret),
		contentType: formType, body: strings.NewReader(form.Encode()),
	})
}

// bound is a token bound to the key of p.
func (p *prover) bound(t testing.TB, s http.Handler, scope string) string {
	t.Helper()
	w := askB2B(t, s, scope, p.prove(t, "POST", tokenURL, "", nil))
	token, _ := decode[map[string]any](t, w, http.StatusOK)["access_token"].(string)
	return token
}

// callB2B makes a call with a token and fresh proof.
func (p *prover) callB2B(t testing.TB, s http.Handler, token, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	proof := p.prove(t, "POST", bankid.Sandbox.ESign+path, token, nil)
	return send(t, withProofs(s, proof), call{
		method: "POST", target: path, authorization: "DPoP " + token, contentType: jsonType, body: strings.NewReader(body),
	})
}

// wantB2BError checks an error response of B2B.
func wantB2BError(t testing.TB, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	body := decode[map[string]string](t, w, status)
	if body["error"] != code || body["error_description"] == "" || body["error_reference"] == "" {
		t.Errorf("body %v, want error %q", body, code)
	}
	if challenge := w.Header().Get("WWW-Authenticate"); strings.HasPrefix(challenge, "DPoP ") != (status == http.StatusUnauthorized) {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
}

// hashOf is the base64 of a SHA-256 hash.
func hashOf(text string) string {
	hash := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(hash[:])
}

func TestBoundToken(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	w := askB2B(t, s, "esign/b2b", p.prove(t, "POST", tokenURL, "", nil))
	body := decode[map[string]any](t, w, http.StatusOK)
	if body["token_type"] != "DPoP" || body["scope"] != "esign/b2b" {
		t.Errorf("body %v", body)
	}
	wantThumbprint(t, body, p.thumbprint(t))
}

// wantThumbprint checks the cnf claim of the token in an answer.
func wantThumbprint(t testing.TB, body map[string]any, want string) {
	t.Helper()
	token, _ := body["access_token"].(string)
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Confirmation map[string]string `json:"cnf"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		t.Fatal(err)
	}
	if claims.Confirmation["jkt"] != want {
		t.Errorf("cnf is %v, want jkt %q", claims.Confirmation, want)
	}
}

func TestProofBindsWithoutNeed(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	proof := p.prove(t, "POST", tokenURL, "", nil)
	body := decode[map[string]any](t, post(t, withProofs(s, proof), url.Values{"scope": {"esign"}}), http.StatusOK)
	if body["token_type"] != "DPoP" {
		t.Errorf("token_type is %v", body["token_type"])
	}
	wantThumbprint(t, body, p.thumbprint(t))

	token, _ := body["access_token"].(string)
	wantNoBody(t, send(t, s, call{method: "GET", target: "/v1/signdoc/pades?sign_id=x", authorization: "Bearer " + token}), http.StatusUnauthorized)
	w := p.callB2B(t, s, token, hashPath, `["`+hashOf("a")+`"]`)
	wantB2BError(t, w, http.StatusForbidden, "insufficient_scope -- SIG_BB604")
}

func TestB2BClientScopes(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	for _, scope := range []string{"esign", "esign/b2b esign", "other"} {
		w := askB2B(t, s, scope, p.prove(t, "POST", tokenURL, "", nil))
		if body := decode[map[string]string](t, w, http.StatusBadRequest); body["error"] != "invalid_scope" {
			t.Errorf("%s: %v", scope, body)
		}
	}
	w := p.callB2B(t, s, p.bound(t, s, ""), hashPath, `["`+hashOf("a")+`"]`)
	wantB2BError(t, w, http.StatusForbidden, "insufficient_scope -- SIG_BB604")
}

func TestB2BAuthorization(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	unbound := strings.TrimPrefix(bearer(t, s, "esign"), "Bearer ")
	for name, test := range map[string]struct {
		authorization string
		token         string // of the proof; none if empty
		code          string
	}{
		"nothing":           {"", "", "use_dpop_header"},
		"no proof":          {"DPoP " + token, "", "use_dpop_header"},
		"bearer, no proof":  {"Bearer " + token, "", "use_dpop_header"},
		"no token":          {"", token, "invalid_token"},
		"bearer with proof": {"Bearer " + token, token, "invalid_token"},
		"bad token":         {"DPoP " + token + "x", token + "x", "invalid_token"},
		"unbound token":     {"DPoP " + unbound, unbound, "invalid_token"},
	} {
		for _, path := range []string{hashPath, "/v0/b2b/csc/v2/credentials/list"} {
			var proofs []string
			if test.token != "" {
				proofs = append(proofs, p.prove(t, "POST", bankid.Sandbox.ESign+path, test.token, nil))
			}
			w := send(t, withProofs(s, proofs...), call{
				method: "POST", target: path, authorization: test.authorization,
				contentType: jsonType, body: strings.NewReader("{}"),
			})
			t.Log(name)
			wantB2BError(t, w, http.StatusUnauthorized, test.code)
		}
	}
}

func TestB2BStrictJSON(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	hash := hashOf("a")
	many := `["` + hash + strings.Repeat(`","`+hash, 15) + `"]`
	for path, bodies := range map[string][]string{
		"/v0/b2b/sdo_from_hash": {
			``, `null`, `[]`, `{}`, `{"hash":"` + hash + `"}`, `{`, `"x"`,
			`{"hash":"` + hash + `","mime_type":"text/plain","description":"d","extra":1}`,
			`{"hash":"` + hash + `","mime_type":"text/plain","description":null}`,
			`{"hash":"` + hash + `","mime_type":"image/png","description":"d"}`,
			`{"hash":"` + hash[1:] + `","mime_type":"text/plain","description":"d"}`,
			`{"hash":"` + hash + `","mime_type":"text/plain","description":"` + strings.Repeat("x", 129) + `"}`,
			`{"hash":"` + hash + `","mime_type":"text/plain","description":"d"} {}`,
		},
		hashPath:                          {`[null]`, many, `["x"]`, `[1]`, `null`},
		"/v0/b2b/pades/cmses_from_hashes": {many},
		"/v0/b2b/sdos_from_hashes":        {`{}`, `{"tbs_hashes":[]}`, `{"tbs_hashes":[null]}`, `{"tbs_hashes":[{}]}`},
		"/v0/b2b/sdo_from_text": {
			`{"text_to_sign":"","description":"d"}`, `{"text_to_sign":"€","description":"d"}`,
			`{"text_to_sign":"` + strings.Repeat("x", 5_000_001) + `","description":"d"}`,
		},
		"/v0/b2b/sdos_from_docs": {
			`{"tbs_documents":[{"description":"d"}]}`, `{"tbs_documents":[{"text_to_sign":"t","pdf":"JVBERi0=","description":"d"}]}`,
			`{"tbs_documents":[{"pdf":"eA==","description":"d"}]}`, `{"tbs_documents":[{"bidxml":{"xml":"<a/>"},"description":"d"}]}`,
		},
		"/v0/b2b/sdo_from_cmses": {
			`{}`, `{"cms_and_ocsps":[{"cms":"eA==","ocsp":"eA=="}],"mime_type":"text/plain","description":"d"}`,
			`{"cms_and_ocsps":[],"document":null,"mime_type":"text/plain","description":"d"}`,
		},
		"/v0/b2b/ades/xades": {
			`{}`, `{"xmlBytesB64":"PGEvPg==","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.113549.1.1.12","xadesType":"B"}`,
			`{"xmlBytesB64":"PGEvPg==","whatToSignId":"x","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.113549.1.1.11","xadesType":"B"}`,
		},
		"/v0/b2b/ades/pades": {
			`{}`, `{"pdfBytesB64":"JVBERi0=","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.113549.1.1.11","padesType":"T"}`,
		},
		"/v0/b2b/csc/v2/credentials/list": {`{"certificates":"all"}`, `{"maxResults":null}`, `{"x":1}`},
		"/v0/b2b/csc/v2/credentials/info": {`{}`, `{"credentialID":"other"}`},
		"/v0/b2b/csc/v2/signatures/signHash": {
			`{}`, `{"credentialID":"sandbox-b2b-credential","hashes":[],"signAlgo":"1.2.840.113549.1.1.11"}`,
			`{"credentialID":"sandbox-b2b-credential","hashes":["` + hash + `"],"signAlgo":"1.2.840.113549.1.1.13"}`,
			`{"credentialID":"sandbox-b2b-credential","hashes":["` + hash + `"],"signAlgo":"1.2.840.113549.1.1.10"}`,
		},
	} {
		for _, body := range bodies {
			t.Log(path, body[:min(len(body), 200)])
			w := p.callB2B(t, s, token, path, body)
			switch code := decode[map[string]string](t, w, http.StatusBadRequest)["error"]; code {
			case "json_validation_error -- SIG_BB600", "invalid_request -- SIG-BB607", "invalid_request -- SIG-BB608":
			default:
				t.Errorf("error is %q", code)
			}
		}
	}
}
