#!/usr/bin/env bash
# rfc3161ng fails with a TypeError for every time-stamp that is signed with an EC key.
#
# Software:  rfc3161ng 2.1.3 with cryptography 50.0.2, as published on PyPI; OpenSSL 3.0 as the server.
# Behaviour: check_timestamp verifies as RSA with PKCS #1 v1.5 whatever the key. For a good time-stamp by
#            an EC key it raises "ECPublicKey.verify() takes 3 positional arguments but 4 were given". By
#            an RSA key it returns True, if certificate=b"" tells it to take the one in the time-stamp.
#            The parameter's own default, None, raises a TypeError of its own.
# Surprise:  Neither error says what is not supported, and neither is the ValueError of a time-stamp for
#            another document. A server that changes to an EC key breaks its clients, and none can tell
#            that from a mistake in its own call.
# Needs:     bash, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check rfc3161ng==2.1.3 pyasn1==0.6.5 pyasn1_modules==0.4.2 cryptography==50.0.2
cat >extensions <<'CNF'
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
CNF
cat >tsa.cnf <<'CNF'
[tsa]
default_tsa = server
[server]
serial = serial
signer_cert = server.pem
signer_key = server.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
CNF
cat >main.py <<'PY'
import sys
from pathlib import Path

import rfc3161ng

token = rfc3161ng.decode_timestamp_response(Path("response").read_bytes()).time_stamp_token
for name, options in {"without a certificate": {}, 'with certificate=b""': {"certificate": b""}}.items():
    try:
        result = rfc3161ng.check_timestamp(token, data=b"document", hashname="sha256", **options)
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    print(f"{sys.argv[1]}, {name}: {result}")
PY
printf document >document
openssl ts -query -data document -sha256 -cert -out request 2>/dev/null
echo 01 >serial
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA 2>/dev/null
# stamp NAME KEY: a time-stamp of a server with such a key.
stamp() {
	# shellcheck disable=SC2086
	openssl req -newkey $2 -nodes -keyout server.key -out server.csr -subj /CN=TSA 2>/dev/null
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -out server.pem -extfile extensions 2>/dev/null
	openssl ts -reply -config tsa.cnf -queryfile request -out response 2>/dev/null
	echo "$1, OpenSSL: $(openssl ts -verify -queryfile request -in response -CAfile ca.pem 2>&1 | grep Verification)"
	venv/bin/python main.py "$1"
}
got=$(
	stamp RSA rsa:2048
	stamp EC "ec -pkeyopt ec_paramgen_curve:P-256"
)
want='RSA, OpenSSL: Verification: OK
RSA, without a certificate: TypeError: argument of type '"'NoneType'"' is not iterable
RSA, with certificate=b"": True
EC, OpenSSL: Verification: OK
EC, without a certificate: TypeError: argument of type '"'NoneType'"' is not iterable
EC, with certificate=b"": TypeError: ECPublicKey.verify() takes 3 positional arguments but 4 were given'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
