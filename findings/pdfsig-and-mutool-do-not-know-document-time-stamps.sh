#!/usr/bin/env bash
# Of two verifiers, one dates a document time-stamp 1970, and the other calls it unsigned.
#
# Software:  pdfsig 22.12 (poppler-utils) and mutool 1.21 (mupdf-tools), both of Debian 12; pyHanko
#            0.38.0 with pyhanko-certvalidator 0.33.0, as published on PyPI.
# Behaviour: pyHanko signs a PDF (PAdES with a time-stamp) and adds a document time-stamp, as level
#            LTA of PAdES demands it. For pyHanko both are good. pdfsig calls the time-stamp a
#            signature of unknown type, made on January 1st 1970, that "has not yet been verified".
#            mutool says that the time-stamp "is not signed", and of the signature that "there
#            have been edits since signing". The exit status of both is 0, with and without it.
# Surprise:  ISO 32000-2 has document time-stamps since 2017. The better a document is preserved, the
#            worse it looks.
# Needs:     bash, OpenSSL, Python 3; Debian's poppler-utils and mupdf-tools.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyHanko==0.38.0 pyhanko-certvalidator==0.33.0
# certificate NAME EXTENSION
certificate() {
	openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 2 -out "$1.pem" -extfile <(printf '%s\n' "$2" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid) 2>/dev/null
}
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
certificate signer keyUsage=critical,nonRepudiation
certificate server extendedKeyUsage=critical,timeStamping
cat >main.py <<'PY'
from io import BytesIO
from pathlib import Path

from pyhanko.keys import load_cert_from_pemder, load_private_key_from_pemder
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko.sign.validation import validate_pdf_signature, validate_pdf_timestamp
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore


def pair(name):
    return load_cert_from_pemder(name + ".pem"), load_private_key_from_pemder(name + ".key", None)


store = SimpleCertificateStore()
root = load_cert_from_pemder("ca.pem")
store.register(root)
server = DummyTimeStamper(*pair("server"), certs_to_embed=store)
signer = signers.SimpleSigner(*pair("signer"), cert_registry=store)

writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
plain = BytesIO()
writer.write(plain)
metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES)
signed = signers.PdfSigner(metadata, signer=signer, timestamper=server).sign_pdf(IncrementalPdfFileWriter(plain))
Path("signed.pdf").write_bytes(signed.getvalue())
stamped = signers.PdfTimeStamper(server, field_name="Stamp").timestamp_pdf(IncrementalPdfFileWriter(signed), md_algorithm="sha256")
Path("stamped.pdf").write_bytes(stamped.getvalue())

context = ValidationContext(trust_roots=[root])
for name in "signed.pdf", "stamped.pdf":
    reader = PdfFileReader(BytesIO(Path(name).read_bytes()))
    for signature in reader.embedded_regular_signatures:
        print(f"{name}, pyHanko: {signature.field_name} is good: {validate_pdf_signature(signature, context).bottom_line}")
    for stamp in reader.embedded_timestamp_signatures:
        print(f"{name}, pyHanko: {stamp.field_name} is intact and trusted: {validate_pdf_timestamp(stamp, context).trusted}")
PY
got=$(
	venv/bin/python main.py 2>/dev/null
	for file in signed.pdf stamped.pdf; do
		TZ=UTC pdfsig -nocert $file >pdfsig.txt 2>/dev/null
		echo "$file, pdfsig, exit status $?:"
		sed -n 's/^  - \(Signature Field Name: .*\|Signing Time: Jan 01 1970.*\|Signature Type: .*\|.*document signed\|Signature Validation: .*\)/  \1/p' pdfsig.txt
		mutool sign -v $file >mutool.txt 2>/dev/null
		echo "$file, mutool, exit status $?:"
		sed -n 's/^[[:space:]]*\(The .*\|Signature is .*\)/  \1/p' mutool.txt
	done
)
want='signed.pdf, pyHanko: Signature is good: True
stamped.pdf, pyHanko: Signature is good: True
stamped.pdf, pyHanko: Stamp is intact and trusted: True
signed.pdf, pdfsig, exit status 0:
  Signature Field Name: Signature
  Signature Type: ETSI.CAdES.detached
  Total document signed
  Signature Validation: Signature is Valid.
signed.pdf, mutool, exit status 0:
  The document is unchanged since signing.
stamped.pdf, pdfsig, exit status 0:
  Signature Field Name: Signature
  Signature Type: ETSI.CAdES.detached
  Not total document signed
  Signature Validation: Signature is Valid.
  Signature Field Name: Stamp
  Signing Time: Jan 01 1970 00:00:00
  Signature Type: unknown
  Total document signed
  Signature Validation: Signature has not yet been verified.
stamped.pdf, mutool, exit status 0:
  The signature is valid but there have been edits since signing.
  Signature is not signed.'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
