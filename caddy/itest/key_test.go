package itest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// newKey makes a key for ES256. Its identifier is its thumbprint.
func newKey(t *testing.T) jose.JSONWebKey {
	t.Helper()
	return newKeyFor(t, jose.ES256)
}

// newKeyFor makes a key for the algorithm. Its identifier is its thumbprint.
func newKeyFor(t *testing.T, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case jose.RS256:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("no key for %s", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(alg), Use: "sig"}
	key.KeyID = thumbprint(t, key)
	return key
}

// thumbprint returns the key's SHA-256 thumbprint (RFC 7638).
func thumbprint(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// publicJWKS returns the JWK set with which a client is registered.
func publicJWKS(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

// pkcs8 returns the key as PEM.
func pkcs8(t *testing.T, key jose.JSONWebKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// writePEM writes the key to a file and returns its path.
func writePEM(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	return writeKey(t, "key.pem", pkcs8(t, key))
}

// writeJWK writes the key to a file and returns its path.
func writeJWK(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	data, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return writeKey(t, "key.jwk", data)
}

func writeKey(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// privateForms returns the private key in the forms that could leak.
func privateForms(t *testing.T, key jose.JSONWebKey) []string {
	t.Helper()
	scalar, err := key.Key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	forms := []string{
		base64.RawURLEncoding.EncodeToString(scalar), // JWK
		base64.RawStdEncoding.EncodeToString(scalar),
		hex.EncodeToString(scalar),
		new(big.Int).SetBytes(scalar).String(), // fmt
	}
	for line := range strings.Lines(string(pkcs8(t, key))) {
		forms = append(forms, strings.TrimSpace(line))
	}
	return forms
}
