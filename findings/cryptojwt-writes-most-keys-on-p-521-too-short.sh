#!/usr/bin/env bash
# cryptojwt writes three of four keys on P-521 too short, and gives them a kid that nobody else computes.
#
# Software:  cryptojwt 1.11.0, jwcrypto 1.6.1, joserfc 1.8.0, PyJWT 2.15.1 and josepy 2.2.0, as published on PyPI;
#            github.com/go-jose/go-jose v4.1.6.
# Behaviour: On P-521, "x" and "y" have 66 octets, the first of which is 0 or 1. cryptojwt, on which idpyoidc is
#            built, leaves the first out if it is 0, for it divides 521 by 8 and rounds down. PyJWT, josepy and
#            go-jose refuse the public key then. Of a key that cryptojwt has read in the right form, it computes
#            another thumbprint (RFC 7638) than jwcrypto and joserfc do. On P-256, it keeps the zero octets.
# Surprise:  The full size of the field is a must (RFC 7518 section 6.2.1.2, which has the 66 octets of P-521 for its
#            example). Who has tried another curve knows that cryptojwt cares for leading zeros, and a first test on
#            P-521 goes well one time in four.
# Needs:     bash, Go, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check cryptojwt==1.11.0 jwcrypto==1.6.1 joserfc==1.8.0 pyjwt==2.15.1 josepy==2.2.0 \
	cryptography==50.0.2
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/go-jose/go-jose/v4 v4.1.6
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

func main() {
	text, _ := io.ReadAll(os.Stdin)
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil {
		fmt.Println(strings.TrimPrefix(err.Error(), "go-jose/go-jose: "))
		return
	}
	fmt.Println("accepted")
}
GO
go mod tidy 2>/dev/null
go build -o go-jose .
cat >main.py <<'PY'
import json
import subprocess
from base64 import urlsafe_b64decode

import joserfc.jwk
import josepy
import jwcrypto.jwk
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptojwt.jwk.ec import ECKey
from cryptojwt.jwk.jwk import key_from_jwk_dict


def result(read):
    try:
        read()
        return "accepted"
    except Exception as error:
        return str(error).partition("; got ")[0].split(": ")[-1]


def go_jose(jwk):
    return subprocess.run(["./go-jose"], input=json.dumps(jwk), capture_output=True, text=True, check=True).stdout.strip()


def length(text):
    return len(urlsafe_b64decode(text + "=="))


# Keys, and not random ones, so that each run is the same.
for name, curve, d in (
    ("P-256, x begins with 0", ec.SECP256R1(), 2**250 + 300),
    ("P-521, x and y begin with 1", ec.SECP521R1(), 2**519 + 6),
    ("P-521, x begins with 0", ec.SECP521R1(), 2**519 + 2),
    ("P-521, y begins with 0", ec.SECP521R1(), 2**519 + 3),
    ("P-521, x and y begin with 0", ec.SECP521R1(), 2**519 + 1),
):
    key = ec.derive_private_key(d, curve)
    right = jwcrypto.jwk.JWK.from_pyca(key.public_key())
    jwk = ECKey().load_key(key.public_key()).serialize()
    read = key_from_jwk_dict(json.loads(right.export_public()))
    thumbprint = read.thumbprint("SHA-256").decode()
    same = joserfc.jwk.ECKey.import_key(json.loads(right.export_public())).thumbprint() == right.thumbprint() == thumbprint
    print(f"{name}: x of {length(jwk['x'])}, y of {length(jwk['y'])}")
    print("  PyJWT:", result(lambda: jwt.PyJWK(jwk)))
    print("  josepy:", result(lambda: josepy.JWK.from_json(jwk)))
    print("  go-jose:", go_jose(jwk))
    print("  thumbprint of the key in the right form:", "the same" if same else "another")
PY
want='P-256, x begins with 0: x of 32, y of 32
  PyJWT: accepted
  josepy: accepted
  go-jose: accepted
  thumbprint of the key in the right form: the same
P-521, x and y begin with 1: x of 66, y of 66
  PyJWT: accepted
  josepy: accepted
  go-jose: accepted
  thumbprint of the key in the right form: the same
P-521, x begins with 0: x of 65, y of 66
  PyJWT: Coords should be 66 bytes for curve P-521
  josepy: Expected parameter "x" to be 66 bytes after base64-decoding
  go-jose: invalid EC public key, wrong length for x
  thumbprint of the key in the right form: another
P-521, y begins with 0: x of 66, y of 65
  PyJWT: Coords should be 66 bytes for curve P-521
  josepy: Expected parameter "y" to be 66 bytes after base64-decoding
  go-jose: invalid EC public key, wrong length for y
  thumbprint of the key in the right form: another
P-521, x and y begin with 0: x of 65, y of 65
  PyJWT: Coords should be 66 bytes for curve P-521
  josepy: Expected parameter "x" to be 66 bytes after base64-decoding
  go-jose: invalid EC public key, wrong length for x
  thumbprint of the key in the right form: another'
got=$(venv/bin/python -W ignore main.py)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
