#!/usr/bin/env bash
# Of several document time-stamps, pdfcpu sees the last, and calls that malformed if anything follows it.
#
# Software:  github.com/pdfcpu/pdfcpu v0.15.0; pyHanko 0.38.0 with pyhanko-certvalidator 0.33.0, as published
#            on PyPI.
# Behaviour: pyHanko signs a PDF (PAdES) and adds a document time-stamp. "pdfcpu signatures validate --all"
#            does not know whom to trust, and has nothing else against it. If pyHanko adds a second
#            time-stamp, pdfcpu counts one still, and says nothing of the first. If pyHanko adds the
#            certificates (DSS) after the time-stamp, pdfcpu says of the time-stamp "malformed signature
#            ByteRange: signed revision boundary mismatch", and of the signature, which is further back, the
#            same as before. pyHanko finds all intact and trusted.
# Surprise:  The help of --all has "digital timestamps". Level LTA of PAdES lives on further ones being
#            added, with what is needed to check the one before (ETSI EN 319 142-1 section 5.4). pdfcpu
#            wants a time-stamp to reach to the end of the file as it is now, and not as it was
#            (ISO 32000-2 table 255). A document that is kept well has malformed time-stamps, or too few.
# Needs:     bash, Go, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyhanko==0.38.0 pyhanko-certvalidator==0.33.0
GOBIN=$dir/bin go install github.com/pdfcpu/pdfcpu/cmd/pdfcpu@v0.15.0 2>/dev/null
# certificate NAME EXTENSION
certificate() {
	openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out "$1.pem" -extfile <(printf '%s\n' "$2" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid) 2>/dev/null
}
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=ca" -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
certificate signer keyUsage=critical,digitalSignature,nonRepudiation
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
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore


def pair(name):
    return load_cert_from_pemder(name + ".pem"), load_private_key_from_pemder(name + ".key", None)


store = SimpleCertificateStore()
root = load_cert_from_pemder("ca.pem")
store.register(root)
server = DummyTimeStamper(*pair("server"), certs_to_embed=store)
writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
document = BytesIO()
writer.write(document)
metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES)
signer = signers.SimpleSigner(*pair("signer"), cert_registry=store)
document = signers.PdfSigner(metadata, signer=signer).sign_pdf(IncrementalPdfFileWriter(document))
context = ValidationContext(trust_roots=[root])


def stamp(document, name):
    stamper = signers.PdfTimeStamper(server, field_name=name)
    return stamper.timestamp_pdf(IncrementalPdfFileWriter(document), md_algorithm="sha256")


one = stamp(document, "First time-stamp")
more = BytesIO(one.getvalue())
DocumentSecurityStore.add_dss(more, sig_contents=None, certs=[root, *(pair(name)[0] for name in ("signer", "server"))])
for name, document in ("one", one), ("two", stamp(BytesIO(one.getvalue()), "Second time-stamp")), ("more", more):
    Path(name + ".pdf").write_bytes(document.getvalue())
    reader = PdfFileReader(document)
    for signature in reader.embedded_regular_signatures:
        print(f"{name}.pdf, pyHanko, {signature.field_name}: {validate_pdf_signature(signature, context).bottom_line}")
    for stamp in reader.embedded_timestamp_signatures:
        status = validate_pdf_timestamp(stamp, context)
        print(f"{name}.pdf, pyHanko, {stamp.field_name}: {status.intact and status.trusted}")
PY
got=$(
	venv/bin/python main.py 2>/dev/null
	for name in one two more; do
		XDG_CONFIG_HOME=$dir bin/pdfcpu signatures validate --all "$name.pdf" 2>&1 |
			sed -n -E "s/: range ends at .*//; s/^ +(Type|Reason): /$name.pdf, pdfcpu, \1: /p; s/^([0-9] signed doc)/$name.pdf, pdfcpu: \1/p"
	done
)
want="one.pdf, pyHanko, Signature: True
one.pdf, pyHanko, First time-stamp: True
two.pdf, pyHanko, Signature: True
two.pdf, pyHanko, First time-stamp: True
two.pdf, pyHanko, Second time-stamp: True
more.pdf, pyHanko, Signature: True
more.pdf, pyHanko, First time-stamp: True
one.pdf, pdfcpu: 1 signed doc timestamp signature (0 visible)
one.pdf, pdfcpu, Type: document timestamp (not locally validated, invisible, signed)
one.pdf, pdfcpu, Reason: signer's certificate path was not resolved using the configured local certificate store
one.pdf, pdfcpu, Type: form signature (authoritative, invisible, signed)
one.pdf, pdfcpu, Reason: signer's certificate path was not resolved using the configured local certificate store
two.pdf, pdfcpu: 1 signed doc timestamp signature (0 visible)
two.pdf, pdfcpu, Type: document timestamp (not locally validated, invisible, signed)
two.pdf, pdfcpu, Reason: signer's certificate path was not resolved using the configured local certificate store
two.pdf, pdfcpu, Type: form signature (authoritative, invisible, signed)
two.pdf, pdfcpu, Reason: signer's certificate path was not resolved using the configured local certificate store
more.pdf, pdfcpu: 1 signed doc timestamp signature (0 visible)
more.pdf, pdfcpu, Type: document timestamp (not locally validated, invisible, signed)
more.pdf, pdfcpu, Reason: SubFilter ETSI.RFC3161: read signed data: malformed signature ByteRange: signed revision boundary mismatch
more.pdf, pdfcpu, Type: form signature (authoritative, invisible, signed)
more.pdf, pdfcpu, Reason: signer's certificate path was not resolved using the configured local certificate store"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
