#!/usr/bin/env bash
# openid-client names the algorithm of an Ed25519 key in a new way, and three libraries refuse it.
#
# Software:  oauth4webapi 3.8.8, which openid-client 6 is made of, and jose 6.2.18, as published on npm;
#            PyJWT 2.15.1 with cryptography 50.0.2, as published on PyPI; github.com/go-jose/go-jose/v4
#            v4.1.9 and github.com/golang-jwt/jwt/v5 v5.3.1.
# Behaviour: PrivateKeyJwt of oauth4webapi signs a client assertion by an Ed25519 key with the "alg"
#            Ed25519 (RFC 9864). jose verifies it. PyJWT, go-jose and golang-jwt do not, whether they are
#            told to accept Ed25519 or EdDSA. go-jose with Ed25519 fails with "error in cryptographic
#            primitive", as for a wrong signature. The same claims by the same key with the "alg" EdDSA
#            (RFC 8037) are good for all.
# Surprise:  Each of them has Ed25519 in its list of features, and the algorithm is the same. Nothing can
#            be set in oauth4webapi: the name follows from the key. A client works with a server by the
#            same author, and others say invalid_client.
# Needs:     bash, Go, Node.js 20 or newer, npm, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund oauth4webapi@3.8.8 jose@6.2.18 </dev/null >/dev/null
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check PyJWT==2.15.1 cryptography==50.0.2
cat >sign.mjs <<'JS'
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { SignJWT, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import * as oauth from 'oauth4webapi';

const { publicKey, privateKey } = await webcrypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']);
const { kty, crv, x } = await webcrypto.subtle.exportKey('jwk', publicKey);
writeFileSync('key', JSON.stringify({ kty, crv, x }));
let assertion;
const server = { issuer: 'https://server.example', token_endpoint: 'https://server.example/token' };
await oauth.clientCredentialsGrantRequest(server, { client_id: 'client' }, oauth.PrivateKeyJwt(privateKey), {}, {
  [oauth.customFetch]: async (url, { body }) => {
    assertion = body.get('client_assertion');
    return new Response('{}');
  },
});
writeFileSync('oauth4webapi', assertion);
writeFileSync('EdDSA', await new SignJWT(decodeJwt(assertion)).setProtectedHeader({ alg: 'EdDSA' }).sign(privateKey));
console.log('oauth4webapi, alg:', decodeProtectedHeader(assertion).alg);
console.log('oauth4webapi, jose:', (await jwtVerify(assertion, publicKey)).payload.sub);
JS
cat >verify.py <<'PY'
from pathlib import Path

import jwt

key = jwt.PyJWK.from_json(Path("key").read_text()).key
for name, accepted in ("oauth4webapi", "Ed25519"), ("oauth4webapi", "EdDSA"), ("EdDSA", "EdDSA"):
    try:
        claims = jwt.decode(Path(name).read_text(), key, algorithms=[accepted], audience="https://server.example")
        print(f"{name}, PyJWT with {accepted}: {claims['sub']}")
    except jwt.PyJWTError as error:
        print(f"{name}, PyJWT with {accepted}: {error}")
PY
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/golang-jwt/jwt/v5 v5.3.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	golang "github.com/golang-jwt/jwt/v5"
)

func main() {
	var key jose.JSONWebKey
	data, _ := os.ReadFile("key")
	if err := json.Unmarshal(data, &key); err != nil {
		panic(err)
	}
	for _, name := range []string{"oauth4webapi", "EdDSA"} {
		accepted := []jose.SignatureAlgorithm{"EdDSA"}
		if name == "oauth4webapi" {
			accepted = []jose.SignatureAlgorithm{"Ed25519", "EdDSA"}
		}
		data, _ := os.ReadFile(name)
		var claims golang.RegisteredClaims
		_, err := golang.ParseWithClaims(string(data), &claims, func(*golang.Token) (any, error) { return key.Key, nil })
		show(name+", golang-jwt", claims.Subject, err)
		for _, algorithm := range accepted {
			var claims jwt.Claims
			token, err := jwt.ParseSigned(string(data), []jose.SignatureAlgorithm{algorithm})
			if err == nil {
				err = token.Claims(key.Key, &claims)
			}
			show(fmt.Sprintf("%s, go-jose with %s", name, algorithm), claims.Subject, err)
		}
	}
}

func show(what, subject string, err error) {
	if err != nil {
		subject = err.Error()
	}
	fmt.Printf("%s: %s\n", what, subject)
}
GO
go mod tidy >/dev/null 2>&1
want='oauth4webapi, alg: Ed25519
oauth4webapi, jose: client
oauth4webapi, PyJWT with Ed25519: Algorithm not supported
oauth4webapi, PyJWT with EdDSA: The specified alg value is not allowed
EdDSA, PyJWT with EdDSA: client
oauth4webapi, golang-jwt: token is unverifiable: signing method (alg) is unavailable
oauth4webapi, go-jose with Ed25519: go-jose/go-jose: error in cryptographic primitive
oauth4webapi, go-jose with EdDSA: unexpected signature algorithm "Ed25519"; expected ["EdDSA"]
EdDSA, golang-jwt: client
EdDSA, go-jose with EdDSA: client'
got=$(
	node sign.mjs
	venv/bin/python -W ignore verify.py
	go run .
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
