#!/usr/bin/env bash
# golang-jwt signs with a key in hardware if it is an Ed25519 key, and with no other.
#
# Software:  github.com/golang-jwt/jwt v5.3.1, github.com/go-jose/go-jose v4.1.6 and
#            github.com/lestrrat-go/jwx v3.1.1.
# Behaviour: A key in an HSM or TPM is a crypto.Signer in Go. golang-jwt takes it for EdDSA, and
#            demands *ecdsa.PrivateKey or *rsa.PrivateKey for ES256, RS256 and PS256. go-jose refuses
#            it for all ("unsupported key type/format"), and takes it for all in a wrapper of its
#            own, cryptosigner.Opaque. jwx takes it for all.
# Surprise:  SignedString takes any key, so the compiler lets it pass, and EdDSA shows that a signer is
#            enough. The kinds that nearly all hardware has, P-256 and RSA, are the refused ones.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	github.com/go-jose/go-jose/v4 v4.1.6
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/lestrrat-go/jwx/v3 v3.1.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// hardware hides all of a key but that it is a crypto.Signer, as a module does.
type hardware struct{ crypto.Signer }

func main() {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, one := range []struct {
		method jwt.SigningMethod
		jwx    jwa.SignatureAlgorithm
		key    crypto.Signer
	}{
		{jwt.SigningMethodES256, jwa.ES256(), hardware{ec}},
		{jwt.SigningMethodRS256, jwa.RS256(), hardware{rsaKey}},
		{jwt.SigningMethodPS256, jwa.PS256(), hardware{rsaKey}},
		{jwt.SigningMethodEdDSA, jwa.EdDSA(), hardware{ed}},
	} {
		alg := one.method.Alg()
		_, err := jwt.New(one.method).SignedString(one.key)
		fmt.Printf("%s, golang-jwt: %v\n", alg, err)
		_, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: one.key}, nil)
		fmt.Printf("%s, go-jose: %v\n", alg, err)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: cryptosigner.Opaque(one.key)}, nil)
		if err == nil {
			_, err = signer.Sign([]byte("{}"))
		}
		fmt.Printf("%s, go-jose, wrapped: %v\n", alg, err)
		_, err = jws.Sign([]byte("{}"), jws.WithKey(one.jwx, one.key))
		fmt.Printf("%s, jwx: %v\n", alg, err)
	}
}
GO
want='ES256, golang-jwt: key is of invalid type: ECDSA sign expects *ecdsa.PrivateKey
ES256, go-jose: go-jose/go-jose: unsupported key type/format
ES256, go-jose, wrapped: <nil>
ES256, jwx: <nil>
RS256, golang-jwt: key is of invalid type: RSA sign expects *rsa.PrivateKey
RS256, go-jose: go-jose/go-jose: unsupported key type/format
RS256, go-jose, wrapped: <nil>
RS256, jwx: <nil>
PS256, golang-jwt: key is of invalid type: RSA-PSS sign expects *rsa.PrivateKey
PS256, go-jose: go-jose/go-jose: unsupported key type/format
PS256, go-jose, wrapped: <nil>
PS256, jwx: <nil>
EdDSA, golang-jwt: <nil>
EdDSA, go-jose: go-jose/go-jose: unsupported key type/format
EdDSA, go-jose, wrapped: <nil>
EdDSA, jwx: <nil>'
go mod tidy >/dev/null 2>&1
got=$(go run .)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
