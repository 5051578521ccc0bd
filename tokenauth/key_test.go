package tokenauth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// privateKeys returns private keys in every form, by the name of the form.
func privateKeys(t testing.TB) map[string]string {
	t.Helper()
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	block := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	jwk := func(key any) string {
		raw, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "jwk-kid"})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	keys := map[string]string{
		"EC JWK": jwk(ec), "RSA JWK": jwk(rsaKey), "Ed25519 JWK": jwk(ed),
		"PKCS#1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil),
	}
	der, err := x509.MarshalECPrivateKey(ec)
	keys["SEC 1"] = block("EC PRIVATE KEY", der, err)
	for name, key := range map[string]any{"EC": ec, "P-384": ec384, "RSA": rsaKey, "Ed25519": ed} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		keys["PKCS#8 "+name] = block("PRIVATE KEY", der, err)
	}
	return keys
}

func TestF28ClientAssertion(t *testing.T) {
	for name, text := range privateKeys(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key, err := tokenauth.ParseKey(tokenauth.NewSecret(text), "")
				if err != nil {
					t.Fatal(err)
				}
				server := tokenauthtest.NewServer()
				server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
					document := server.Document()
					document["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic", "private_key_jwt"}
					tokenauthtest.WriteJSON(w, 200, document)
				})
				server.HandleToken(respondToken("t", 0))
				source := newTestSource(t, server, func(c *tokenauth.Config) {
					c.Credentials = func() (tokenauth.Credentials, error) {
						return tokenauth.Credentials{ClientID: "client", Key: key}, nil
					}
				})
				seen := make(map[string]bool)
				for range 3 {
					getToken(t, source)
				}
				for _, request := range server.TokenRequests() {
					form := request.Form
					if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" ||
						form.Get("client_id") != "client" || form.Has("client_secret") || request.Header.Get("Authorization") != "" {
						t.Errorf("the form is %v", form)
					}
					jws, err := jose.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.EdDSA})
					if err != nil {
						t.Fatal(err)
					}
					public, err := key.Public()
					if err != nil {
						t.Fatal(err)
					}
					var jwk jose.JSONWebKey
					if err := json.Unmarshal(public, &jwk); err != nil || !jwk.IsPublic() || jwk.Use != "sig" || jwk.Algorithm == "" {
						t.Fatalf("public key %s: %v", public, err)
					}
					payload, err := jws.Verify(jwk)
					if err != nil {
						t.Fatal(err)
					}
					var claims map[string]any
					if err := json.Unmarshal(payload, &claims); err != nil {
						t.Fatal(err)
					}
					now := float64(time.Now().Unix())
					if claims["iss"] != "client" || claims["sub"] != "client" || claims["aud"] != server.Issuer() ||
						claims["iat"] != now || claims["exp"].(float64) <= now || claims["exp"].(float64) > now+120 {
						t.Errorf("claims are %v", claims)
					}
					wantID := key.Thumbprint()
					if strings.HasSuffix(name, "JWK") {
						wantID = "jwk-kid"
					}
					if jws.Signatures[0].Protected.KeyID != wantID {
						t.Errorf("kid is %q, want %q", jws.Signatures[0].Protected.KeyID, wantID)
					}
					seen[claims["jti"].(string)] = true
				}
				if len(seen) != 3 {
					t.Errorf("%d different jti in 3 requests", len(seen))
				}
			})
		})
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	p224DER, _ := x509.MarshalPKCS8PrivateKey(p224)
	good := privateKeys(t)["PKCS#8 EC"]
	key, err := tokenauth.ParseKey(tokenauth.NewSecret(good), "")
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	one, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	mixed, _ := json.Marshal(jose.JSONWebKey{Key: &ecdsa.PrivateKey{PublicKey: one.PublicKey, D: other.D}}) //nolint:staticcheck // D is what a JWK has
	parameters := encode("EC PARAMETERS", []byte{6, 8}) + good
	if _, err := tokenauth.ParseKey(tokenauth.NewSecret(parameters), ""); err != nil {
		t.Errorf("a key after its parameters: %v", err)
	}
	for name, test := range map[string]struct{ text, want string }{
		"mixed":         {string(mixed), "do not belong together"},
		"empty":         {"", "neither PEM nor a JWK"},
		"text":          {"hunter2", "neither PEM nor a JWK"},
		"weak":          {encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak)), "1024 bits"},
		"P-224":         {encode("PRIVATE KEY", p224DER), "curve"},
		"encrypted":     {encode("ENCRYPTED PRIVATE KEY", []byte("x")), "encrypted"},
		"old encrypted": {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "encrypted"},
		"certificate":   {encode("CERTIFICATE", []byte("x")), "not a private key"},
		"damaged":       {encode("PRIVATE KEY", []byte("damaged")), "cannot be read"},
		"public JWK":    {string(public), "without a private key"},
		"broken JWK":    {`{"kty":"EC"}`, "not a valid JWK"},
		"symmetric":     {`{"kty":"oct","k":"c2VjcmV0"}`, "not a valid JWK"},
	} {
		_, err := tokenauth.ParseKey(tokenauth.NewSecret(test.text), "")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, test.want)
		}
	}
}

func TestKeyDoesNotPrintItself(t *testing.T) {
	for name, text := range privateKeys(t) {
		key, err := tokenauth.ParseKey(tokenauth.NewSecret(text), "")
		if err != nil {
			t.Fatal(err)
		}
		private, err := key.PrivatePEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := tokenauth.ParseKey(private, "")
		if err != nil || again.Thumbprint() != key.Thumbprint() {
			t.Errorf("%s: what PrivatePEM gives is read as %v, %v", name, again, err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			want := "key " + key.Thumbprint()
			if got := fmt.Sprintf(verb, key); got != want {
				t.Errorf("%s: %s prints %q", name, verb, got)
			}
		}
		dump := fmt.Sprintf("%#v %+v", tokenauth.Credentials{Key: key}, []any{*key, &tokenauth.Credentials{DPoPKey: key}})
		if strings.Contains(dump, "PrivateKey") || strings.Count(dump, key.Thumbprint()) != 2 {
			t.Errorf("%s: it shows in %s", name, dump)
		}
	}
}

func TestF28AudienceCanBeConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := tokenauth.GenerateKey("ES256")
		if err != nil {
			t.Fatal(err)
		}
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.AuthMethod, c.Audience = tokenauth.PrivateKeyJWT, "https://audience.test/token"
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: "client", Key: key}, nil
			}
		})
		getToken(t, source)
		jws, err := jose.ParseSigned(server.TokenRequests()[0].Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		// One audience, as a string.
		if payload := string(jws.UnsafePayloadWithoutVerification()); !strings.Contains(payload, `"aud":"https://audience.test/token"`) {
			t.Errorf("claims are %s", payload)
		}
	})
}
