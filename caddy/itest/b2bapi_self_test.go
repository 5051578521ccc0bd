package itest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// TestB2BAPI shows that the simulated API refuses every wrong proof. If it accepted
// everything, the tests with it would not prove anything.
func TestB2BAPI(t *testing.T) {
	const issuer, client, path = "https://issuer.test", "client", "/v0/b2b/ades/pades"
	signer, key, other := newKey(t), newKey(t), newKey(t)
	api := startB2B(t, tokenVerifier{
		oidc.NewVerifier(issuer, &oidc.StaticKeySet{
			PublicKeys: []crypto.PublicKey{signer.Key.(*ecdsa.PrivateKey).Public()},
		}, verifierConfig()),
		client,
	})
	newToken := func(signer jose.JSONWebKey, client string) string {
		return sign(t, signer, "at+jwt", false, map[string]any{
			"iss": issuer, "client_id": client, "scope": "esign/b2b", "exp": time.Now().Add(time.Hour).Unix(),
			"cnf": map[string]string{"jkt": key.KeyID},
		})
	}
	token := newToken(signer, client)
	ath := sha256.Sum256([]byte(token))

	// call is a right call, which a case can make wrong.
	type call struct {
		scheme, token string
		key           jose.JSONWebKey
		typ           string
		noKey         bool
		claims        map[string]any
		again         bool
	}
	for name, test := range map[string]struct {
		spoil func(*call)
		want  string // of the response
	}{
		"good":                    {func(*call) {}, `"Scopes":"esign/b2b"`},
		"scheme":                  {func(c *call) { c.scheme = "Bearer" }, "scheme"},
		"token of another issuer": {func(c *call) { c.token = newToken(other, client) }, "signature"},
		"token of another client": {func(c *call) { c.token = newToken(signer, "else") }, "client"},
		"typ":                     {func(c *call) { c.typ = "JWT" }, "typ"},
		"no jwk":                  {func(c *call) { c.noKey = true }, "jwk"},
		"another key":             {func(c *call) { c.key = other }, "thumbprint"},
		"htm":                     {func(c *call) { c.claims["htm"] = "GET" }, "htm"},
		"htu":                     {func(c *call) { c.claims["htu"] = "https://api.test" + path }, "htu"},
		"htu with query":          {func(c *call) { c.claims["htu"] = api.url + path + "?a=b" }, "htu"},
		"no iat":                  {func(c *call) { delete(c.claims, "iat") }, "iat"},
		"old":                     {func(c *call) { c.claims["iat"] = time.Now().Add(-time.Hour).Unix() }, "iat"},
		"of tomorrow":             {func(c *call) { c.claims["iat"] = time.Now().Add(time.Hour).Unix() }, "iat"},
		"no ath":                  {func(c *call) { delete(c.claims, "ath") }, "ath"},
		"ath of another token":    {func(c *call) { c.claims["ath"] = "x" }, "ath"},
		"no jti":                  {func(c *call) { delete(c.claims, "jti") }, "jti"},
		"jti twice":               {func(c *call) { c.again = true }, "came before"},
	} {
		t.Run(name, func(t *testing.T) {
			c := call{scheme: "DPoP", token: token, key: key, typ: "dpop+jwt", claims: map[string]any{
				"jti": name, "htm": "POST", "htu": api.url + path, "iat": time.Now().Unix(),
				"ath": base64.RawURLEncoding.EncodeToString(ath[:]),
			}}
			test.spoil(&c)
			proof := sign(t, c.key, c.typ, !c.noKey, c.claims)
			_, _, body := post(t, api.url+path+"?a=b", c.scheme+" "+c.token, proof)
			if c.again {
				_, _, body = post(t, api.url+path, c.scheme+" "+c.token, proof)
			}
			if !strings.Contains(body, test.want) {
				t.Errorf("the API responds %s, want %s", body, test.want)
			}
		})
	}
	t.Run("nonce", func(t *testing.T) {
		claims := map[string]any{
			"htm": "POST", "htu": api.url + path, "iat": time.Now().Unix(),
			"ath": base64.RawURLEncoding.EncodeToString(ath[:]),
		}
		with := func(jti, nonce string) string {
			claims := maps.Clone(claims)
			claims["jti"], claims["nonce"] = jti, nonce
			return sign(t, key, "dpop+jwt", true, claims)
		}
		api.demand("one")
		status, header, _ := post(t, api.url+path, "DPoP "+token, with("n1", "none"))
		if status != http.StatusUnauthorized || header.Get("DPoP-Nonce") != "one" ||
			!strings.Contains(header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`) {
			t.Errorf("without the nonce: %d %v", status, header)
		}
		api.announce("two")
		status, header, _ = post(t, api.url+path, "DPoP "+token, with("n2", "one"))
		if status != http.StatusOK || header.Get("DPoP-Nonce") != "two" {
			t.Errorf("with the nonce: %d %v", status, header)
		}
		if status, _, _ = post(t, api.url+path, "DPoP "+token, with("n3", "one")); status != http.StatusUnauthorized {
			t.Errorf("with the last nonce: %d", status)
		}
	})
}

// sign makes a JWT.
func sign(t *testing.T, key jose.JSONWebKey, typ string, embed bool, claims map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{EmbedJWK: embed}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options.WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// post sends a call like the gateway.
func post(t *testing.T, target, authorization, proof string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	req.Header.Set("DPoP", proof)
	status, header, body := do(t, req)
	return status, header, string(body)
}
