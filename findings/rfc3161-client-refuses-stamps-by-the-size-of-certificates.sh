#!/usr/bin/env bash
# Whether rfc3161-client reads OpenSSL's time-stamps depends on the size of the certificates.
#
# Software:  rfc3161-client 1.0.9, as published on PyPI, and OpenSSL 3.0 as the time-stamp server.
# Behaviour: A time-stamp holds the certificates of the server and of its CA. OpenSSL writes the
#            server's first. rfc3161-client demands the order that DER has for a set, by which the
#            shorter certificate is the first. So an RSA server below an EC CA is refused
#            (InvalidSetOrdering), and an EC server below an RSA CA is fine. "openssl ts -verify"
#            takes both.
# Surprise:  A CMS is BER except for its signed attributes (RFC 5652 section 1 and 5.3), and RFC 3161
#            demands DER of the TSTInfo only. A server works for years, until it gets a certificate
#            with another kind of key, or a CA with a longer name.
# Needs:     bash, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check rfc3161-client==1.0.9
cat >main.py <<'PY'
import sys
from pathlib import Path

from cryptography import x509
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response

request = TimestampRequestBuilder().data(b"document").hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=False).build()
if sys.argv[1] == "request":
    Path("request").write_bytes(request.as_bytes())
    sys.exit()
try:
    response = decode_timestamp_response(Path("response").read_bytes())
    root = x509.load_pem_x509_certificate(Path("ca.pem").read_bytes())
    verifier = VerifierBuilder.from_request(request).add_root_certificate(root).build()
    print("verified" if verifier.verify_message(response, b"document") else "not verified")
except ValueError as error:
    print("InvalidSetOrdering" if "InvalidSetOrdering" in str(error) else error)
PY
cat >extensions <<'CNF'
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CNF
cat >tsa.cnf <<'CNF'
[tsa]
default_tsa = server
[server]
serial = serial
signer_cert = server.pem
signer_key = server.key
certs = ca.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
CNF
echo 01 >serial
venv/bin/python main.py request
# stamp SERVER CA: a time-stamp of a server with this kind of key, below a CA with that one.
stamp() {
	local -A kind=([RSA]=rsa:2048 [EC]="ec -pkeyopt ec_paramgen_curve:P-256")
	# shellcheck disable=SC2086
	openssl req -x509 -newkey ${kind[$2]} -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA 2>/dev/null
	# shellcheck disable=SC2086
	openssl req -newkey ${kind[$1]} -nodes -keyout server.key -out server.csr -subj /CN=TSA 2>/dev/null
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -out server.pem -extfile extensions 2>/dev/null
	openssl ts -reply -config tsa.cnf -queryfile request -out response 2>/dev/null
	echo "$1 server, $2 CA: OpenSSL $(openssl ts -verify -queryfile request -in response -CAfile ca.pem 2>&1 | grep Verification), rfc3161-client $(venv/bin/python main.py verify)"
}
got=$(
	stamp EC RSA
	stamp RSA EC
)
want='EC server, RSA CA: OpenSSL Verification: OK, rfc3161-client verified
RSA server, EC CA: OpenSSL Verification: OK, rfc3161-client InvalidSetOrdering'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
