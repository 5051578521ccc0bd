package itest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// keycloakSetups returns the setups that only Keycloak has: keys in other forms than a JWK
// set, and disabled clients.
func keycloakSetups(t *testing.T) []setup {
	t.Helper()
	ec, rsa := newKey(t), newKeyFor(t, jose.RS256)
	all := []setup{
		withSecret("client that is disabled, with a secret", "disabled-secret", secretBasic),
		withKey("client that is disabled, with a key", "disabled-key", ec),
	}
	for i := range all {
		all[i].registered.disabled, all[i].want = true, shows("disabled")
	}
	for _, form := range []struct {
		name     string
		key      jose.JSONWebKey
		register func(*registration)
		byKeyID  outcomes // with the kid that Keycloak gives the key
		byNone   outcomes // without a kid
	}{
		{
			"as a certificate", ec, func(r *registration) { r.certificate = certificate(t, ec) },
			outcomes{"": works},
			outcomes{"": works},
		},
		{
			"as PEM, RSA", rsa, func(r *registration) { r.publicKey = publicDER(t, rsa) },
			outcomes{"": works},
			outcomes{"": works},
		},
		{
			"as PEM, EC", ec, func(r *registration) { r.publicKey = publicDER(t, ec) },
			outcomes{"": works, "Keycloak 26.4.7": "the public key must be registered"},
			shows("key_id must give the kid of this one"),
		},
	} {
		for _, used := range []struct {
			name, keyID string
			want        outcomes
		}{
			{"", "", shows("set key_id to")},
			{", with its `kid` as `key_id`", digest(t, form.key), form.byKeyID},
			{", with `key_id none`", tokenauth.NoKeyID, form.byNone},
		} {
			s := withKey("key registered "+form.name+used.name, "registered "+form.name+used.keyID, form.key)
			s.used.keyID, s.registered.JWKS, s.want = used.keyID, nil, used.want
			form.register(s.registered)
			all = append(all, s)
		}
	}
	return all
}

// publicDER returns the public key as DER in base64, which is PEM without its frame.
func publicDER(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// certificate returns a certificate of the key, as DER in base64.
func certificate(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public().Key, key.Key.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// digest returns the kid that Keycloak gives a key that is registered as a
// certificate or as PEM.
func digest(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(publicDER(t, key))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
