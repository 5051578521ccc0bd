#!/usr/bin/env bash
# rfc3161-client reads a time-stamp's time without the fraction of its second.
#
# Software:  rfc3161-client 1.0.9 and asn1crypto 1.5.1, as published on PyPI; OpenSSL 3.0 as the
#            time-stamp server.
# Behaviour: A server that is set to six digits stamps 03:47:01.579865. rfc3161-client verifies the
#            time-stamp, and has 03:47:01 in tst_info.gen_time, a datetime that has room for
#            microseconds. asn1crypto has all six digits.
# Surprise:  RFC 3161 section 2.4.2 allows fractions of a second, which certificates may not have. The
#            time that is read is earlier than the one that was stamped: two stamps of one second have no
#            order, and a document seems to have been stamped before what came before it.
# Needs:     bash, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check rfc3161-client==1.0.9 asn1crypto==1.5.1
cat >extensions <<'CNF'
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CNF
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=TSA 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -out server.pem -extfile extensions 2>/dev/null
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
clock_precision_digits = 6
CNF
echo 01 >serial
printf document >document
openssl ts -query -data document -sha256 -cert -out request 2>/dev/null
# OpenSSL leaves out zeros at the end.
until openssl ts -reply -config tsa.cnf -queryfile request -out response 2>/dev/null &&
	time=$(openssl ts -reply -in response -text 2>/dev/null | sed -n 's/^Time stamp: //p') && [[ $time =~ \.[0-9]{6} ]]; do :; done
cat >main.py <<'PY'
from pathlib import Path

from asn1crypto.tsp import TimeStampResp
from cryptography import x509
from rfc3161_client import VerifierBuilder, decode_timestamp_response

response = Path("response").read_bytes()
root = x509.load_pem_x509_certificate(Path("ca.pem").read_bytes())
stamp = decode_timestamp_response(response)
verified = VerifierBuilder().add_root_certificate(root).build().verify_message(stamp, b"document")
print("rfc3161-client", f"{stamp.tst_info.gen_time:%H:%M:%S.%f}", "verified" if verified else "not verified")
info = TimeStampResp.load(response)["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed
print("asn1crypto", f"{info['gen_time'].native:%H:%M:%S.%f}")
PY
[[ $time =~ ([0-9:]{8})\.([0-9]{6}) ]]
want="OpenSSL ${BASH_REMATCH[1]}.${BASH_REMATCH[2]}
rfc3161-client ${BASH_REMATCH[1]}.000000 verified
asn1crypto ${BASH_REMATCH[1]}.${BASH_REMATCH[2]}"
got=$(
	echo "OpenSSL ${BASH_REMATCH[0]}"
	venv/bin/python main.py
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
