#!/usr/bin/env bash
# pdfsigner says of a signed PDF that it has no signature, if the PDF is encrypted with AES-128.
#
# Software:  pdfsignerpy 0.3.1 (pdfsigner, Python's form of the Rust library pdf_signer) and pyHanko 0.38.0 with
#            pyhanko-certvalidator 0.33.0, as published on PyPI; qpdf 11.3 and pdfsig 22.12 (poppler-utils) of
#            Debian 12.
# Behaviour: qpdf encrypts a PDF with an owner password alone, so that everybody may read it, and pyHanko signs
#            it. If it is encrypted with AES-256, pdfsigner finds the signature valid. With AES-128,
#            verify_pdf returns an empty list, which "means no signatures were found", and there is no
#            error. With RC4 it is "malformed PDF: CMS does not start with SEQUENCE". pdfsig finds all three
#            valid.
# Surprise:  The signature (Contents) is not encrypted in an encrypted PDF, whatever the algorithm (ISO
#            32000-2 section 7.6.2). pdfsigner knows that with AES-256, and reads the PDF in each case. One
#            expects the same with AES-128, which is the best that ISO 32000-1 has. A contract with a good
#            signature is filed as one that nobody has signed.
# Needs:     bash, OpenSSL 3, Python 3; Debian's poppler-utils and qpdf.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pdfsignerpy==0.3.1 pyhanko==0.38.0 pyhanko-certvalidator==0.33.0
openssl req -x509 -newkey rsa:2048 -nodes -keyout signer.key -out signer.pem -days 2 -subj /CN=signer -addext keyUsage=critical,nonRepudiation 2>/dev/null
cat >plain.py <<'PY'
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter

writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
with open("plain.pdf", "wb") as file:
    writer.write(file)
PY
venv/bin/python plain.py
qpdf --encrypt "" owner 256 -- plain.pdf AES-256.pdf
qpdf --encrypt "" owner 128 --use-aes=y -- plain.pdf AES-128.pdf
qpdf --allow-weak-crypto --encrypt "" owner 128 --use-aes=n -- plain.pdf RC4.pdf
cat >main.py <<'PY'
import sys

import pdfsigner
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers

metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES)
signer = signers.SimpleSigner.load("signer.key", "signer.pem")
for name in sys.argv[1:]:
    with open(name + ".pdf", "rb") as file, open(name + " signed.pdf", "wb") as signed:
        writer = IncrementalPdfFileWriter(file)
        writer.encrypt("")
        signers.sign_pdf(writer, metadata, signer, output=signed)
    found = pdfsigner.verify_pdf(name + " signed.pdf", "signer.pem")
    print(f"{name}, pdfsigner: {[(one['valid'], one['detail'].split(';')[0]) for one in found]}")
PY
got=$(
	venv/bin/python main.py AES-256 AES-128 RC4 2>/dev/null
	for name in AES-256 AES-128 RC4; do
		echo "$name, pdfsig: $(pdfsig -nocert "$name signed.pdf" 2>/dev/null | sed -n 's/^  - Signature Validation: //p')"
	done
)
want="AES-256, pdfsigner: [(True, 'valid CMS signature')]
AES-128, pdfsigner: []
RC4, pdfsigner: [(False, 'malformed PDF: CMS does not start with SEQUENCE')]
AES-256, pdfsig: Signature is Valid.
AES-128, pdfsig: Signature is Valid.
RC4, pdfsig: Signature is Valid."
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
