#!/usr/bin/env bash
# pyHanko ignores an OCSP response that it is given, if the certificate names no OCSP responder.
#
# Software:  pyhanko-certvalidator 0.33.0 with pyHanko 0.38.0, as published on PyPI; OpenSSL 3.0.
# Behaviour: The validation context has a good OCSP response for the certificate, and fetches nothing. If
#            the certificate names an OCSP responder (authorityInfoAccess), the path is valid. If it
#            names none, or only a revocation list, the same response counts for nothing: "no revocation
#            information could be found". The address is not asked; nothing even listens there. OpenSSL
#            finds the status "good" in each case.
# Surprise:  The address says where a response can be fetched. One that is embedded in a signature or in
#            the DSS of a PDF is there so that nothing has to be fetched, and a certificate needs no
#            address for it (RFC 6960 section 3.1). Who hands the response over with the signature may
#            leave it out.
# Needs:     bash, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyHanko==0.38.0 pyhanko-certvalidator==0.33.0 asn1crypto==1.5.1
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout signer.key -out signer.csr -subj /CN=signer 2>/dev/null
printf 'V\t%s\t\t1001\tunknown\t/CN=signer\n' "$(date -u -d '2 days' +%y%m%d%H%M%SZ)" >index
cat >validate.py <<'PY'
import asyncio
import sys
from pathlib import Path

from asn1crypto.ocsp import OCSPResponse
from pyhanko.keys import load_cert_from_pemder
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathValidationError

response = OCSPResponse.load(Path("response").read_bytes())
context = ValidationContext(trust_roots=[load_cert_from_pemder("ca.pem")], ocsps=[response], allow_fetching=False, revocation_mode="require")
try:
    asyncio.run(CertificateValidator(load_cert_from_pemder("signer.pem"), validation_context=context).async_validate_usage({"non_repudiation"}))
    print(f"{sys.argv[1]}, certvalidator: valid")
except PathValidationError as error:
    print(f"{sys.argv[1]}, certvalidator: {type(error).__name__}: {error}")
PY
# validate WHAT [EXTENSION]: validates a certificate that names this.
validate() {
	openssl x509 -req -in signer.csr -CA ca.pem -CAkey ca.key -set_serial 0x1001 -days 2 -out signer.pem -extfile <(printf '%s\n' keyUsage=critical,nonRepudiation "${2-}") 2>/dev/null
	openssl ocsp -issuer ca.pem -cert signer.pem -no_nonce -reqout request
	openssl ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -ndays 1 -reqin request -respout response >/dev/null 2>&1
	echo "$1, OpenSSL: $(openssl ocsp -issuer ca.pem -cert signer.pem -no_nonce -respin response -CAfile ca.pem 2>/dev/null | sed -n 's/^signer.pem: //p')"
	venv/bin/python validate.py "$1"
}
got=$(
	validate "an OCSP responder" "authorityInfoAccess=OCSP;URI:http://127.0.0.1:9/"
	validate "nothing"
	validate "a revocation list" "crlDistributionPoints=URI:http://127.0.0.1:9/ca.crl"
)
want='an OCSP responder, OpenSSL: good
an OCSP responder, certvalidator: valid
nothing, OpenSSL: good
nothing, certvalidator: InsufficientRevinfoError: The path could not be validated because no revocation information could be found for the end-entity certificate Common Name: signer
a revocation list, OpenSSL: good
a revocation list, certvalidator: InsufficientRevinfoError: The path could not be validated because no revocation information could be found for the end-entity certificate Common Name: signer'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
