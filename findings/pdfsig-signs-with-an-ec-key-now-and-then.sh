#!/usr/bin/env bash
# pdfsig signs a PDF with an EC key about one time in six, and leaves a broken signature the other times.
#
# Software:  pdfsig 22.12 (poppler-utils) with NSS 3.87, both of Debian 12; pyHanko 0.38.0, as published
#            on PyPI.
# Behaviour: "pdfsig -add-signature" with an RSA key works each time. With a key on P-256, it mostly says
#            "unable update signature", exits with 3, and leaves a PDF with a signature that it calls
#            "Digest Mismatch" itself. Sometimes the same command works. And of each PDF that pdfsig
#            has signed, pyHanko says "Object with id … has an orphaned generation", unless it reads with
#            strict=False.
# Surprise:  A signature by ECDSA has 70 to 72 octets, and another number each time. pdfsig signs twice:
#            first to see how long the signature will be, and then for good, with no octet to spare. What
#            works in a first try fails in the next. New objects have generation 1, though ISO 32000-1
#            section 7.3.10 has 0 for a number that was not in use.
# Needs:     bash, OpenSSL, Python 3; Debian's fonts-dejavu-core, libnss3-tools and poppler-utils.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyHanko==0.38.0
mkdir nss
certutil -N -d sql:nss --empty-password
# import NAME [OPTION...] makes a key and a certificate for signers.
import() {
	openssl req -x509 -newkey "${@:2}" -nodes -keyout "$1.key" -out "$1.pem" -days 2 -subj "/CN=$1" -addext keyUsage=critical,digitalSignature,nonRepudiation 2>/dev/null
	openssl pkcs12 -export -inkey "$1.key" -in "$1.pem" -name "$1" -passout pass:password -out "$1.p12"
	pk12util -i "$1.p12" -d sql:nss -W password >/dev/null
}
import RSA rsa:2048
import EC ec -pkeyopt ec_paramgen_curve:P-256
cat >make.py <<'PY'
# Writes a document of one empty page, with its cross-reference table.
objects = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Resources<<>>>>"]
pdf = "%PDF-1.7\n"
entries = ["0000000000 65535 f \n"]
for number, body in enumerate(objects, 1):
    entries.append(f"{len(pdf):010} 00000 n \n")
    pdf += f"{number} 0 obj\n{body}\nendobj\n"
pdf += f"xref\n0 4\n{''.join(entries)}trailer\n<</Size 4/Root 1 0 R>>\nstartxref\n{len(pdf)}\n%%EOF\n"
open("plain.pdf", "w").write(pdf)
PY
cat >read.py <<'PY'
import sys

from pyhanko.pdf_utils.reader import PdfFileReader

for strict in True, False:
    try:
        signatures = len(list(PdfFileReader(open(sys.argv[1], "rb"), strict=strict).embedded_signatures))
        print(f"pyHanko, strict={strict}: {signatures} signature")
    except Exception as error:
        print(f"pyHanko, strict={strict}: {str(error).split(':')[0]}")
PY
python3 make.py
# sign NAME signs with this key, and says what came of it.
sign() {
	local status=0 said
	rm -f signed.pdf
	said=$(pdfsig plain.pdf signed.pdf -nssdir sql:nss -add-signature -nick "$1" 2>&1) || status=$?
	echo "$1: exit status $status,$(grep -o ' unable update signature' <<<"$said" || true)$(pdfsig -nocert signed.pdf 2>/dev/null | sed -n 's/.*- Signature Validation:\(.*\)/\1/p')"
}
want='RSA: exit status 0, Signature is Valid.
EC: exit status 0, Signature is Valid.
EC: exit status 3, unable update signature Digest Mismatch.
pyHanko, strict=True: Object with id 11 has an orphaned generation
pyHanko, strict=False: 1 signature'
got=$(
	for ((i = 0; i < 5; i++)); do sign RSA; done | sort -u
	for ((i = 0; i < 60; i++)); do sign EC; done | sort -u
	sign RSA >/dev/null
	venv/bin/python -W ignore read.py signed.pdf 2>/dev/null
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
