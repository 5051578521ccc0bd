#!/usr/bin/env bash
# joserfc refuses a JWS that carries its certificate or its RSA key, even one that it made itself.
#
# Software:  joserfc 1.8.0 and PyJWT 2.15.1, as published on PyPI.
# Behaviour: joserfc reads no JWS whose header is longer than 512 characters in base64url: "Header size
#            exceeds 512 bytes". It writes them. So it refuses a JWS with "x5c" if there is as much as
#            one certificate of P-256 in it, and a DPoP proof by an RSA key of 2048 bits, which has the
#            key in "jwk". A proof by an EC key is accepted. PyJWT reads them all. joserfc does, too,
#            with a JWSRegistry that has a greater max_header_length.
# Surprise:  "jwk" and "x5c" are ordinary parameters (RFC 7515 sections 4.1.3 and 4.1.6), a DPoP proof
#            must have the former (RFC 9449 section 4.2), and RS256 is what most clients start with. With
#            keys of P-256, all is well.
# Needs:     bash, OpenSSL, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check joserfc==1.8.0 pyjwt==2.15.1 cryptography==50.0.2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=signer 2>/dev/null
openssl x509 -in certificate.pem -outform DER -out certificate.der
cat >main.py <<'PY'
from base64 import b64encode
from pathlib import Path

import jwt
from joserfc import jws
from joserfc.errors import ExceededSizeError
from joserfc.jwk import ECKey, RSAKey

certificate = b64encode(Path("certificate.der").read_bytes()).decode()
signer = ECKey.import_key(Path("key.pem").read_bytes())
large = jws.JWSRegistry()
large.max_header_length = 8192


def show(name, key, header):
    text = jws.serialize_compact(header, b"payload", key)
    accepted = jwt.PyJWS().decode(text, jwt.PyJWK(key.as_dict(private=False), header["alg"]), algorithms=[header["alg"]]) == b"payload"
    for title, registry in ("joserfc", None), ("joserfc, 8192", large):
        try:
            result = jws.deserialize_compact(text, key, registry=registry).payload.decode()
        except ExceededSizeError as error:
            result = error.description
        print(f"{name}: {title}: {result}")
    print(f"{name}: PyJWT: {'payload' if accepted else 'refused'}")


show("x5c, one certificate", signer, {"alg": "ES256", "x5c": [certificate]})
for name, key, alg in ("EC", ECKey.generate_key("P-256"), "ES256"), ("RSA", RSAKey.generate_key(2048), "RS256"):
    show(f"DPoP proof, {name}", key, {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False)})
PY
want='x5c, one certificate: joserfc: Header size exceeds 512 bytes.
x5c, one certificate: joserfc, 8192: payload
x5c, one certificate: PyJWT: payload
DPoP proof, EC: joserfc: payload
DPoP proof, EC: joserfc, 8192: payload
DPoP proof, EC: PyJWT: payload
DPoP proof, RSA: joserfc: Header size exceeds 512 bytes.
DPoP proof, RSA: joserfc, 8192: payload
DPoP proof, RSA: PyJWT: payload'
got=$(venv/bin/python main.py)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
