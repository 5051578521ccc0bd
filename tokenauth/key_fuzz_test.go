package tokenauth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Any content of a key file is either refused, or it is a private key that is strong enough
// and whose signatures the public key verifies.
func FuzzKey(f *testing.F) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)})))
	for _, text := range privateKeys(f) {
		f.Add(text)
		key, err := tokenauth.ParseKey(tokenauth.NewSecret(text), "")
		if err != nil {
			f.Fatal(err)
		}
		public, err := key.Public()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(public))
		var jwk jose.JSONWebKey
		if err := json.Unmarshal(public, &jwk); err != nil {
			f.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(jwk.Key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	}
	for _, text := range []string{`{}`, `{"kty":"oct","k":"AAAA"}`, `{"kty":"EC","crv":"P-256","x":"","y":"","d":""}`, "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := tokenauth.ParseKey(tokenauth.NewSecret(text), "")
		if err != nil {
			if key != nil || len(err.Error()) > 120 {
				t.Errorf("%v with the error %v", key, err)
			}
			return
		}
		checkKey(t, key)
	})
}

// checkKey checks that a key can sign, that its public part verifies the signature, and that
// the public part has nothing secret.
func checkKey(t *testing.T, key *tokenauth.Key) {
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(public, &jwk); err != nil || !jwk.IsPublic() || jwk.Algorithm == "" {
		t.Fatalf("public part %s: %v", public, err)
	}
	switch k := jwk.Key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			t.Errorf("an RSA key of %d bits", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			t.Errorf("a key on %s", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		t.Fatalf("a key of type %T", jwk.Key)
	}
	private, err := key.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(private.Reveal()))
	signer, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatalf("its own PEM: %v", err)
	}
	alg := jose.SignatureAlgorithm(strings.Replace(jwk.Algorithm, "Ed25519", "EdDSA", 1))
	jws, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := jws.Sign([]byte("claims"))
	if err != nil {
		t.Fatalf("it does not sign: %v", err)
	}
	if _, err := signature.Verify(jwk.Key); err != nil {
		t.Errorf("its public part does not verify what it signs: %v", err)
	}
}
